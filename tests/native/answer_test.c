/* READs answered from block files: from memory, from a disk, and from one that hangs. */
#define _GNU_SOURCE
#include "answer.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

static const uint8_t key[KEY_BYTES] = {1};

static struct table *table;
static struct channel channel;
static struct answers answers;
static struct block *block;
static int ends[2]; /* where replies come out, and the device */

/* A cipher that any thread can check: the plaintext is the ciphertext without its tag. */
static int copied(unsigned char *plain, unsigned long long *plain_bytes, unsigned char *secret,
                  const unsigned char *sealed, unsigned long long sealed_bytes,
                  const unsigned char *associated, unsigned long long associated_bytes,
                  const unsigned char *nonce, const unsigned char *with)
{
    (void)secret, (void)with;
    CHECK(associated_bytes == 11 && !memcmp(associated, "prefix", 6));
    CHECK(!memcmp(associated + 6, nonce, 5));
    if (sealed[sealed_bytes - 1] == 0xff)
        return -1;
    memcpy(plain, sealed, sealed_bytes - TAG_BYTES);
    *plain_bytes = sealed_bytes - TAG_BYTES;
    return 0;
}

/* A file on a disk: of one in memory alone the kernel does not say what it has there. */
static int a_disk_file(void)
{
    char name[] = "blockXXXXXX";
    int file = mkostemp(name, O_CLOEXEC);

    CHECK(file >= 0);
    CHECK(!unlink(name));
    return file;
}

/* Make *file* a block file of *size* bytes whose plaintext at *i* is a byte of *i*. */
static int a_file(int file, uint32_t size)
{
    static uint8_t segment[SEGMENT_BYTES + TAG_BYTES];
    off_t at = BLOCK_HEADER_BYTES;

    for (uint32_t start = 0; start < size; start += SEGMENT_BYTES) {
        uint32_t bytes = size - start < SEGMENT_BYTES ? size - start : SEGMENT_BYTES;

        for (uint32_t i = 0; i < bytes; i++)
            segment[i] = (uint8_t)((start + i) * 2654435761u >> 24);
        memset(segment + bytes, 0, TAG_BYTES);
        CHECK(pwrite(file, segment, bytes + TAG_BYTES, at) == (ssize_t)(bytes + TAG_BYTES));
        at += bytes + TAG_BYTES;
    }
    return file;
}

/* Ask for bytes of handle 5 as a reader of the channel does. */
static bool asked(uint64_t unique, int64_t offset, uint32_t size)
{
    uint8_t *scratch = malloc(ANSWER_SCRATCH);
    struct message *request = malloc(sizeof *request + 128);
    struct read_request read = {.unique = unique, .handle = 5, .offset = offset, .size = size};
    bool dealt_with;

    CHECK(scratch && request);
    request->length = a_read(request->bytes, unique, 5, (uint64_t)offset, size);
    dealt_with = answer_read(&answers, -1, &read, request, scratch);
    free(request);
    free(scratch);
    return dealt_with;
}

static bool answered(int64_t offset, uint32_t size, uint32_t expected)
{
    static uint8_t reply[DATA_BYTES + 64];
    struct fuse_out_header header;

    if (!asked(9, offset, size))
        return false;
    CHECK(read_exactly(ends[0], reply, sizeof header + expected));
    memcpy(&header, reply, sizeof header);
    CHECK(header.unique == 9 && !header.error && header.len == sizeof header + expected);
    for (uint32_t i = 0; i < expected; i++)
        CHECK(reply[sizeof header + i] == (uint8_t)((uint32_t)(offset + i) * 2654435761u >> 24));
    return true;
}

static bool nothing_is_in_memory(int file, off_t offset, size_t bytes)
{
    (void)file, (void)offset, (void)bytes;
    return false;
}

static void begin_with(uint32_t size, int file, int direct)
{
    CHECK(!pipe2(ends, O_CLOEXEC));
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
    memset(&answers, 0, sizeof answers);
    answers.table = table;
    answers.open = copied;
    answers.channel = &channel;
    answers.wait_for_file = pread;
    answers.is_in_memory = nothing_is_in_memory;
    channel.device = ends[1];
    channel.event = -1;
    CHECK(!waits_start(&answers.waits, &channel));
    block = table_add_block(table, file, direct, key, (const uint8_t *)"prefix", 6, size);
    CHECK(block);
    CHECK(table_publish(table, 5, size, &(struct part){block, 0, size, 0}));
}

static void begin(uint32_t size, int file)
{
    begin_with(size, file, -1);
}

