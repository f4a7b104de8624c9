#define _GNU_SOURCE
#include "answer.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#define NONCE_BYTES 32
#define PLACE_BYTES 5

/* Where the ciphertext lies whose plaintext goes to *plain*: aligned, and a segment behind it. So each
 * segment is opened to where no ciphertext is that is still needed, and one MiB in two places takes
 * little more of the processor's cache than one. */
static uint8_t *cipher_behind(uint8_t *plain)
{
    uint8_t *cipher = plain + SEGMENT_BYTES;

    return cipher + -(uintptr_t)cipher % DIRECT_ALIGNMENT;
}

/* Open segment *index* into *plain*; *bytes* of plaintext. */
static bool open_segment(aead_open *open, const struct block *block, uint32_t index,
                         const uint8_t *sealed, size_t bytes, uint8_t *plain)
{
    const uint32_t last = (block_plain_bytes(block) - 1) / SEGMENT_BYTES;
    uint8_t nonce[NONCE_BYTES] = {(uint8_t)(index >> 24), (uint8_t)(index >> 16),
                                  (uint8_t)(index >> 8), (uint8_t)index, index == last};
    uint8_t associated[MAX_ASSOCIATED_BYTES + PLACE_BYTES];
    size_t associated_bytes;
    const uint8_t *prefix = block_associated(block, &associated_bytes);
    unsigned long long opened = 0;

    memcpy(associated, prefix, associated_bytes);
    memcpy(associated + associated_bytes, nonce, PLACE_BYTES);
    return !open(plain, &opened, NULL, sealed, bytes + TAG_BYTES, associated,
                 associated_bytes + PLACE_BYTES, nonce, block_key(block)) &&
           opened == bytes;
}

enum outcome {
    GOOD,
    LEFT_TO_PYTHON,
    TAKEN_BY_PYTHON, /* It was told already. */
};

/* Ciphertext of a block: *bytes* at *offset* of its file, to lie at *into*. */
struct sealed {
    const struct block *block;
    uint8_t *into;
    size_t bytes;
    off_t offset;
};

/* Read as much of *sealed* as comes from *file*, of which *got* bytes are there; wait for its disk. Returns
 * how many are there then. */
static size_t read_on_from(struct answers *answers, int file, const struct sealed *sealed,
                           size_t got)
{
    while (got < sealed->bytes) {
        ssize_t more = answers->wait_for_file(file, sealed->into + got, sealed->bytes - got,
                                              sealed->offset + (off_t)got);

        if (more > 0)
            got += (size_t)more;
        else if (more == 0 || errno != EINTR)
            break;
    }
    return got;
}

/* The same past the kernel's pages, and all at once. What lies around it is read, too: *into* has the
 * place of *offset* among its neighbours of DIRECT_ALIGNMENT, and room for the rest of the last. */
static size_t read_directly(struct answers *answers, const struct sealed *sealed)
{
    const size_t before = (size_t)sealed->offset % DIRECT_ALIGNMENT;
    size_t room = before + sealed->bytes;
    ssize_t got;

    room += -room % DIRECT_ALIGNMENT;
    do
        got = answers->wait_for_file(block_direct_file(sealed->block), sealed->into - before, room,
                                     sealed->offset - (off_t)before);
    while (got < 0 && errno == EINTR);
    if (got <= (ssize_t)before)
        return 0; /* Also from a file system that cannot do that after all: it is read as others are. */
    return (size_t)got - before < sealed->bytes ? (size_t)got - before : sealed->bytes;
}

/* Tell whether *sealed* is to be read past the kernel's pages: it is much, and not there already. */
static bool is_for_direct(struct answers *answers, const struct sealed *sealed)
{
    return block_direct_file(sealed->block) >= 0 && sealed->bytes >= MIN_DIRECT_BYTES &&
           !answers->is_in_memory(block_file(sealed->block), sealed->offset, sealed->bytes);
}

/* Read the rest of *sealed*, of which *got* bytes are there. */
static enum outcome wait_for_rest(struct answers *answers, const struct message *request,
                                  const struct sealed *sealed, size_t got, bool directly)
{
    struct wait *wait = waits_begin(&answers->waits, request);

    if (!wait)
        return LEFT_TO_PYTHON;
    if (directly) {
        got = read_directly(answers, sealed);
        atomic_fetch_add_explicit(&answers->direct, got > 0, memory_order_relaxed);
    }
    got = read_on_from(answers, block_file(sealed->block), sealed, got);
    if (!waits_end(&answers->waits, wait))
        return TAKEN_BY_PYTHON;
    atomic_fetch_add_explicit(&answers->waited, 1, memory_order_relaxed);
    return got == sealed->bytes ? GOOD : LEFT_TO_PYTHON;
}

