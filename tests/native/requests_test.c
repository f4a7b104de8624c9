/* What the parser says of whole messages, of torn ones, and of those that are too much. */
#define _GNU_SOURCE
#include "check.h"
#include "request.h"

#define DIRECT (1ull << FUSE_READ | 1ull << FUSE_WRITE)

static enum route route(const uint8_t *message, size_t length)
{
    struct read_request read;

    return request_route(message, length, DIRECT, &read);
}

static void a_read_is_known_by_its_fields(void)
{
    uint8_t message[256];
    struct read_request read;
    size_t length = a_read(message, 11, 22, 4096, 8192);

    CHECK(request_route(message, length, DIRECT, &read) == ROUTE_READ);
    CHECK(read.unique == 11 && read.handle == 22 && read.offset == 4096 && read.size == 8192);
    CHECK(request_route(message, length, 0, &read) == ROUTE_SESSION);
}

/* Each copy has exactly its length, so that the sanitizer sees a byte read past it. */
static void a_torn_message_is_nobodys(void)
{
    uint8_t message[256];
    size_t length = a_read(message, 11, 22, 4096, 8192);

    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *torn = malloc(cut ? cut : 1);

        memcpy(torn, message, cut);
        CHECK(route(torn, cut) == ROUTE_NOBODY);
        request_limit_listing(torn, cut);
        CHECK(!request_hide_max_pages(torn, cut));
        reply_adjust_init(torn, cut, 256, 0, 4096);
        CHECK(request_unique(torn, cut) == (cut < sizeof(struct fuse_in_header) ? 0 : 11));
        free(torn);
    }
}

static void a_read_that_is_too_short_too_far_or_too_long_is_for_python(void)
{
    uint8_t message[256];
    size_t length = a_request(message, FUSE_READ, 1, "short", 5);

    CHECK(route(message, length) == ROUTE_DIRECT);
    CHECK(route(message, a_read(message, 1, 1, UINT64_MAX, 4096)) == ROUTE_DIRECT);
    CHECK(route(message, a_read(message, 1, 1, INT64_MAX, 4096)) == ROUTE_DIRECT);
    CHECK(route(message, a_read(message, 1, 1, 0, DATA_BYTES + 1)) == ROUTE_DIRECT);
}

static enum route route_of_attribute(uint32_t opcode, const char *name, size_t length)
{
    uint8_t message[256];
    uint8_t body[128] = {0};

    memcpy(body + sizeof(struct fuse_getxattr_in), name, length);
    return route(message,
                 a_request(message, opcode, 1, body, sizeof(struct fuse_getxattr_in) + length));
}

static void attributes_of_the_kernels_own_modules_are_asked_of_nobody(void)
{
    CHECK(route_of_attribute(FUSE_GETXATTR, "security.capability", 20) == ROUTE_UNSUPPORTED);
    CHECK(route_of_attribute(FUSE_GETXATTR, "system.posix_acl_access", 24) == ROUTE_UNSUPPORTED);
    CHECK(route_of_attribute(FUSE_GETXATTR, "user.security.", 15) == ROUTE_SESSION);
    CHECK(route_of_attribute(FUSE_GETXATTR, "security", 9) == ROUTE_SESSION);
    CHECK(route_of_attribute(FUSE_GETXATTR, "", 0) == ROUTE_SESSION);
    CHECK(route_of_attribute(FUSE_SETXATTR, "security.capability", 20) == ROUTE_SESSION);
}

static void opcodes_that_no_bit_stands_for_go_to_pyfuse3(void)
{
    uint8_t message[256];

    CHECK(route(message, a_request(message, 64, 1, "", 0)) == ROUTE_SESSION);
    CHECK(route(message, a_request(message, 4096, 1, "", 0)) == ROUTE_SESSION);
    CHECK(route(message, a_request(message, UINT32_MAX, 1, "", 0)) == ROUTE_SESSION);
    CHECK(route(message, a_request(message, FUSE_LOOKUP, 1, "name", 5)) == ROUTE_SESSION);
    CHECK(route(message, a_request(message, FUSE_INIT, 1, "", 0)) == ROUTE_INIT);
    CHECK(route(message, a_request(message, FUSE_INTERRUPT, 1, "", 0)) == ROUTE_NOBODY);
}

static void an_interrupt_is_for_python_if_it_wants_it_and_never_for_pyfuse3(void)
{
    uint8_t message[256];
    struct fuse_interrupt_in body = {.unique = 10};
    struct read_request read;
    size_t length = a_request(message, FUSE_INTERRUPT, 11, &body, sizeof body);

    CHECK(request_route(message, length, 1ull << FUSE_INTERRUPT, &read) == ROUTE_DIRECT);
    CHECK(request_route(message, length, ~(1ull << FUSE_INTERRUPT), &read) == ROUTE_NOBODY);
    CHECK(request_route(message, length - 1, ~0ull, &read) == ROUTE_NOBODY);
}

static void a_page_of_a_directory_fits_into_the_socket(void)
{
    uint8_t message[256];
    struct fuse_read_in body = {.fh = 1, .size = 1 << 20};
    size_t length = a_request(message, FUSE_READDIRPLUS, 1, &body, sizeof body);

    request_limit_listing(message, length);
    memcpy(&body, message + sizeof(struct fuse_in_header), sizeof body);
    CHECK(body.size == LISTING_BYTES && body.fh == 1);
    length = a_read(message, 1, 1, 0, 1 << 20);
    request_limit_listing(message, length);
    memcpy(&body, message + sizeof(struct fuse_in_header), sizeof body);
    CHECK(body.size == 1 << 20);
}

