/* Readers that wait for a disk: a few at a time, and each of them for a bounded time.
 *
 * A disk can hang, and a thread that waits for it cannot be called back. So whoever waits has a place
 * here, and with every place taken nobody else waits. A watching thread takes the READ of one that
 * has waited too long and hands it to Python, which knows other sources; the thread that comes back
 * from the disk finds that out and answers nothing.
 */
#ifndef LUCIDNODE_CHANNEL_WAITS_H
#define LUCIDNODE_CHANNEL_WAITS_H

#include "channel.h"

/* Fewer than there are readers: the others go on serving what needs no disk. */
#define MAX_WAITS 10

/* A loaded hard disk answers in tenths of a second. */
#define OVERDUE_MS 1000

#define MAX_READ_REQUEST_BYTES 128

struct wait {
    bool begun;
    bool taken; /* its READ is Python's now */
    int64_t since_ms;
    size_t length;
    uint8_t request[MAX_READ_REQUEST_BYTES];
};

struct waits {
    struct channel *channel;
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t begun;
    pthread_t watcher;
    bool watching; /* the watcher looks again by itself */
    bool any_since; /* a wait has begun since it looked last */
    bool stopping;
    struct wait all[MAX_WAITS];
};

/* Start the watcher. *channel* must run until `waits_stop`. Returns 0 or an errno. */
int waits_start(struct waits *waits, struct channel *channel);

/* End the watcher. Waits that are under way go on. */
void waits_stop(struct waits *waits);

/* Begin to wait with the READ *request*. Returns NULL if as many as may wait do. */
struct wait *waits_begin(struct waits *waits, const struct message *request);

/* End it. Returns whether the READ is still the caller's to answer. */
bool waits_end(struct waits *waits, struct wait *wait);

/* Take the READ of everybody who waits now, and hand it to nobody. Returns how many wait. */
int waits_abandon(struct waits *waits);

#endif
