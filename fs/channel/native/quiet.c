#define _GNU_SOURCE
#include "quiet.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#define BUCKETS 1024

struct entry {
    struct entry *next;
    uint64_t handle;
};

struct quiet {
    pthread_mutex_t lock; /* a leaf, held for a search */
    struct entry *buckets[BUCKETS];
    size_t count;
};

/* Hold the lock. */
static struct entry **slot_of(struct quiet *quiet, uint64_t handle)
{
    struct entry **slot = &quiet->buckets[handle % BUCKETS];

    while (*slot && (*slot)->handle != handle)
        slot = &(*slot)->next;
    return slot;
}

void quiet_add(struct quiet *quiet, uint64_t handle)
{
    struct entry **slot;

    pthread_mutex_lock(&quiet->lock);
    slot = slot_of(quiet, handle);
    if (!*slot && quiet->count < MAX_QUIET_HANDLES) {
        *slot = calloc(1, sizeof **slot);
        if (*slot) {
            (*slot)->handle = handle;
            quiet->count++;
        }
    }
    pthread_mutex_unlock(&quiet->lock);
}

void quiet_remove(struct quiet *quiet, uint64_t handle)
{
    struct entry **slot;
    struct entry *gone;

    pthread_mutex_lock(&quiet->lock);
    slot = slot_of(quiet, handle);
    gone = *slot;
    if (gone) {
        *slot = gone->next;
        quiet->count--;
    }
    pthread_mutex_unlock(&quiet->lock);
    free(gone);
}

bool quiet_has(struct quiet *quiet, uint64_t handle)
{
    bool found;

    pthread_mutex_lock(&quiet->lock);
    found = *slot_of(quiet, handle);
    pthread_mutex_unlock(&quiet->lock);
    return found;
}

struct quiet *quiet_new(void)
{
    struct quiet *quiet = calloc(1, sizeof *quiet);

    if (quiet)
        pthread_mutex_init(&quiet->lock, NULL);
    return quiet;
}

void quiet_clear(struct quiet *quiet)
{
    pthread_mutex_lock(&quiet->lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (quiet->buckets[i]) {
            struct entry *gone = quiet->buckets[i];

            quiet->buckets[i] = gone->next;
            free(gone);
        }
    }
    quiet->count = 0;
    pthread_mutex_unlock(&quiet->lock);
}

void quiet_free(struct quiet *quiet)
{
    quiet_clear(quiet);
    pthread_mutex_destroy(&quiet->lock);
    free(quiet);
}
