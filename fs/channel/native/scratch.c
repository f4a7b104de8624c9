#define _GNU_SOURCE
#include "scratch.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Of x86-64, and of ARM with pages of 4 KiB; elsewhere it is an alignment like another. */
#define LARGE_PAGE_BYTES ((size_t)2 * 1024 * 1024)

/* It is read into past the kernel's pages, and copied from: in large pages a disk gets one piece of it
 * instead of 256, and each MiB is one visit to it. */
static uint8_t *scratch_new(size_t bytes)
{
    const size_t size = bytes + (-bytes & (LARGE_PAGE_BYTES - 1));
    uint8_t *scratch = aligned_alloc(LARGE_PAGE_BYTES, size);

    if (scratch)
        madvise(scratch, size, MADV_HUGEPAGE);
    return scratch;
}

void scratches_start(struct scratches *scratches, size_t bytes)
{
    pthread_mutex_init(&scratches->lock, NULL);
    scratches->bytes = bytes;
    scratches->free_count = 0;
    scratches->stopped = false;
}

void scratches_stop(struct scratches *scratches)
{
    pthread_mutex_lock(&scratches->lock);
    scratches->stopped = true;
    while (scratches->free_count)
        free(scratches->free[--scratches->free_count]);
    pthread_mutex_unlock(&scratches->lock);
}

uint8_t *scratch_take(struct scratches *scratches)
{
    uint8_t *taken = NULL;

    pthread_mutex_lock(&scratches->lock);
    if (scratches->free_count)
        taken = scratches->free[--scratches->free_count];
    pthread_mutex_unlock(&scratches->lock);
    return taken ? taken : scratch_new(scratches->bytes);
}

void scratch_give(struct scratches *scratches, uint8_t *scratch)
{
    pthread_mutex_lock(&scratches->lock);
    if (!scratches->stopped && scratches->free_count < MAX_SCRATCHES) {
        scratches->free[scratches->free_count++] = scratch;
        scratch = NULL;
    }
    pthread_mutex_unlock(&scratches->lock);
    free(scratch);
}
