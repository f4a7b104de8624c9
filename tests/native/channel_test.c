/* The threads, with a socket pair in the part of the kernel's device. */
#define _GNU_SOURCE
#include "channel.h"
#include "check.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIRECT (1ull << FUSE_READ | 1ull << FUSE_WRITE | 1ull << FUSE_FLUSH)
#define MANY 2000

static struct channel the_channel;
static int kernel;
static int outside;

static void begin(void)
{
    int pair[2];

    CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    kernel = pair[0];
    the_channel.direct_opcodes = DIRECT;
    the_channel.max_pages = 256;
    the_channel.scratch_bytes = 4096;
    CHECK(!channel_start(&the_channel, pair[1], 3, &outside));
    close(pair[1]);
}

static void end(void)
{
    close(outside);
    channel_stop(&the_channel);
    close(kernel);
}

static void wait_for(int descriptor)
{
    struct pollfd readable = {.fd = descriptor, .events = POLLIN};

    CHECK(poll(&readable, 1, 30000) == 1);
}

static struct message *taken(void)
{
    struct message *message;

    wait_for(the_channel.event);
    while (!(message = channel_take(&the_channel)))
        usleep(1000);
    return message;
}

static void ask(uint32_t opcode, uint64_t unique, const void *body, size_t size)
{
    static uint8_t message[REQUEST_BYTES];
    size_t length = a_request(message, opcode, unique, body, size);

    CHECK(send(kernel, message, length, 0) == (ssize_t)length);
}

static void send_reply(uint64_t unique, uint32_t claimed, size_t length)
{
    static uint8_t reply[2 * SESSION_BYTES];
    struct fuse_out_header header = {.len = claimed, .unique = unique};

    memcpy(reply, &header, sizeof header);
    CHECK(send(outside, reply, length, 0) == (ssize_t)length);
}

static struct fuse_out_header reply_seen(void)
{
    static uint8_t reply[2 * SESSION_BYTES];
    struct fuse_out_header header;

    wait_for(kernel);
    CHECK(recv(kernel, reply, sizeof reply, 0) >= (ssize_t)sizeof header);
    memcpy(&header, reply, sizeof header);
    return header;
}

static void what_is_pyfuse3s_goes_through_the_socket_and_back(void)
{
    uint8_t message[256];
    struct fuse_in_header header;

    begin();
    ask(FUSE_LOOKUP, 3, "name", 5);
    wait_for(outside);
    CHECK(recv(outside, message, sizeof message, 0) == sizeof header + 5);
    memcpy(&header, message, sizeof header);
    CHECK(header.unique == 3 && !memcmp(message + sizeof header, "name", 5));
    send_reply(3, 100, 100);
    CHECK(reply_seen().len == 100);
    end();
}

static void a_flush_that_ends_nothing_is_answered_and_any_other_taken(void)
{
    struct fuse_flush_in body = {.fh = 9};
    struct message *message;
    struct fuse_out_header header;

    the_channel.quiet = quiet_new();
    CHECK(the_channel.quiet);
    begin();
    quiet_add(the_channel.quiet, 9);
    quiet_add(the_channel.quiet, 9 + 1024);
    ask(FUSE_FLUSH, 1, &body, sizeof body);
    header = reply_seen();
    CHECK(header.unique == 1 && header.len == sizeof header && !header.error);
    body.fh = 8;
    ask(FUSE_FLUSH, 2, &body, sizeof body);
    message = taken();
    CHECK(request_unique(message->bytes, message->length) == 2);
    free(message);
    quiet_remove(the_channel.quiet, 9);
    body.fh = 9;
    ask(FUSE_FLUSH, 3, &body, sizeof body);
    message = taken();
    CHECK(request_unique(message->bytes, message->length) == 3);
    free(message);
    ask(FUSE_FLUSH, 4, &body, sizeof body - 1); /* torn: our own handler refuses it */
    free(taken());
    CHECK(atomic_load(&the_channel.flushed) == 1);
    end();
    quiet_add(the_channel.quiet, 9);
    quiet_clear(the_channel.quiet);
    CHECK(!quiet_has(the_channel.quiet, 9) && !quiet_has(the_channel.quiet, 9 + 1024));
    for (uint64_t i = 0; i <= MAX_QUIET_HANDLES; i++)
        quiet_add(the_channel.quiet, i);
    CHECK(quiet_has(the_channel.quiet, MAX_QUIET_HANDLES - 1));
    CHECK(!quiet_has(the_channel.quiet, MAX_QUIET_HANDLES));
    quiet_free(the_channel.quiet);
    the_channel.quiet = NULL;
}

