/* What is known of open files: where their bytes lie, in which block files, under which keys.
 *
 * Python publishes pieces of files by handle, and withdraws a handle before it answers a request that
 * changes its file. A reader asks for a *plan*: what a READ sees at that moment. A plan stays good
 * when it is withdrawn meanwhile, for blocks never change and their files stay open: its READ came
 * before the change was answered.
 *
 * One lock guards all of it; it is a leaf, and is held for a search at most.
 */
#ifndef LUCIDNODE_CHANNEL_TABLE_H
#define LUCIDNODE_CHANNEL_TABLE_H

#include "request.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_BYTES 65536
#define TAG_BYTES 32
#define BLOCK_HEADER_BYTES 40
#define MAX_BLOCK_BYTES (16 * 1024 * 1024)
#define KEY_BYTES 32
#define MAX_ASSOCIATED_BYTES 64

/* Pieces of one READ: one that lies in more is left to Python. */
#define MAX_PARTS 16

/* Pieces of one handle. */
#define MAX_PIECES 16384

/* Places that wait for Python: with more, READs are left to it. */
#define MAX_PLACES 8192

/* One block whose file is open. Its key is wiped when it goes. */
struct block;

/* Bytes [start, stop) of a file lie in *block*, from *block_start* of its plaintext. */
struct part {
    struct block *block;
    int64_t start;
    int64_t stop;
    int64_t block_start;
};

/* What a READ sees: *length* bytes at *offset*, fewer than it asked for only at the end. */
struct plan {
    int64_t offset;
    size_t length;
    int count;
    struct part parts[MAX_PARTS];
};

/* What was read of one block: for Python to count, and to learn from. READs that go on where the last
 * one ended are one place. Of a READ of several blocks, the first place counts it: those that follow
 * it have none of their own. */
struct place {
    uint64_t handle;
    int64_t offset;
    int64_t length;
    uint64_t block; /* its number */
    uint64_t reads;
    uint64_t nanoseconds; /* that they took in sum */
};

struct table;

/* Return an empty table, NULL without memory. */
struct table *table_new(void);

/* Free everything; nobody may use the table or a plan of it any more. */
void table_free(struct table *table);

/* Add a block: *file*, with *plain_bytes* of plaintext, whole pages. *direct* is the same file opened
 * with O_DIRECT, or -1. Duplicates of both are kept.
 * Returns NULL on a size that no block has, without memory, or without a descriptor; errno says. */
struct block *table_add_block(struct table *table, int file, int direct,
                              const uint8_t key[KEY_BYTES],
                              const uint8_t *associated, size_t associated_bytes,
                              uint32_t plain_bytes);

/* Return the number of a block, never used twice. */
uint64_t block_number(const struct block *block);

/* Let go of a block: no later plan has it. Its file is closed with the last plan that has. */
void table_drop_block(struct table *table, struct block *block);

/* Publish that a part of the file that *handle* has open lies in a block; the file has *size* bytes.
 * It may overlap what was published, as other cuts of one extent do; then both are one. Returns false
 * if it is refused, and the handle withdrawn: the part contradicts another, or lies outside of the
 * block or the file, another size was published, or there is no room. */
bool table_publish(struct table *table, uint64_t handle, int64_t size, const struct part *part);

/* Forget all about *handle*. No later plan is made of it. */
void table_withdraw(struct table *table, uint64_t handle);

/* Make a plan of a READ. Returns false if its bytes are not all known. */
bool table_plan(struct table *table, const struct read_request *read, struct plan *plan);

/* End a plan. If *answered*, note the places that it read in *nanoseconds*; returns whether none was
 * noted before. */
bool table_release(struct table *table, const struct read_request *read, struct plan *plan,
                   bool answered, uint64_t nanoseconds);

/* Take the oldest place that was read. Returns false if there is none. */
bool table_take_place(struct table *table, struct place *place);

/* What a plan's reader may use of a block. */
int block_file(const struct block *block);
int block_direct_file(const struct block *block);
const uint8_t *block_key(const struct block *block);
const uint8_t *block_associated(const struct block *block, size_t *bytes);
uint32_t block_plain_bytes(const struct block *block);

#endif
