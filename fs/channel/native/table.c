#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUCKETS 1024
#define PAGE_BYTES 4096

struct block {
    int file;
    int direct; /* the same file past the kernel's pages, or -1 */
    uint32_t plain_bytes;
    uint32_t users;  /* plans under way */
    uint32_t pieces; /* of handles */
    bool dropped;    /* by Python */
    uint64_t number;
    size_t associated_bytes;
    uint8_t associated[MAX_ASSOCIATED_BYTES];
    uint8_t *key;
};

struct handle {
    struct handle *next;
    uint64_t number;
    int64_t size;
    struct part *pieces; /* in order, none overlapping */
    size_t count;
    size_t room;
};

/* Keys lie in pages of their own, which are neither swapped nor dumped where the system lets us. */
struct key_page {
    struct key_page *next;
    uint64_t used; /* a bit for each key */
    uint8_t *keys;
};

#define KEYS_OF_A_PAGE 64

struct table {
    pthread_mutex_t lock;
    struct handle *buckets[BUCKETS];
    struct key_page *key_pages;
    struct place places[MAX_PLACES];
    size_t first_place;
    size_t place_count;
    size_t promised_places; /* of plans under way */
    uint64_t blocks_added;
};

/* -- keys -------------------------------------------------------------------------------------- */

static uint8_t *key_room(struct table *table)
{
    struct key_page *page;

    for (page = table->key_pages; page; page = page->next)
        if (page->used != UINT64_MAX)
            break;
    if (!page) {
        const size_t size = (size_t)KEYS_OF_A_PAGE * KEY_BYTES;
        void *keys = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        page = keys == MAP_FAILED ? NULL : calloc(1, sizeof *page);
        if (!page) {
            if (keys != MAP_FAILED)
                munmap(keys, size);
            return NULL;
        }
        mlock(keys, size);
        madvise(keys, size, MADV_DONTDUMP);
        page->keys = keys;
        page->next = table->key_pages;
        table->key_pages = page;
    }
    for (int i = 0; i < KEYS_OF_A_PAGE; i++) {
        if (!(page->used >> i & 1)) {
            page->used |= 1ull << i;
            return page->keys + (size_t)i * KEY_BYTES;
        }
    }
    return NULL;
}

static void key_wipe(struct table *table, uint8_t *key)
{
    explicit_bzero(key, KEY_BYTES);
    for (struct key_page *page = table->key_pages; page; page = page->next) {
        if (key >= page->keys && key < page->keys + (size_t)KEYS_OF_A_PAGE * KEY_BYTES) {
            page->used &= ~(1ull << ((size_t)(key - page->keys) / KEY_BYTES));
            return;
        }
    }
}

/* -- blocks ------------------------------------------------------------------------------------ */

/* Descriptors to be closed, or -1. */
struct files {
    int file;
    int direct;
};

/* Hold the lock. What it returns is to be closed without it. */
static struct files block_settle(struct table *table, struct block *block)
{
    struct files files = {-1, -1};

    if (!block->dropped || block->users)
        return files;
    files = (struct files){block->file, block->direct};
    block->file = block->direct = -1;
    if (block->key)
        key_wipe(table, block->key);
    block->key = NULL;
    if (!block->pieces)
        free(block);
    return files;
}

/* Hold the lock. */
static void piece_leave(struct block *block)
{
    block->pieces--;
    if (!block->pieces && block->dropped && !block->users)
        free(block); /* Its file was closed when it was dropped. */
}

static void close_late(struct files files)
{
    if (files.file >= 0)
        close(files.file);
    if (files.direct >= 0)
        close(files.direct);
}

/* Returns false without a descriptor. */
static bool duplicate(int file, int direct, struct block *block)
{
    block->file = fcntl(file, F_DUPFD_CLOEXEC, 3);
    block->direct = direct < 0 ? -1 : fcntl(direct, F_DUPFD_CLOEXEC, 3);
    if (block->file >= 0 && (direct < 0 || block->direct >= 0))
        return true;
    const int error = errno;

    close_late((struct files){block->file, block->direct});
    errno = error;
    return false;
}