static enum outcome read_sealed(struct answers *answers, const struct message *request,
                                const struct sealed *sealed)
{
    struct iovec room = {sealed->into, sealed->bytes};
    ssize_t got;

    if (is_for_direct(answers, sealed))
        return wait_for_rest(answers, request, sealed, 0, true);
    /* What is in memory needs no place among those who wait. */
    do
        got = preadv2(block_file(sealed->block), &room, 1, sealed->offset, RWF_NOWAIT);
    while (got < 0 && errno == EINTR);
    if (got == (ssize_t)sealed->bytes)
        return GOOD;
    return wait_for_rest(answers, request, sealed, got < 0 ? 0 : (size_t)got, false);
}

/* Read and open what *part* has of the file into *plain*; *segment* is room for one. */
static enum outcome read_part(struct answers *answers, const struct message *request,
                              const struct part *part, uint8_t *segment, uint8_t *plain)
{
    const uint32_t size = block_plain_bytes(part->block);
    const uint32_t start = (uint32_t)part->block_start;
    const uint32_t stop = start + (uint32_t)(part->stop - part->start);
    const uint32_t first = start / SEGMENT_BYTES;
    const uint32_t last = (stop - 1) / SEGMENT_BYTES;
    const uint32_t plain_end =
        (last + 1) * SEGMENT_BYTES < size ? (last + 1) * SEGMENT_BYTES : size;
    const off_t offset = BLOCK_HEADER_BYTES + (off_t)first * (SEGMENT_BYTES + TAG_BYTES);
    const struct sealed wanted = {
        part->block,
        cipher_behind(plain) + offset % DIRECT_ALIGNMENT,
        plain_end - first * SEGMENT_BYTES + (last - first + 1) * TAG_BYTES,
        offset,
    };
    const uint8_t *sealed = wanted.into;
    const enum outcome outcome = read_sealed(answers, request, &wanted);

    if (outcome != GOOD)
        return outcome;
    for (uint32_t index = first; index <= last; index++) {
        const uint32_t begin = index * SEGMENT_BYTES;
        const uint32_t end = begin + SEGMENT_BYTES < size ? begin + SEGMENT_BYTES : size;
        const uint32_t from = start > begin ? start : begin;
        const uint32_t to = stop < end ? stop : end;
        const bool whole = from == begin && to == end;
        uint8_t *into_plain = whole ? plain : segment;

        if (!open_segment(answers->open, part->block, index, sealed, end - begin, into_plain))
            return LEFT_TO_PYTHON;
        if (!whole)
            memcpy(plain, segment + (from - begin), to - from);
        plain += to - from;
        sealed += end - begin + TAG_BYTES;
    }
    return GOOD;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool answer_read(void *context, int device, const struct read_request *read,
                 const struct message *request, uint8_t *memory)
{
    struct answers *answers = context;
    uint8_t *const reply = memory + SEGMENT_BYTES;
    const uint64_t began = now_ns();
    struct plan plan;
    uint8_t *plain = reply;
    enum outcome outcome = GOOD;

    (void)device;
    if (!table_plan(answers->table, read, &plan)) {
        atomic_fetch_add_explicit(&answers->unknown, 1, memory_order_relaxed);
        return false;
    }
    for (int i = 0; outcome == GOOD && i < plan.count; i++) {
        outcome = read_part(answers, request, &plan.parts[i], memory, plain);
        plain += plan.parts[i].stop - plan.parts[i].start;
    }
    if (outcome == GOOD)
        channel_reply(answers->channel, read->unique, 0, reply, plan.length);
    if (table_release(answers->table, read, &plan, outcome == GOOD, now_ns() - began))
        channel_tell(answers->channel);
    atomic_fetch_add_explicit(outcome == GOOD             ? &answers->answered
                              : outcome == LEFT_TO_PYTHON ? &answers->failed
                                                          : &answers->overdue,
                              1, memory_order_relaxed);
    return outcome != LEFT_TO_PYTHON;
}
