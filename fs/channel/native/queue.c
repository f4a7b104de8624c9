#include "queue.h"

#include <stdlib.h>
#include <string.h>

struct message *message_room(void)
{
    return malloc(sizeof(struct message) + REQUEST_BYTES);
}

struct message *message_trimmed(struct message *message)
{
    struct message *trimmed = NULL;

    /* Most are as long as they can be, and have nothing to give. */
    if (REQUEST_BYTES - message->length > SPARE_BYTES)
        trimmed = realloc(message, sizeof *message + message->length);
    return trimmed ? trimmed : message;
}

struct message *message_copy(const uint8_t *bytes, size_t length)
{
    struct message *copy = malloc(sizeof *copy + length);

    if (!copy)
        return NULL;
    copy->next = NULL;
    copy->length = length;
    memcpy(copy->bytes, bytes, length);
    return copy;
}

void queue_put(struct queue *queue, struct message *message)
{
    message->next = NULL;
    if (queue->last)
        queue->last->next = message;
    else
        queue->first = message;
    queue->last = message;
    queue->count++;
    queue->bytes += message->length;
}

struct message *queue_take(struct queue *queue)
{
    struct message *message = queue->first;

    if (!message)
        return NULL;
    queue->first = message->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    queue->bytes -= message->length;
    return message;
}

void queue_clear(struct queue *queue)
{
    struct message *message;

    while ((message = queue_take(queue)))
        free(message);
}