struct block *table_add_block(struct table *table, int file, int direct,
                              const uint8_t key[KEY_BYTES], const uint8_t *associated,
                              size_t associated_bytes, uint32_t plain_bytes)
{
    struct block *block;

    if (!plain_bytes || plain_bytes > MAX_BLOCK_BYTES || plain_bytes % PAGE_BYTES ||
        associated_bytes > MAX_ASSOCIATED_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    block = calloc(1, sizeof *block);
    if (!block)
        return NULL;
    if (!duplicate(file, direct, block)) {
        free(block);
        return NULL;
    }
    pthread_mutex_lock(&table->lock);
    block->key = key_room(table);
    block->number = ++table->blocks_added;
    pthread_mutex_unlock(&table->lock);
    if (!block->key) {
        close_late((struct files){block->file, block->direct});
        free(block);
        errno = ENOMEM;
        return NULL;
    }
    memcpy(block->key, key, KEY_BYTES);
    memcpy(block->associated, associated, associated_bytes);
    block->associated_bytes = associated_bytes;
    block->plain_bytes = plain_bytes;
    return block;
}

void table_drop_block(struct table *table, struct block *block)
{
    struct files files;

    pthread_mutex_lock(&table->lock);
    block->dropped = true;
    files = block_settle(table, block);
    pthread_mutex_unlock(&table->lock);
    close_late(files);
}

uint64_t block_number(const struct block *block)
{
    return block->number;
}

int block_file(const struct block *block)
{
    return block->file;
}

int block_direct_file(const struct block *block)
{
    return block->direct;
}

const uint8_t *block_key(const struct block *block)
{
    return block->key;
}

const uint8_t *block_associated(const struct block *block, size_t *bytes)
{
    *bytes = block->associated_bytes;
    return block->associated;
}

uint32_t block_plain_bytes(const struct block *block)
{
    return block->plain_bytes;
}

/* -- handles: hold the lock -------------------------------------------------------------------- */

static struct handle **handle_slot(struct table *table, uint64_t number)
{
    struct handle **slot = &table->buckets[number % BUCKETS];

    while (*slot && (*slot)->number != number)
        slot = &(*slot)->next;
    return slot;
}

static void handle_forget(struct handle **slot)
{
    struct handle *handle = *slot;

    if (!handle)
        return;
    *slot = handle->next;
    for (size_t i = 0; i < handle->count; i++)
        piece_leave(handle->pieces[i].block);
    free(handle->pieces);
    free(handle);
}

/* Return the first piece that ends after *offset*, or the count if none does. */
static size_t piece_after(const struct handle *handle, int64_t offset)
{
    size_t low = 0;
    size_t high = handle->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (handle->pieces[middle].stop > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool piece_insert(struct handle *handle, size_t at, const struct part *part)
{
    if (handle->count == handle->room) {
        size_t room = handle->room ? handle->room * 2 : 16;
        struct part *pieces;

        if (handle->count >= MAX_PIECES)
            return false;
        pieces = realloc(handle->pieces, room * sizeof *pieces);
        if (!pieces)
            return false;
        handle->pieces = pieces;
        handle->room = room;
    }
    memmove(&handle->pieces[at + 1], &handle->pieces[at],
            (handle->count - at) * sizeof handle->pieces[0]);
    handle->pieces[at] = *part;
    handle->count++;
    part->block->pieces++;
    return true;
}

/* Tell whether two pieces, as far as they overlap, say the same of where the bytes are. */
static bool agree(const struct part *one, const struct part *other)
{
    return one->start - one->block_start == other->start - other->block_start;
}

static bool publish(struct handle *handle, int64_t size, const struct part *part)
{
    struct part whole = *part;
    size_t at;
    size_t end;

    if (handle->size != size || part->start < 0 || part->start >= part->stop || part->stop > size)
        return false;
    if (part->block_start < 0 || part->block->dropped ||
        part->block_start > part->block->plain_bytes ||
        part->stop - part->start > part->block->plain_bytes - part->block_start)
        return false;
    at = end = piece_after(handle, part->start - 1);
    if (at < handle->count && handle->pieces[at].stop == part->start &&
        (handle->pieces[at].block != part->block || !agree(&handle->pieces[at], part)))
        at = ++end; /* It only touches, and is another. */
    for (; end < handle->count && handle->pieces[end].start < part->stop; end++) {
        const struct part *found = &handle->pieces[end];

        if (!agree(found, part))
            return false;
        if (found->start < whole.start) {
            whole.block_start -= whole.start - found->start;
            whole.start = found->start;
        }
        if (found->stop > whole.stop)
            whole.stop = found->stop;
    }
    if (whole.block_start < 0 ||
        whole.stop - whole.start > whole.block->plain_bytes - whole.block_start)
        return false;
    if (at == end)
        return piece_insert(handle, at, part);
    whole.block->pieces++;
    for (size_t i = at; i < end; i++)
        piece_leave(handle->pieces[i].block);
    handle->pieces[at] = whole;
    memmove(&handle->pieces[at + 1], &handle->pieces[end],
            (handle->count - end) * sizeof handle->pieces[0]);
    handle->count -= end - at - 1;
    return true;
}

bool table_publish(struct table *table, uint64_t number, int64_t size, const struct part *part)
{
    struct handle **slot;
    bool published = false;

    pthread_mutex_lock(&table->lock);
    slot = handle_slot(table, number);
    if (!*slot) {
        *slot = calloc(1, sizeof **slot);
        if (*slot) {
            (*slot)->number = number;
            (*slot)->size = size;
        }
    }
    if (*slot) {
        published = publish(*slot, size, part);
        if (!published)
            handle_forget(slot);
    }
    pthread_mutex_unlock(&table->lock);
    return published;
}

void table_withdraw(struct table *table, uint64_t number)
{
    pthread_mutex_lock(&table->lock);
    handle_forget(handle_slot(table, number));
    pthread_mutex_unlock(&table->lock);
}

/* -- plans ------------------------------------------------------------------------------------- */

static bool lay(const struct handle *handle, struct plan *plan)
{
    int64_t at = plan->offset;
    const int64_t stop = plan->offset + (int64_t)plan->length;

    for (size_t i = piece_after(handle, at); at < stop; i++) {
        const struct part *piece;
        struct part *part = &plan->parts[plan->count];

        if (i >= handle->count || plan->count == MAX_PARTS)
            return false;
        piece = &handle->pieces[i];
        if (piece->start > at || piece->block->dropped)
            return false;
        *part = *piece;
        part->start = at;
        part->block_start += at - piece->start;
        if (part->stop > stop)
            part->stop = stop;
        at = part->stop;
        plan->count++;
    }
    return true;
}

bool table_plan(struct table *table, const struct read_request *read, struct plan *plan)
{
    const struct handle *handle;
    bool known = false;

    plan->count = 0;
    plan->offset = read->offset;
    pthread_mutex_lock(&table->lock);
    handle = *handle_slot(table, read->handle);
    if (handle && table->place_count + table->promised_places + MAX_PARTS <= MAX_PLACES) {
        int64_t left = handle->size - read->offset;

        plan->length = left <= 0 ? 0 : left < read->size ? (size_t)left : read->size;
        known = lay(handle, plan);
    }
    if (known) {
        table->promised_places += (size_t)plan->count;
        for (int i = 0; i < plan->count; i++)
            plan->parts[i].block->users++;
    }
    pthread_mutex_unlock(&table->lock);
    return known;
}

/* Hold the lock. */
static void note_place(struct table *table, uint64_t handle, const struct part *part,
                       uint64_t reads, uint64_t nanoseconds)
{
    const int64_t length = part->stop - part->start;
    struct place *last =
        &table->places[(table->first_place + table->place_count + MAX_PLACES - 1) % MAX_PLACES];

    if (table->place_count && last->handle == handle && last->block == part->block->number &&
        last->offset + last->length == part->start) {
        last->length += length;
        last->reads += reads;
        last->nanoseconds += nanoseconds;
        return;
    }
    table->places[(table->first_place + table->place_count++) % MAX_PLACES] =
        (struct place){handle, part->start, length, part->block->number, reads, nanoseconds};
}

bool table_release(struct table *table, const struct read_request *read, struct plan *plan,
                   bool answered, uint64_t nanoseconds)
{
    struct files files[MAX_PARTS];
    bool first;

    pthread_mutex_lock(&table->lock);
    first = answered && plan->count && !table->place_count;
    table->promised_places -= (size_t)plan->count;
    for (int i = 0; i < plan->count; i++) {
        struct block *block = plan->parts[i].block;

        if (answered)
            note_place(table, read->handle, &plan->parts[i], !i, i ? 0 : nanoseconds);
        block->users--;
        files[i] = block_settle(table, block);
    }
    pthread_mutex_unlock(&table->lock);
    for (int i = 0; i < plan->count; i++)
        close_late(files[i]);
    return first;
}

bool table_take_place(struct table *table, struct place *place)
{
    bool any;

    pthread_mutex_lock(&table->lock);
    any = table->place_count > 0;
    if (any) {
        *place = table->places[table->first_place];
        table->first_place = (table->first_place + 1) % MAX_PLACES;
        table->place_count--;
    }
    pthread_mutex_unlock(&table->lock);
    return any;
}

/* -- beginning and end ------------------------------------------------------------------------- */

struct table *table_new(void)
{
    struct table *table = calloc(1, sizeof *table);

    if (table)
        pthread_mutex_init(&table->lock, NULL);
    return table;
}

void table_free(struct table *table)
{
    for (int i = 0; i < BUCKETS; i++)
        while (table->buckets[i])
            handle_forget(&table->buckets[i]);
    while (table->key_pages) {
        struct key_page *page = table->key_pages;

        table->key_pages = page->next;
        explicit_bzero(page->keys, (size_t)KEYS_OF_A_PAGE * KEY_BYTES);
        munmap(page->keys, (size_t)KEYS_OF_A_PAGE * KEY_BYTES);
        free(page);
    }
    pthread_mutex_destroy(&table->lock);
    free(table);
}