static void what_is_ours_is_taken_and_answered_past_the_socket(void)
{
    struct fuse_read_in body = {.fh = 1, .size = 4096};
    struct message *message;
    struct fuse_out_header header;

    begin();
    ask(FUSE_READ, 4, &body, sizeof body);
    message = taken();
    CHECK(request_unique(message->bytes, message->length) == 4);
    free(message);
    CHECK(!channel_reply(&the_channel, 4, 0, "bytes", 5));
    header = reply_seen();
    CHECK(header.unique == 4 && header.len == sizeof header + 5 && !header.error);
    CHECK(!channel_reply(&the_channel, 5, EIO, "bytes", 5));
    header = reply_seen();
    CHECK(header.unique == 5 && header.len == sizeof header && header.error == -EIO);
    end();
}

/* Long ones are given away as they were read, and the next request is read into other memory. */
static void long_requests_come_whole_and_each_in_memory_of_its_own(void)
{
    static uint8_t body[DATA_BYTES];
    struct message *messages[4];
    int room = 4 * REQUEST_BYTES;

    begin();
    /* As root, as all tests run: for requests as long as the kernel's. */
    CHECK(!setsockopt(kernel, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room));
    for (int i = 0; i < 4; i++) {
        memset(body, 'a' + i, sizeof body);
        ask(FUSE_WRITE, (uint64_t)i, body, i % 2 ? sizeof body : KEPT_BYTES);
        messages[i] = taken();
    }
    for (int i = 0; i < 4; i++) {
        const uint8_t *data = messages[i]->bytes + sizeof(struct fuse_in_header);
        size_t size = i % 2 ? sizeof body : KEPT_BYTES;

        CHECK(messages[i]->length == sizeof(struct fuse_in_header) + size);
        CHECK(request_unique(messages[i]->bytes, messages[i]->length) == (uint64_t)i);
        CHECK(data[0] == 'a' + i && data[size - 1] == 'a' + i);
        /* What waits is counted by its length, and so is what a file has unsaved. */
        CHECK(malloc_usable_size(messages[i]) - messages[i]->length <= SPARE_BYTES + 4096);
        free(messages[i]);
    }
    ask(FUSE_WRITE, 9, body, sizeof body);
    end();
}

static void a_torn_reply_is_dropped_and_one_too_long_is_an_error(void)
{
    struct fuse_out_header header;

    begin();
    send_reply(6, 99, 100);
    send_reply(7, SESSION_BYTES + 1, SESSION_BYTES + 1);
    header = reply_seen();
    CHECK(header.unique == 7 && header.error == -EIO && header.len == sizeof header);
    CHECK(atomic_load(&the_channel.refused_replies) == 2);
    end();
}

/* Nobody reads the socket: its room is for a few. None may be lost, and no READ wait for it. */
static void many_wait_for_pyfuse3_and_hold_up_no_read(void)
{
    static bool seen[MANY];
    struct fuse_read_in body = {.fh = 1, .size = 4096};
    uint8_t message[256];

    begin();
    for (uint64_t i = 0; i < MANY; i++)
        ask(FUSE_GETATTR, i, "", 0);
    ask(FUSE_READ, MANY, &body, sizeof body);
    free(taken());
    for (int i = 0; i < MANY; i++) {
        struct fuse_in_header header;

        wait_for(outside);
        CHECK(recv(outside, message, sizeof message, 0) == sizeof header);
        memcpy(&header, message, sizeof header);
        CHECK(header.unique < MANY && !seen[header.unique]);
        seen[header.unique] = true;
    }
    end();
}

static void replies_before_the_end_get_to_the_kernel(void)
{
    begin();
    for (uint64_t i = 1; i <= 5; i++)
        send_reply(i, 100, 100);
    close(outside);
    channel_stop(&the_channel);
    for (int i = 1; i <= 5; i++)
        CHECK(reply_seen().len == 100);
    close(kernel);
}

static void the_end_of_the_device_is_told(void)
{
    begin();
    close(kernel);
    wait_for(the_channel.event);
    CHECK(atomic_load(&the_channel.ended));
    close(outside);
    channel_stop(&the_channel);
}

