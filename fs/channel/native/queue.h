/* Requests on their way to Python: a first-in-first-out list of messages, for one lock's holder. */
#ifndef LUCIDNODE_CHANNEL_QUEUE_H
#define LUCIDNODE_CHANNEL_QUEUE_H

#include "request.h"

#include <stddef.h>
#include <stdint.h>

struct message {
    struct message *next;
    size_t length;
    uint8_t bytes[];
};

struct queue {
    struct message *first;
    struct message *last;
    size_t count;
    size_t bytes;
};

/* Requests longer than this, half of the longest, are not copied on their way to Python. */
#define KEPT_BYTES (REQUEST_BYTES / 2)

/* Return room for any request, NULL without memory. Freed with free(). */
struct message *message_room(void);

/* What a message may hold beyond its length. */
#define SPARE_BYTES (64 * 1024)

/* Give back what *message*, made by `message_room`, holds beyond its length, if that is more than
 * SPARE_BYTES. Returns where it is from now on. */
struct message *message_trimmed(struct message *message);

/* Return a copy of the bytes, NULL without memory. Freed with free(). */
struct message *message_copy(const uint8_t *bytes, size_t length);

void queue_put(struct queue *queue, struct message *message);

/* Take the oldest message, NULL if there is none. It is the caller's to free. */
struct message *queue_take(struct queue *queue);

void queue_clear(struct queue *queue);

#endif
