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
    block = table_add_block(table, file, -1, key, (const uint8_t *)"prefix", 6, plain_bytes);
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

    table_release(table, &read, plan, answered, 7);
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
    CHECK(place.block == block_number(block) && place.reads == 4 && place.nanoseconds == 28);
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
    blocks_come_and_go_under_readers();
    table_free(table);
    return 0;
}
