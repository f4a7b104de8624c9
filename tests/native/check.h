/* What the tests in C share: a check that says where it failed, and messages of a kernel. */
#ifndef LUCIDNODE_TESTS_CHECK_H
#define LUCIDNODE_TESTS_CHECK_H

#include <linux/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Make a request of *size* bytes of body at *message*; return its length. */
static inline size_t a_request(uint8_t *message, uint32_t opcode, uint64_t unique, const void *body,
                               size_t size)
{
    struct fuse_in_header header = {.opcode = opcode, .unique = unique, .nodeid = 7};

    header.len = (uint32_t)(sizeof header + size);
    memcpy(message, &header, sizeof header);
    memcpy(message + sizeof header, body, size);
    return header.len;
}

static inline size_t a_read(uint8_t *message, uint64_t unique, uint64_t handle, uint64_t offset,
                            uint32_t size)
{
    struct fuse_read_in body = {.fh = handle, .offset = offset, .size = size};

    return a_request(message, FUSE_READ, unique, &body, sizeof body);
}

static inline int read_exactly(int file, uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t got = read(file, bytes, size);

        if (got <= 0)
            return 0;
        bytes += got;
        size -= (size_t)got;
    }
    return 1;
}

#endif
