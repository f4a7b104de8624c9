/* What a message of the kernel is, and who answers it. Pure: no state, no system call.
 *
 * Messages come from the kernel's device, so their shape is the kernel's word; every length is
 * checked all the same, and nothing is read past what came.
 */
#ifndef LUCIDNODE_CHANNEL_REQUEST_H
#define LUCIDNODE_CHANNEL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a request that pyfuse3 gets, and of its reply: the longest are a value of an extended
 * attribute (64 KiB and its name) and a page of a directory, which is kept to LISTING_BYTES. */
#define SESSION_BYTES (128 * 1024)
#define LISTING_BYTES (64 * 1024)

/* What one READ or WRITE carries at most: as much as the kernel's own limit for a file system. */
#define DATA_BYTES (1024 * 1024)

/* The device wants room for the largest request, with its header. */
#define REQUEST_BYTES (DATA_BYTES + 4096)

enum route {
    ROUTE_NOBODY,      /* no request, or one that wants no answer: dropped */
    ROUTE_INIT,        /* to pyfuse3, whose reply is to be adjusted */
    ROUTE_SESSION,     /* to pyfuse3 */
    ROUTE_DIRECT,      /* to our own handlers */
    ROUTE_READ,        /* answered here if the bytes are known, else to our own handlers */
    ROUTE_FLUSH,       /* answered here if it ends nothing, else to our own handlers */
    ROUTE_UNSUPPORTED, /* answered here with EOPNOTSUPP: an attribute that no file has */
};

/* A READ; of a FLUSH, *unique* and *handle* alone. */
struct read_request {
    uint64_t unique;
    uint64_t handle;
    int64_t offset;
    uint32_t size;
};

/* Tell who answers the message of *length* bytes. *direct* has a bit for each opcode that our own
 * handlers take. Fills *read* for ROUTE_READ and ROUTE_FLUSH only. */
enum route request_route(const uint8_t *message, size_t length, uint64_t direct,
                         struct read_request *read);

/* Return the number of the request, 0 if the message is too short to have one. */
uint64_t request_unique(const uint8_t *message, size_t length);

/* Keep the page of a directory that the message asks for to LISTING_BYTES, if it is about one. */
void request_limit_listing(uint8_t *message, size_t length);

/* Hide from pyfuse3, in an INIT request, that requests may be longer than 128 KiB: those go to our
 * own handlers, and pyfuse3 need not hold room for them. Returns whether the kernel offered it. */
bool request_hide_max_pages(uint8_t *message, size_t length);

/* Adjust pyfuse3's reply to INIT, of *length* bytes: *max_pages* pages, DATA_BYTES in all, for each
 * READ and WRITE unless it is 0. *flags* are INIT flags to be added. The kernel may
 * have *background* reads under way; it takes no more from an ordinary user than it gives one. */
void reply_adjust_init(uint8_t *message, size_t length, uint16_t max_pages, uint64_t flags,
                       uint16_t background);

/* Return the number of the request that is replied to, 0 if the reply is too short to say. */
uint64_t reply_unique(const uint8_t *message, size_t length);

/* Tell whether *length* bytes are a reply to a request: not a notification, not torn. */
bool reply_is_whole(const uint8_t *message, size_t length, uint64_t *unique);

#endif
