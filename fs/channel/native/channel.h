/* Threads between the kernel's device and Python, none of which needs the interpreter's lock.
 *
 *   readers   read requests from the device; pass each on, or answer it
 *   sender    sends on what the socket to pyfuse3 had no room for
 *   replier   takes pyfuse3's replies from that socket to the device
 *
 * `channel_stop` ends all of them. Between start and stop every function but those two may be
 * called from any thread.
 */
#ifndef LUCIDNODE_CHANNEL_CHANNEL_H
#define LUCIDNODE_CHANNEL_CHANNEL_H

#include "queue.h"
#include "quiet.h"
#include "request.h"
#include "scratch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MAX_READERS 16

/* Answers a READ and returns true, or returns false to have our own handlers answer it. *request*
 * is the message as it came; *scratch* is *scratch_bytes* for this call alone. */
typedef bool read_answerer(void *context, int device, const struct read_request *read,
                           const struct message *request, uint8_t *scratch);

struct channel {
    int device; /* ours, until `channel_stop` */
    int inside; /* our end of the socket pair whose other end pyfuse3 takes for the device */
    int event;  /* an eventfd: something is in *direct*, or the kernel has unmounted */
    uint64_t direct_opcodes;
    uint64_t init_flags;
    _Atomic uint16_t max_pages;
    uint16_t background; /* reads under way in the kernel at most */
    struct quiet *quiet; /* handles whose FLUSH is answered here, or NULL */
    read_answerer *answerer;
    void *context;
    size_t scratch_bytes; /* with an *answerer*, not 0 */
    /* Returns how many readers wait for a disk, and sees to it that those answer nothing; may be NULL. */
    int (*abandon)(void *context);
    bool in_use; /* somebody still writes to *device* when it stops: it stays open, whose number is his */

    pthread_mutex_t lock; /* of the two queues; a leaf: nothing else is taken under it */
    pthread_cond_t unsent; /* something is in *session*, or the end has come */
    pthread_cond_t room;   /* a queue has become shorter, or the end has come */
    struct queue session;  /* to pyfuse3, when the socket is full */
    struct queue direct;   /* to our own handlers */

    struct scratches scratches;
    pthread_t readers[MAX_READERS];
    int reader_count;
    pthread_t sender;
    pthread_t replier;
    atomic_bool stopping;
    atomic_int ended; /* why the device gave no more requests: an errno, 0 if it still does */
    atomic_ullong init_unique;
    atomic_ullong forwarded;
    atomic_ullong handed_over;
    atomic_ullong flushed; /* FLUSHes that ended nothing */
    atomic_ullong refused_replies;
};

/* Start on the descriptor *device*, of which a duplicate is kept. Sets *outside* to the descriptor
 * that pyfuse3 shall have in its place. The fields from *direct_opcodes* to *in_use* are the
 * caller's to set. Returns 0 or an errno, with nothing left behind. */
int channel_start(struct channel *channel, int device, int readers, int *outside);

/* Take the oldest request for our own handlers, NULL if there is none. The caller frees it. */
struct message *channel_take(struct channel *channel);

/* Hand a request to our own handlers. Returns false without memory. */
bool channel_hand_over(struct channel *channel, const uint8_t *bytes, size_t length);

/* Do the same, however many wait already. */
bool channel_hand_over_now(struct channel *channel, const uint8_t *bytes, size_t length);

/* Answer request *unique* with *error*, a positive errno, or with *length* bytes of *data*. Returns
 * 0 or an errno; ENOENT is a request that nobody waits for any more. */
int channel_reply(struct channel *channel, uint64_t unique, int error, const void *data,
                  size_t length);

/* Have the event loop look: *event* becomes readable. */
void channel_tell(struct channel *channel);

/* Tell the kernel *code*, a FUSE_NOTIFY_..., with its data. Blocks while requests of the same file
 * are under way. Returns 0 or an errno. */
int channel_notify(struct channel *channel, int code, const void *data, size_t length);

/* Start a thread that belongs to a channel: no signal comes to it. Returns 0 or an errno. */
int channel_start_thread(pthread_t *thread, void *(*work)(void *), void *argument);

/* End all threads. The other end of the socket pair must be closed: what pyfuse3 has replied before
 * gets to the kernel first. Returns false if readers are left that a disk does not let go: then the
 * channel stays in memory and cannot be started again. */
bool channel_stop(struct channel *channel);

#endif