static void end(int file)
{
    waits_stop(&answers.waits);
    table_withdraw(table, 5);
    table_drop_block(table, block);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

static void every_range_of_a_block_is_its_bytes(void)
{
    const uint32_t size = 5 * SEGMENT_BYTES + 4096;
    int file = a_file(a_disk_file(), size);

    begin(size, file);
    const uint32_t edges[] = {0, 1, 4096, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1,
                              3 * SEGMENT_BYTES, 5 * SEGMENT_BYTES, size - 1};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (size_t j = 0; j < sizeof edges / sizeof *edges; j++)
            CHECK(answered(edges[i], edges[j],
                           edges[j] < size - edges[i] ? edges[j] : size - edges[i]));
    /* A segment that does not open is left to Python, and so is a file that ends too soon. */
    CHECK(pwrite(file, "\xff", 1, BLOCK_HEADER_BYTES + 2 * (SEGMENT_BYTES + TAG_BYTES) - 1) == 1);
    CHECK(answered(0, SEGMENT_BYTES, SEGMENT_BYTES));
    CHECK(!answered(0, SEGMENT_BYTES + 1, 0));
    CHECK(!ftruncate(file, BLOCK_HEADER_BYTES + SEGMENT_BYTES));
    CHECK(!answered(0, 1, 0));
    CHECK(atomic_load(&answers.failed) == 2);
    end(file);
}

/* The kernel does not say what it has in memory of such a file: every read of it waits. */
static void what_has_to_be_waited_for_is_answered_too(void)
{
    const uint32_t size = 3 * SEGMENT_BYTES;
    int file = a_file(memfd_create("block", MFD_CLOEXEC), size);

    begin(size, file);
    CHECK(answered(SEGMENT_BYTES - 1, 2, 2));
    CHECK(answered(0, size, size));
    CHECK(atomic_load(&answers.waited) == 2);
    CHECK(!ftruncate(file, BLOCK_HEADER_BYTES + SEGMENT_BYTES));
    CHECK(!answered(0, 1, 0));
    CHECK(atomic_load(&answers.failed) == 1);
    end(file);
}

static size_t most_direct; /* What a file system gives at once past the kernel's pages; 0 cannot do it. */

static ssize_t strictly(int file, void *bytes, size_t count, off_t offset)
{
    if (file != block_direct_file(block))
        return pread(file, bytes, count, offset);
    if ((uintptr_t)bytes % DIRECT_ALIGNMENT || count % DIRECT_ALIGNMENT ||
        offset % DIRECT_ALIGNMENT || !most_direct) {
        errno = EINVAL;
        return -1;
    }
    return pread(file, bytes, count < most_direct ? count : most_direct, offset);
}

/* Much that is not in memory is read past the kernel's pages; what that does not give comes as ever. */
static void much_is_read_directly(void)
{
    const uint32_t size = 20 * SEGMENT_BYTES;
    int file = a_file(memfd_create("block", MFD_CLOEXEC), size);
    const size_t gives[] = {SIZE_MAX, 0, 40, DIRECT_ALIGNMENT, 5 * SEGMENT_BYTES};

    for (size_t i = 0; i < sizeof gives / sizeof *gives; i++) {
        most_direct = gives[i];
        begin_with(size, file, file);
        CHECK(block_direct_file(block) >= 0);
        answers.wait_for_file = strictly;
        CHECK(answered(0, DATA_BYTES - 4096, DATA_BYTES - 4096));
        CHECK(answered(3, DATA_BYTES - 4096, DATA_BYTES - 4096));
        CHECK(answered(5 * SEGMENT_BYTES + 1, DATA_BYTES - 4096, size - 5 * SEGMENT_BYTES - 1));
        CHECK(atomic_load(&answers.direct) == (gives[i] > 40 ? 3 : 0));
        answers.is_in_memory = pages_in_memory;
        CHECK(answered(0, DATA_BYTES - 4096, DATA_BYTES - 4096));
        answers.is_in_memory = nothing_is_in_memory;
        CHECK(answered(7 * SEGMENT_BYTES + 9, MIN_DIRECT_BYTES / 2, MIN_DIRECT_BYTES / 2));
        CHECK(atomic_load(&answers.waited) == 5);
        CHECK(atomic_load(&answers.direct) == (gives[i] > 40 ? 3 : 0));
        table_withdraw(table, 5);
        table_drop_block(table, block);
        waits_stop(&answers.waits);
        close(ends[0]);
        close(ends[1]);
    }
    close(file);
}

/* Pieces of one READ, each at another place of its segments, whose ciphertext lies where the plaintext of
 * those before them ends. */
static void a_read_of_many_parts_is_their_bytes(void)
{
    const uint32_t size = 20 * SEGMENT_BYTES;
    const uint32_t lengths[] = {1, SEGMENT_BYTES + 7, 4096, 2 * SEGMENT_BYTES, 5 * SEGMENT_BYTES + 4093};
    static uint8_t reply[DATA_BYTES + 64];
    int file = a_file(memfd_create("block", MFD_CLOEXEC), size);
    uint32_t places[MAX_PARTS];
    uint32_t total = 0;

    begin_with(size, file, file);
    table_withdraw(table, 5);
    most_direct = SIZE_MAX;
    answers.wait_for_file = strictly;
    for (uint32_t i = 0; i < 5; i++)
        total += lengths[i];
    for (uint32_t i = 0, at = 0; i < 5; at += lengths[i++]) {
        places[i] = (7 - i) * SEGMENT_BYTES + 3 * i * i * i;
        CHECK(table_publish(table, 5, total, &(struct part){block, at, at + lengths[i], places[i]}));
    }
    CHECK(asked(9, 0, DATA_BYTES - 4096));
    CHECK(read_exactly(ends[0], reply, sizeof(struct fuse_out_header) + total));
    for (uint32_t i = 0, at = sizeof(struct fuse_out_header); i < 5; at += lengths[i++])
        for (uint32_t k = 0; k < lengths[i]; k++)
            CHECK(reply[at + k] == (uint8_t)((places[i] + k) * 2654435761u >> 24));
    CHECK(atomic_load(&answers.waited) == 5 && atomic_load(&answers.direct) == 1);
    end(file);
}

static int gate[2]; /* A disk that hangs until its other end is closed. */

static ssize_t hang(int file, void *bytes, size_t count, off_t offset)
{
    char none;

    CHECK(read(gate[0], &none, 1) == 0);
    return pread(file, bytes, count, offset);
}

static void *ask_the_hanging(void *unique)
{
    CHECK(asked((uint64_t)(uintptr_t)unique, 0, 4096));
    return NULL;
}

static void a_disk_that_hangs_holds_a_few_whose_reads_python_gets(void)
{
    const uint32_t size = SEGMENT_BYTES;
    int file = a_file(memfd_create("block", MFD_CLOEXEC), size);
    pthread_t threads[MAX_WAITS];
    bool seen[MAX_WAITS] = {false};
    struct pollfd replies;

    begin(size, file);
    CHECK(!pipe2(gate, O_CLOEXEC));
    answers.wait_for_file = hang;
    for (uintptr_t i = 0; i < MAX_WAITS; i++)
        CHECK(!pthread_create(&threads[i], NULL, ask_the_hanging, (void *)i));
    for (int i = 0; i < MAX_WAITS; i++) {
        struct message *message;
        uint64_t unique;

        while (!(message = channel_take(&channel)))
            usleep(1000);
        unique = request_unique(message->bytes, message->length);
        CHECK(unique < MAX_WAITS && !seen[unique]);
        seen[unique] = true;
        free(message);
    }
    CHECK(!asked(99, 0, 4096)); /* Python's at once: as many wait as may. */
    close(gate[1]);
    for (int i = 0; i < MAX_WAITS; i++)
        CHECK(!pthread_join(threads[i], NULL));
    replies = (struct pollfd){.fd = ends[0], .events = POLLIN};
    CHECK(!poll(&replies, 1, 0)); /* None is answered twice. */
    CHECK(atomic_load(&answers.overdue) == MAX_WAITS && atomic_load(&answers.failed) == 1);
    CHECK(answered(0, 4096, 4096)); /* And when it is well again, it is used again. */
    close(gate[0]);
    end(file);
}

#define MANY 32

/* Nobody knows when a thread that was started begins. */
static void a_wait_that_begins_before_its_watcher_is_watched(void)
{
    static struct waits all[MANY];
    struct wait *begun[MANY];
    struct message *request = malloc(sizeof *request + 128);

    CHECK(request);
    channel.event = -1;
    for (uint64_t i = 0; i < MANY; i++) {
        request->length = a_read(request->bytes, i, 5, 0, 4096);
        CHECK(!waits_start(&all[i], &channel));
        begun[i] = waits_begin(&all[i], request);
        CHECK(begun[i]);
    }
    free(request);
    for (int i = 0; i < MANY; i++) {
        struct message *message;

        while (!(message = channel_take(&channel)))
            usleep(1000);
        free(message);
    }
    for (int i = 0; i < MANY; i++) {
        CHECK(!waits_end(&all[i], begun[i]));
        waits_stop(&all[i]);
    }
}

int main(void)
{
    table = table_new();
    every_range_of_a_block_is_its_bytes();
    what_has_to_be_waited_for_is_answered_too();
    much_is_read_directly();
    a_read_of_many_parts_is_their_bytes();
    a_disk_that_hangs_holds_a_few_whose_reads_python_gets();
    a_wait_that_begins_before_its_watcher_is_watched();
    table_free(table);
    return 0;
}