static void it_ends_with_requests_that_nobody_took(void)
{
    begin();
    for (uint64_t i = 0; i < MANY; i++)
        ask(i % 2 ? FUSE_WRITE : FUSE_GETATTR, i, "", 0);
    end();
}

static uint8_t *_Atomic lent[MANY];
static atomic_int together;
static atomic_int most_together;

static bool lend(void *context, int device, const struct read_request *read,
                 const struct message *request, uint8_t *scratch)
{
    const int now = atomic_fetch_add(&together, 1) + 1;

    (void)context, (void)device, (void)request;
    if (now > atomic_load(&most_together))
        atomic_store(&most_together, now);
    memset(scratch, (int)read->unique, 4096);
    usleep(read->size);
    /* Nobody else has written into it meanwhile. */
    for (int i = 0; i < 4096; i++)
        CHECK(scratch[i] == (uint8_t)read->unique);
    atomic_store(&lent[read->unique], scratch);
    atomic_fetch_sub(&together, 1);
    channel_reply(&the_channel, read->unique, 0, NULL, 0);
    return true;
}

static int let_go(void)
{
    int count;

    pthread_mutex_lock(&the_channel.scratches.lock);
    count = the_channel.scratches.free_count;
    pthread_mutex_unlock(&the_channel.scratches.lock);
    return count;
}

static void reads_one_after_the_other_are_answered_in_the_same_memory(void)
{
    struct fuse_read_in body = {.fh = 1, .size = 0};

    the_channel.answerer = lend;
    begin();
    for (uint64_t i = 1; i <= 50; i++) {
        ask(FUSE_READ, i, &body, sizeof body);
        reply_seen();
        while (let_go() != 1)
            usleep(100);
        CHECK(atomic_load(&lent[i]) == atomic_load(&lent[1]));
    }
    end();
    the_channel.answerer = NULL;
}

static void reads_at_a_time_are_answered_in_memory_of_their_own(void)
{
    struct fuse_read_in body = {.fh = 1, .size = 20000};

    the_channel.answerer = lend;
    begin();
    for (uint64_t i = 1; i <= 30; i++)
        ask(FUSE_READ, i, &body, sizeof body);
    for (int i = 0; i < 30; i++)
        reply_seen();
    CHECK(atomic_load(&most_together) > 1);
    end();
    the_channel.answerer = NULL;
}

static int held[2]; /* What a disk that hangs holds a reader with. */
static atomic_bool is_held;

static bool hang(void *context, int device, const struct read_request *read,
                 const struct message *request, uint8_t *scratch)
{
    char none;

    (void)context, (void)device, (void)read, (void)request, (void)scratch;
    atomic_store(&is_held, true);
    while (recv(held[0], &none, 1, 0) < 0)
        CHECK(errno == EINTR);
    atomic_store(&is_held, false);
    return true;
}

static int one_is_held(void *context)
{
    (void)context;
    return 1;
}

static void it_ends_without_a_reader_that_a_disk_holds(void)
{
    struct fuse_read_in body = {.fh = 1, .size = 4096};

    CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, held));
    the_channel.answerer = hang;
    the_channel.abandon = one_is_held;
    begin();
    ask(FUSE_READ, 1, &body, sizeof body);
    while (!atomic_load(&is_held))
        usleep(1000);
    close(outside);
    CHECK(!channel_stop(&the_channel));
    close(held[1]);
    while (atomic_load(&is_held))
        usleep(1000);
}

int main(void)
{
    what_is_pyfuse3s_goes_through_the_socket_and_back();
    a_flush_that_ends_nothing_is_answered_and_any_other_taken();
    what_is_ours_is_taken_and_answered_past_the_socket();
    long_requests_come_whole_and_each_in_memory_of_its_own();
    a_torn_reply_is_dropped_and_one_too_long_is_an_error();
    many_wait_for_pyfuse3_and_hold_up_no_read();
    replies_before_the_end_get_to_the_kernel();
    the_end_of_the_device_is_told();
    it_ends_with_requests_that_nobody_took();
    reads_one_after_the_other_are_answered_in_the_same_memory();
    reads_at_a_time_are_answered_in_memory_of_their_own();
    it_ends_without_a_reader_that_a_disk_holds();
    return 0;
}
