/* What a plan sees of what was published, and what becomes of blocks and keys. */
#define _GNU_SOURCE
#include "answer.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint8_t key[KEY_BYTES] = {1};

static struct table *table;

static struct block *a_block(uint32_t plain_bytes)
{
    int file = memfd_create("block", MFD_CLOEXEC);
    struct block *block;

    CHECK(file >= 0);
    block = table_add_block(table, file, key, (const uint8_t *)"prefix", 6, plain_bytes);
    close(file);
    return block;
}

static bool shown(uint64_t handle, int64_t size, struct block *block, int64_t start, int64_t stop,
                  int64_t block_start)
{
    struct part part = {block, start, stop, block_start};

    return table_publish(table, handle, size, &part);
}

static bool planned(uint64_t handle, int64_t offset, uint32_t size, struct plan *plan)
{
    struct read_request read = {.unique = 1, .handle = handle, .offset = offset, .size = size};

    return table_plan(table, &read, plan);
}

static void ended(uint64_t handle, struct plan *plan, bool answered)
{
    struct read_request read = {.unique = 1, .handle = handle};

    table_release(table, &read, plan, answered);
}

static void cuts_of_one_extent_become_one(void)
{
    struct block *block = a_block(1 << 20);
    struct plan plan;

    CHECK(shown(1, 1 << 20, block, 0, 4096, 0));
    CHECK(shown(1, 1 << 20, block, 8192, 12288, 8192));
    CHECK(!planned(1, 0, 12288, &plan));
    CHECK(shown(1, 1 << 20, block, 4096, 8192, 4096));
    CHECK(shown(1, 1 << 20, block, 2048, 20480, 2048));
    CHECK(planned(1, 100, 12288, &plan));
    CHECK(plan.count == 1 && plan.length == 12288);
    CHECK(plan.parts[0].start == 100 && plan.parts[0].block_start == 100);
    ended(1, &plan, false);
    table_withdraw(table, 1);
    CHECK(!planned(1, 0, 1, &plan));
    table_drop_block(table, block);
}

static void a_read_over_several_blocks_ends_with_the_file(void)
{
    struct block *one = a_block(4096);
    struct block *other = a_block(8192);
    struct plan plan;

    CHECK(shown(2, 10000, other, 4096, 10000, 2000));
    CHECK(shown(2, 10000, one, 0, 4096, 0));
    CHECK(planned(2, 4000, 1 << 20, &plan));
    CHECK(plan.count == 2 && plan.length == 6000);
    CHECK(plan.parts[1].start == 4096 && plan.parts[1].stop == 10000);
    CHECK(plan.parts[1].block_start == 2000);
    ended(2, &plan, false);
    CHECK(planned(2, 10000, 4096, &plan) && plan.length == 0 && plan.count == 0);
    ended(2, &plan, true);
    table_drop_block(table, one);
    CHECK(!planned(2, 0, 1, &plan));
    CHECK(planned(2, 4096, 1, &plan));
    table_drop_block(table, other);
    table_withdraw(table, 2);
    ended(2, &plan, true); /* The block stayed for its plan. */
    struct place place;
    CHECK(table_take_place(table, &place) && place.handle == 2 && place.length == 1);
    CHECK(!table_take_place(table, &place));
}

