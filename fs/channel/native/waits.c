#define _GNU_SOURCE
#include "waits.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Hold the lock. Take one READ that is overdue, and return it. */
static const struct wait *take_overdue(struct waits *waits)
{
    for (int i = 0; i < MAX_WAITS; i++) {
        struct wait *wait = &waits->all[i];

        if (wait->begun && !wait->taken && now_ms() - wait->since_ms >= OVERDUE_MS) {
            wait->taken = true;
            return wait;
        }
    }
    return NULL;
}

/* Hold the lock. */
static bool any_begun(const struct waits *waits)
{
    for (int i = 0; i < MAX_WAITS; i++)
        if (waits->all[i].begun)
            return true;
    return false;
}

/* Hold the lock. Sleep until somebody waits, and then for half of what is too long. */
static void sleep_a_while(struct waits *waits)
{
    struct timespec until;

    if (!waits->watching) {
        /* Who began before this thread first came here has signalled to nobody. */
        while (!waits->stopping && !any_begun(waits))
            pthread_cond_wait(&waits->begun, &waits->lock);
        waits->watching = true;
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += OVERDUE_MS / 2 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    waits->any_since = false;
    pthread_cond_timedwait(&waits->begun, &waits->lock, &until);
    waits->watching = waits->any_since || any_begun(waits);
}

static void *watch_on(void *argument)
{
    struct waits *waits = argument;

    pthread_mutex_lock(&waits->lock);
    while (!waits->stopping) {
        const struct wait *overdue = take_overdue(waits);

        if (overdue) {
            uint8_t request[MAX_READ_REQUEST_BYTES];
            const size_t length = overdue->length;

            memcpy(request, overdue->request, length);
            pthread_mutex_unlock(&waits->lock);
            if (!channel_hand_over_now(waits->channel, request, length))
                channel_reply(waits->channel, request_unique(request, length), ENOMEM, NULL, 0);
            pthread_mutex_lock(&waits->lock);
        } else {
            sleep_a_while(waits);
        }
    }
    pthread_mutex_unlock(&waits->lock);
    return NULL;
}

int waits_start(struct waits *waits, struct channel *channel)
{
    pthread_condattr_t steady;
    int error;

    memset(waits, 0, sizeof *waits);
    waits->channel = channel;
    pthread_mutex_init(&waits->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&waits->begun, &steady);
    pthread_condattr_destroy(&steady);
    error = channel_start_thread(&waits->watcher, watch_on, waits);
    if (error) {
        pthread_cond_destroy(&waits->begun);
        pthread_mutex_destroy(&waits->lock);
    }
    return error;
}

void waits_stop(struct waits *waits)
{
    pthread_mutex_lock(&waits->lock);
    waits->stopping = true;
    pthread_cond_signal(&waits->begun);
    pthread_mutex_unlock(&waits->lock);
    pthread_join(waits->watcher, NULL);
}

struct wait *waits_begin(struct waits *waits, const struct message *request)
{
    struct wait *free_one = NULL;

    if (request->length > MAX_READ_REQUEST_BYTES)
        return NULL;
    pthread_mutex_lock(&waits->lock);
    for (int i = 0; i < MAX_WAITS && !free_one; i++)
        if (!waits->all[i].begun)
            free_one = &waits->all[i];
    if (free_one) {
        free_one->begun = true;
        free_one->taken = false;
        free_one->since_ms = now_ms();
        free_one->length = request->length;
        memcpy(free_one->request, request->bytes, request->length);
        waits->any_since = true;
        if (!waits->watching)
            pthread_cond_signal(&waits->begun);
    }
    pthread_mutex_unlock(&waits->lock);
    return free_one;
}

bool waits_end(struct waits *waits, struct wait *wait)
{
    bool ours;

    pthread_mutex_lock(&waits->lock);
    ours = !wait->taken;
    wait->begun = false;
    pthread_mutex_unlock(&waits->lock);
    return ours;
}

int waits_abandon(struct waits *waits)
{
    int count = 0;

    pthread_mutex_lock(&waits->lock);
    for (int i = 0; i < MAX_WAITS; i++) {
        waits->all[i].taken = waits->all[i].begun;
        count += waits->all[i].begun;
    }
    pthread_mutex_unlock(&waits->lock);
    return count;
}