static void init_hides_the_length_of_requests_and_its_reply_brings_it_back(void)
{
    uint8_t message[256];
    struct fuse_init_in in = {.major = 7, .minor = 38, .flags = FUSE_MAX_PAGES | FUSE_ASYNC_READ};
    struct {
        struct fuse_out_header header;
        struct fuse_init_out body;
    } reply = {.header = {.len = sizeof reply, .unique = 1}, .body = {.max_write = 131072}};
    uint8_t bytes[sizeof reply];
    size_t length = a_request(message, FUSE_INIT, 1, &in, sizeof in);

    CHECK(request_hide_max_pages(message, length));
    memcpy(&in, message + sizeof(struct fuse_in_header), sizeof in);
    CHECK(in.flags == FUSE_ASYNC_READ);
    CHECK(!request_hide_max_pages(message, length));

    memcpy(bytes, &reply, sizeof reply);
    reply_adjust_init(bytes, sizeof bytes, 0, FUSE_FLOCK_LOCKS, 0);
    memcpy(&reply, bytes, sizeof reply);
    CHECK(reply.body.max_write == 131072 && reply.body.flags == FUSE_FLOCK_LOCKS);
    CHECK(reply.body.max_background == 0 && reply.body.congestion_threshold == 0);
    reply_adjust_init(bytes, sizeof bytes, 256, 0, 4096);
    memcpy(&reply, bytes, sizeof reply);
    CHECK(reply.body.max_write == DATA_BYTES && reply.body.max_pages == 256);
    CHECK(reply.body.flags == (FUSE_FLOCK_LOCKS | FUSE_MAX_PAGES));
    CHECK(reply.body.max_background == 4096 && reply.body.congestion_threshold == 4096);
    reply_adjust_init(bytes, sizeof bytes, 0, 1ull << 36, 0);
    memcpy(&reply, bytes, sizeof reply);
    CHECK(reply.body.flags == (FUSE_FLOCK_LOCKS | FUSE_MAX_PAGES | 1u << 30));
    CHECK(bytes[sizeof reply.header + 32] == 1 << 4 && bytes[sizeof reply.header + 33] == 0);
    reply_adjust_init(bytes, sizeof bytes, 0, 1ull << 32, 0);
    CHECK(bytes[sizeof reply.header + 32] == (1 << 4 | 1));
    reply_adjust_init(bytes, sizeof bytes, 256, 0, 12);
    memcpy(&reply, bytes, sizeof reply);
    CHECK(reply.body.max_background == 4096 && reply.body.congestion_threshold == 4096);
}

static void only_whole_replies_to_a_request_are_passed_on(void)
{
    struct fuse_out_header header = {.len = sizeof header, .unique = 5};
    uint8_t bytes[sizeof header];
    uint64_t unique;

    memcpy(bytes, &header, sizeof header);
    CHECK(reply_is_whole(bytes, sizeof bytes, &unique) && unique == 5);
    CHECK(!reply_is_whole(bytes, sizeof bytes - 1, &unique));
    header.len++;
    memcpy(bytes, &header, sizeof header);
    CHECK(!reply_is_whole(bytes, sizeof bytes, &unique));
    header = (struct fuse_out_header){.len = sizeof header, .error = 2};
    memcpy(bytes, &header, sizeof header);
    CHECK(!reply_is_whole(bytes, sizeof bytes, &unique));
}

/* Noise, and whole messages with a few bytes changed: nothing is read or written past what came. */
static void any_bytes_are_survived(long rounds)
{
    static const uint8_t body[100];
    uint8_t message[256];
    uint64_t unique;

    srandom(1);
    for (long round = 0; round < rounds; round++) {
        size_t length = (size_t)random() % 120;
        uint8_t *bytes;

        for (size_t i = 0; i < sizeof message; i++)
            message[i] = (uint8_t)random();
        if (round % 2) {
            length = round % 4 == 1 ? a_read(message, 1, 1, (uint64_t)random(), 4096)
                                    : a_request(message, (uint32_t)random() % 70, 1, body,
                                                (size_t)random() % 100);
            for (int i = 0; i < 3; i++)
                message[(size_t)random() % length] = (uint8_t)random();
            length -= (size_t)random() % 2;
        }
        bytes = malloc(length ? length : 1);
        memcpy(bytes, message, length);
        request_hide_max_pages(bytes, length);
        request_limit_listing(bytes, length);
        route(bytes, length);
        request_route(bytes, length, ~0ull, &(struct read_request){0});
        reply_is_whole(bytes, length, &unique);
        reply_unique(bytes, length);
        reply_adjust_init(bytes, length, 256, ~0ull, 4096);
        free(bytes);
    }
}

/* With a number of rounds, a fuzzer of as many. */
int main(int count, char **arguments)
{
    any_bytes_are_survived(count > 1 ? atol(arguments[1]) : 50000);
    a_read_is_known_by_its_fields();
    a_torn_message_is_nobodys();
    a_read_that_is_too_short_too_far_or_too_long_is_for_python();
    attributes_of_the_kernels_own_modules_are_asked_of_nobody();
    opcodes_that_no_bit_stands_for_go_to_pyfuse3();
    an_interrupt_is_for_python_if_it_wants_it_and_never_for_pyfuse3();
    a_page_of_a_directory_fits_into_the_socket();
    init_hides_the_length_of_requests_and_its_reply_brings_it_back();
    only_whole_replies_to_a_request_are_passed_on();
    return 0;
}
