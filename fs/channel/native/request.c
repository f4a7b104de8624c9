#include "request.h"

#include <linux/fuse.h>
#include <string.h>

/* Newer than the headers of some systems we are built on. Kernels that do not know it look at neither
 * the flag nor the field behind `map_alignment`. */
#define INIT_EXT (1u << 30)
#define FLAGS2_AT 32

static bool header_of(const uint8_t *message, size_t length, struct fuse_in_header *header)
{
    if (length < sizeof *header)
        return false;
    memcpy(header, message, sizeof *header);
    return header->len == length;
}

/* Programs and the kernel ask each file for these: `ls -l` for two, every write for one. */
static bool asks_unsupported_attribute(const uint8_t *message, size_t length,
                                       const struct fuse_in_header *header)
{
    static const char *const prefixes[] = {"security.", "system."};
    const size_t name = sizeof *header + sizeof(struct fuse_getxattr_in);

    if (header->opcode != FUSE_GETXATTR || length <= name)
        return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t size = strlen(prefixes[i]);

        if (length - name > size && !memcmp(message + name, prefixes[i], size))
            return true;
    }
    return false;
}

enum route request_route(const uint8_t *message, size_t length, uint64_t direct,
                         struct read_request *read)
{
    struct fuse_in_header header;
    struct fuse_read_in body;
    struct fuse_flush_in flush;

    if (!header_of(message, length, &header))
        return ROUTE_NOBODY;
    if (header.opcode == FUSE_INIT)
        return ROUTE_INIT;
    if (asks_unsupported_attribute(message, length, &header))
        return ROUTE_UNSUPPORTED;
    if (header.opcode >= 64 || !(direct >> header.opcode & 1))
        /* libfuse, which does not know the requests that go past it, would ask for the interrupt again
         * with each request that follows. */
        return header.opcode == FUSE_INTERRUPT ? ROUTE_NOBODY : ROUTE_SESSION;
    if (header.opcode == FUSE_FLUSH && length >= sizeof header + sizeof flush) {
        memcpy(&flush, message + sizeof header, sizeof flush);
        *read = (struct read_request){.unique = header.unique, .handle = flush.fh};
        return ROUTE_FLUSH;
    }
    if (header.opcode != FUSE_READ || length < sizeof header + sizeof body)
        return ROUTE_DIRECT;
    memcpy(&body, message + sizeof header, sizeof body);
    if (body.offset > (uint64_t)INT64_MAX - DATA_BYTES || body.size > DATA_BYTES)
        return ROUTE_DIRECT;
    read->unique = header.unique;
    read->handle = body.fh;
    read->offset = (int64_t)body.offset;
    read->size = body.size;
    return ROUTE_READ;
}

uint64_t request_unique(const uint8_t *message, size_t length)
{
    struct fuse_in_header header;

    if (length < sizeof header)
        return 0;
    memcpy(&header, message, sizeof header);
    return header.unique;
}

void request_limit_listing(uint8_t *message, size_t length)
{
    struct fuse_in_header header;
    struct fuse_read_in body;

    if (!header_of(message, length, &header) || length < sizeof header + sizeof body)
        return;
    if (header.opcode != FUSE_READDIR && header.opcode != FUSE_READDIRPLUS)
        return;
    memcpy(&body, message + sizeof header, sizeof body);
    if (body.size > LISTING_BYTES) {
        body.size = LISTING_BYTES;
        memcpy(message + sizeof header, &body, sizeof body);
    }
}

bool request_hide_max_pages(uint8_t *message, size_t length)
{
    struct fuse_in_header header;
    struct fuse_init_in body;
    const size_t flags_end = offsetof(struct fuse_init_in, flags) + sizeof body.flags;
    uint32_t flags;
    bool offered;

    if (!header_of(message, length, &header) || length < sizeof header + flags_end)
        return false;
    memcpy(&flags, message + sizeof header + offsetof(struct fuse_init_in, flags), sizeof flags);
    offered = flags & FUSE_MAX_PAGES;
    flags &= ~(uint32_t)FUSE_MAX_PAGES;
    memcpy(message + sizeof header + offsetof(struct fuse_init_in, flags), &flags, sizeof flags);
    return offered;
}

void reply_adjust_init(uint8_t *message, size_t length, uint16_t max_pages, uint64_t flags,
                       uint16_t background)
{
    struct fuse_out_header header;
    struct fuse_init_out body;
    uint32_t flags2 = (uint32_t)(flags >> 32);

    if (length < sizeof header + sizeof body)
        return;
    memcpy(&header, message, sizeof header);
    if (header.error)
        return;
    memcpy(&body, message + sizeof header, sizeof body);
    body.flags |= (uint32_t)flags;
    if (flags2) {
        uint32_t there;

        body.flags |= INIT_EXT;
        memcpy(&there, (uint8_t *)&body + FLAGS2_AT, sizeof there);
        flags2 |= there;
        memcpy((uint8_t *)&body + FLAGS2_AT, &flags2, sizeof flags2);
    }
    if (body.max_background < background)
        body.max_background = background;
    if (body.congestion_threshold < background)
        body.congestion_threshold = background;
    if (max_pages) {
        body.flags |= FUSE_MAX_PAGES;
        body.max_pages = max_pages;
        body.max_write = DATA_BYTES;
    }
    memcpy(message + sizeof header, &body, sizeof body);
}

uint64_t reply_unique(const uint8_t *message, size_t length)
{
    struct fuse_out_header header;

    if (length < sizeof header)
        return 0;
    memcpy(&header, message, sizeof header);
    return header.unique;
}

bool reply_is_whole(const uint8_t *message, size_t length, uint64_t *unique)
{
    struct fuse_out_header header;

    if (length < sizeof header)
        return false;
    memcpy(&header, message, sizeof header);
    *unique = header.unique;
    return header.len == length && header.unique;
}
