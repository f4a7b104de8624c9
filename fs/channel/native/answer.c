#define _GNU_SOURCE
#include "answer.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define NONCE_BYTES 32
#define PLACE_BYTES 5

struct scratch {
    uint8_t *plain;   /* DATA_BYTES: the reply */
    uint8_t *cipher;  /* MAX_CIPHER_BYTES */
    uint8_t *segment; /* SEGMENT_BYTES: one that is used in part */
};

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

/* Read and open what *part* has of the file into *plain*. */
static bool read_part(aead_open *open, const struct part *part, const struct scratch *scratch,
                      uint8_t *plain)
{
    const uint32_t size = block_plain_bytes(part->block);
    const uint32_t start = (uint32_t)part->block_start;
    const uint32_t stop = start + (uint32_t)(part->stop - part->start);
    const uint32_t first = start / SEGMENT_BYTES;
    const uint32_t last = (stop - 1) / SEGMENT_BYTES;
    const uint32_t plain_end =
        (last + 1) * SEGMENT_BYTES < size ? (last + 1) * SEGMENT_BYTES : size;
    const size_t sealed_bytes = plain_end - first * SEGMENT_BYTES + (last - first + 1) * TAG_BYTES;
    struct iovec into = {scratch->cipher, sealed_bytes};
    const uint8_t *sealed = scratch->cipher;
    ssize_t got;

    do
        got = preadv2(block_file(part->block), &into, 1,
                      BLOCK_HEADER_BYTES + (off_t)first * (SEGMENT_BYTES + TAG_BYTES), RWF_NOWAIT);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sealed_bytes)
        return false;
    for (uint32_t index = first; index <= last; index++) {
        const uint32_t begin = index * SEGMENT_BYTES;
        const uint32_t end = begin + SEGMENT_BYTES < size ? begin + SEGMENT_BYTES : size;
        const uint32_t from = start > begin ? start : begin;
        const uint32_t to = stop < end ? stop : end;
        const bool whole = from == begin && to == end;
        uint8_t *into_plain = whole ? plain : scratch->segment;

        if (!open_segment(open, part->block, index, sealed, end - begin, into_plain))
            return false;
        if (!whole)
            memcpy(plain, scratch->segment + (from - begin), to - from);
        plain += to - from;
        sealed += end - begin + TAG_BYTES;
    }
    return true;
}

bool answer_read(void *context, int device, const struct read_request *read,
                 const struct message *request, uint8_t *memory)
{
    struct answers *answers = context;
    const struct scratch scratch = {memory, memory + DATA_BYTES,
                                    memory + DATA_BYTES + MAX_CIPHER_BYTES};
    struct plan plan;
    uint8_t *plain = scratch.plain;
    bool good = true;

    (void)device, (void)request;
    if (!table_plan(answers->table, read, &plan)) {
        atomic_fetch_add_explicit(&answers->unknown, 1, memory_order_relaxed);
        return false;
    }
    for (int i = 0; good && i < plan.count; i++) {
        good = read_part(answers->open, &plan.parts[i], &scratch, plain);
        plain += plan.parts[i].stop - plan.parts[i].start;
    }
    if (good)
        channel_reply(answers->channel, read->unique, 0, scratch.plain, plan.length);
    if (table_release(answers->table, read, &plan, good))
        channel_tell(answers->channel);
    atomic_fetch_add_explicit(good ? &answers->answered : &answers->failed, 1,
                              memory_order_relaxed);
    return good;
}