static void what_contradicts_withdraws_the_handle(void)
{
    struct block *block = a_block(8192);
    struct plan plan;

    const struct part wrong[] = {
        {block, 0, 4096, 4096},  {block, -1, 4096, 0}, {block, 4096, 4096, 0},
        {block, 0, 8192, 4096},  {block, 0, 9000, 0},  {block, 0, 1, -1},
        {block, 0, 1, 8193},     {block, 0, INT64_MAX, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(shown(3, 8192, block, 0, 4096, 0));
        CHECK(!table_publish(table, 3, 8192, &wrong[i]));
        CHECK(!planned(3, 0, 1, &plan));
    }
    CHECK(shown(3, 8192, block, 0, 4096, 0));
    CHECK(!shown(3, 8193, block, 4096, 8192, 4096));
    CHECK(!planned(3, 0, 1, &plan));
    table_drop_block(table, block);
    CHECK(!a_block(0) && !a_block(4095) && !a_block(MAX_BLOCK_BYTES + 4096));
}

static void places_follow_each_other_and_are_bounded(void)
{
    struct block *block = a_block(1 << 20);
    struct plan plan;
    struct place place;
    int noted = 0;

    CHECK(shown(4, 1 << 20, block, 0, 1 << 20, 0));
    for (int i = 0; i < 4; i++) {
        CHECK(planned(4, i * 4096, 4096, &plan));
        ended(4, &plan, true);
    }
    CHECK(table_take_place(table, &place) && place.length == 4 * 4096 && place.offset == 0);
    CHECK(place.block == block_number(block));
    while (planned(4, noted % 2 * 8192, 4096, &plan)) {
        ended(4, &plan, true);
        noted++;
    }
    CHECK(noted > MAX_PLACES - 2 * MAX_PARTS && noted <= MAX_PLACES);
    while (table_take_place(table, &place))
        noted--;
    CHECK(!noted);
    table_withdraw(table, 4);
    table_drop_block(table, block);
}

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

/* A block file of *size* bytes whose plaintext at *i* is a byte of *i*. */
static int a_file(uint32_t size)
{
    int file = a_disk_file();
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

static bool answered(struct answers *answers, int kernel, int64_t offset, uint32_t size,
                     uint32_t expected)
{
    static uint8_t scratch[ANSWER_SCRATCH];
    static uint8_t reply[DATA_BYTES + 64];
    struct fuse_out_header header;
    struct read_request read = {.unique = 9, .handle = 5, .offset = offset, .size = size};

    if (!answer_read(answers, -1, &read, NULL, scratch))
        return false;
    CHECK(read_exactly(kernel, reply, sizeof header + expected));
    memcpy(&header, reply, sizeof header);
    CHECK(header.unique == 9 && !header.error && header.len == sizeof header + expected);
    for (uint32_t i = 0; i < expected; i++)
        CHECK(reply[sizeof header + i] == (uint8_t)((uint32_t)(offset + i) * 2654435761u >> 24));
    return true;
}

static void every_range_of_a_block_is_its_bytes(void)
{
    const uint32_t size = 5 * SEGMENT_BYTES + 4096;
    struct channel channel = {0};
    struct answers answers = {.table = table, .open = copied, .channel = &channel};
    int ends[2];
    int file = a_file(size);
    struct block *block;

    CHECK(!pipe2(ends, O_CLOEXEC));
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
    channel.device = ends[1];
    channel.event = -1;
    block = table_add_block(table, file, key, (const uint8_t *)"prefix", 6, size);
    CHECK(shown(5, size, block, 0, size, 0));
    const uint32_t edges[] = {0, 1, 4096, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1,
                              3 * SEGMENT_BYTES, 5 * SEGMENT_BYTES, size - 1};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (size_t j = 0; j < sizeof edges / sizeof *edges; j++)
            CHECK(answered(&answers, ends[0], edges[i], edges[j],
                           edges[j] < size - edges[i] ? edges[j] : size - edges[i]));
    /* A segment that does not open is left to Python, and so is a file that ends too soon. */
    CHECK(pwrite(file, "\xff", 1, BLOCK_HEADER_BYTES + 2 * (SEGMENT_BYTES + TAG_BYTES) - 1) == 1);
    CHECK(answered(&answers, ends[0], 0, SEGMENT_BYTES, SEGMENT_BYTES));
    CHECK(!answered(&answers, ends[0], 0, SEGMENT_BYTES + 1, 0));
    CHECK(!ftruncate(file, BLOCK_HEADER_BYTES + SEGMENT_BYTES));
    CHECK(!answered(&answers, ends[0], 0, 1, 0));
    CHECK(atomic_load(&answers.failed) == 2);
    table_withdraw(table, 5);
    table_drop_block(table, block);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

static void *plan_again_and_again(void *nothing)
{
    struct plan plan;

    (void)nothing;
    for (int i = 0; i < 20000; i++)
        if (planned(6, i % 4096, 4096, &plan))
            ended(6, &plan, i % 2);
    return NULL;
}

static void blocks_come_and_go_under_readers(void)
{
    pthread_t threads[3];
    struct place place;

    for (int i = 0; i < 3; i++)
        CHECK(!pthread_create(&threads[i], NULL, plan_again_and_again, NULL));
    for (int i = 0; i < 500; i++) {
        struct block *one = a_block(4096);
        struct block *other = a_block(4096);

        CHECK(shown(6, 8192, one, 0, 4096, 0) && shown(6, 8192, other, 4096, 8192, 0));
        if (i % 3)
            table_withdraw(table, 6);
        table_drop_block(table, one);
        while (table_take_place(table, &place))
            ;
        table_drop_block(table, other);
        table_withdraw(table, 6);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    table = table_new();
    cuts_of_one_extent_become_one();
    a_read_over_several_blocks_ends_with_the_file();
    what_contradicts_withdraws_the_handle();
    places_follow_each_other_and_are_bounded();
    every_range_of_a_block_is_its_bytes();
    blocks_come_and_go_under_readers();
    table_free(table);
    return 0;
}
