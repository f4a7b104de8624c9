#define _GNU_SOURCE
#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Bytes of requests that wait for Python. With more, readers wait too, and the kernel keeps them. */
#define MAX_WAITING_BYTES (64 * 1024 * 1024)

/* Interrupts a read of the device. The handler does nothing; no other thread has it unblocked. */
#define WAKE (SIGRTMIN + 7)

/* Naps that readers get to end, half a second, before a disk is taken to hold them for ever. */
#define MAX_NAPS_AT_THE_END 250

static void wake_handler(int number)
{
    (void)number;
}

static void nap(void)
{
    struct timespec time = {.tv_nsec = 2000000};

    nanosleep(&time, NULL);
}

void channel_tell(struct channel *channel)
{
    uint64_t one = 1;
    ssize_t written;

    do
        written = write(channel->event, &one, sizeof one);
    while (written < 0 && errno == EINTR);
}

static bool is_full(struct channel *channel)
{
    return channel->session.bytes + channel->direct.bytes > MAX_WAITING_BYTES &&
           !atomic_load(&channel->stopping);
}

static int send_to_kernel(struct channel *channel, struct fuse_out_header header, const void *data,
                          size_t length)
{
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)(uintptr_t)data, length}};
    ssize_t written;

    header.len = (uint32_t)(sizeof header + length);
    do
        written = writev(channel->device, parts, length ? 2 : 1);
    while (written < 0 && errno == EINTR);
    return written < 0 ? errno : 0;
}

int channel_reply(struct channel *channel, uint64_t unique, int error, const void *data,
                  size_t length)
{
    struct fuse_out_header header = {.unique = unique, .error = -error};

    return send_to_kernel(channel, header, data, error ? 0 : length);
}

int channel_notify(struct channel *channel, int code, const void *data, size_t length)
{
    struct fuse_out_header header = {.error = code};

    return send_to_kernel(channel, header, data, length);
}

static void queue_up(struct channel *channel, struct message *message, bool patiently)
{
    bool first;

    pthread_mutex_lock(&channel->lock);
    while (patiently && is_full(channel))
        pthread_cond_wait(&channel->room, &channel->lock);
    first = !channel->direct.count;
    queue_put(&channel->direct, message);
    pthread_mutex_unlock(&channel->lock);
    atomic_fetch_add(&channel->handed_over, 1);
    if (first)
        channel_tell(channel);
}

static bool hand_over(struct channel *channel, const uint8_t *bytes, size_t length, bool patiently)
{
    struct message *copy = message_copy(bytes, length);

    if (!copy)
        return false;
    queue_up(channel, copy, patiently);
    return true;
}

bool channel_hand_over(struct channel *channel, const uint8_t *bytes, size_t length)
{
    return hand_over(channel, bytes, length, true);
}

bool channel_hand_over_now(struct channel *channel, const uint8_t *bytes, size_t length)
{
    return hand_over(channel, bytes, length, false);
}

struct message *channel_take(struct channel *channel)
{
    struct message *message;

    pthread_mutex_lock(&channel->lock);
    message = queue_take(&channel->direct);
    if (message)
        pthread_cond_signal(&channel->room);
    pthread_mutex_unlock(&channel->lock);
    return message;
}

/* -- to pyfuse3 -------------------------------------------------------------------------------- */

static bool forward(struct channel *channel, const uint8_t *bytes, size_t length)
{
    struct message *copy;
    ssize_t sent = -1;

    pthread_mutex_lock(&channel->lock);
    if (!channel->session.count)
        sent = send(channel->inside, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    pthread_mutex_unlock(&channel->lock);
    atomic_fetch_add(&channel->forwarded, 1);
    if (sent >= 0)
        return true;
    copy = message_copy(bytes, length);
    if (!copy)
        return false;
    pthread_mutex_lock(&channel->lock);
    while (is_full(channel))
        pthread_cond_wait(&channel->room, &channel->lock);
    queue_put(&channel->session, copy);
    pthread_cond_signal(&channel->unsent);
    pthread_mutex_unlock(&channel->lock);
    return true;
}

/* Tell whether a message that could not be sent may go later: memory was short for a moment. */
static bool may_go_later(int error)
{
    return error == EINTR || error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

static void *send_on(void *argument)
{
    struct channel *channel = argument;

    pthread_mutex_lock(&channel->lock);
    while (!atomic_load(&channel->stopping)) {
        struct message *message = channel->session.first;
        int error;

        if (!message) {
            pthread_cond_wait(&channel->unsent, &channel->lock);
            continue;
        }
        /* It stays first while it is sent, so that nobody overtakes it. */
        pthread_mutex_unlock(&channel->lock);
        error = send(channel->inside, message->bytes, message->length, MSG_NOSIGNAL) < 0 ? errno : 0;
        if (may_go_later(error))
            nap();
        else if (error)
            channel_reply(channel, request_unique(message->bytes, message->length), EIO, NULL, 0);
        pthread_mutex_lock(&channel->lock);
        if (!may_go_later(error)) {
            free(queue_take(&channel->session));
            pthread_cond_signal(&channel->room);
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return NULL;
}

static void pass_back(struct channel *channel, uint8_t *reply, size_t length)
{
    uint64_t unique;
    ssize_t written;

    if (!reply_is_whole(reply, length, &unique)) {
        atomic_fetch_add(&channel->refused_replies, 1);
        return;
    }
    if (unique == atomic_load(&channel->init_unique))
        reply_adjust_init(reply, length, channel->max_pages, channel->init_flags,
                          channel->background);
    do
        written = write(channel->device, reply, length);
    while (written < 0 && errno == EINTR);
    /* ENOENT: whoever asked is gone. Anything else would leave him waiting for ever. */
    if (written < 0 && errno != ENOENT && errno != ENODEV) {
        atomic_fetch_add(&channel->refused_replies, 1);
        channel_reply(channel, unique, EIO, NULL, 0);
    }
}

static void *reply_on(void *argument)
{
    struct channel *channel = argument;
    uint8_t reply[SESSION_BYTES];
    ssize_t length;

    for (;;) {
        length = recv(channel->inside, reply, sizeof reply, MSG_TRUNC);
        if (length > (ssize_t)sizeof reply) {
            uint64_t unique = reply_unique(reply, sizeof reply);

            atomic_fetch_add(&channel->refused_replies, 1);
            channel_reply(channel, unique, EIO, NULL, 0);
        } else if (length > 0) {
            pass_back(channel, reply, (size_t)length);
        } else if (length == 0 || errno != EINTR) {
            return NULL;
        }
    }
}

/* -- from the kernel --------------------------------------------------------------------------- */

/* Tell whether a READ was answered here. */
static bool answered(struct channel *channel, const struct read_request *read,
                     const struct message *request)
{
    uint8_t *scratch;
    bool is_answered;

    if (!channel->answerer)
        return false;
    scratch = scratch_take(&channel->scratches);
    if (!scratch)
        return false;
    is_answered = channel->answerer(channel->context, channel->device, read, request, scratch);
    scratch_give(&channel->scratches, scratch);
    return is_answered;
}

/* Hand over a long request as it lies in memory. Returns what the reader reads the next one into: the
 * same, and nothing is handed over, without memory or for a request that is copied for less. */
static struct message *give_away(struct channel *channel, struct message *request)
{
    struct message *other = NULL;

    if (request->length > KEPT_BYTES)
        other = message_room();
    if (!other)
        return request;
    queue_up(channel, message_trimmed(request), true);
    return other;
}

/* Returns what the next request is read into, which is *request* but for one that was given away. */
static struct message *pass_on(struct channel *channel, struct message *request)
{
    struct message *next = request;
    uint8_t *bytes = request->bytes;
    size_t length = request->length;
    struct read_request read;
    bool passed = true;

    switch (request_route(bytes, length, channel->direct_opcodes, &read)) {
    case ROUTE_NOBODY:
        break;
    case ROUTE_INIT:
        if (!request_hide_max_pages(bytes, length))
            channel->max_pages = 0;
        atomic_store(&channel->init_unique, request_unique(bytes, length));
        passed = forward(channel, bytes, length);
        break;
    case ROUTE_SESSION:
        request_limit_listing(bytes, length);
        passed = forward(channel, bytes, length);
        break;
    case ROUTE_READ:
        if (answered(channel, &read, request))
            break;
        passed = channel_hand_over(channel, bytes, length);
        break;
    case ROUTE_FLUSH:
        if (channel->quiet && quiet_has(channel->quiet, read.handle)) {
            atomic_fetch_add(&channel->flushed, 1);
            channel_reply(channel, read.unique, 0, NULL, 0);
            break;
        }
        passed = channel_hand_over(channel, bytes, length);
        break;
    case ROUTE_UNSUPPORTED:
        channel_reply(channel, request_unique(bytes, length), EOPNOTSUPP, NULL, 0);
        break;
    case ROUTE_DIRECT:
        next = give_away(channel, request);
        if (next == request)
            passed = channel_hand_over(channel, bytes, length);
        break;
    }
    if (!passed)
        channel_reply(channel, request_unique(bytes, length), ENOMEM, NULL, 0);
    return next;
}

static void *read_on(void *argument)
{
    struct channel *channel = argument;
    struct message *request = message_room();
    sigset_t set;
    int end = ENOMEM;

    sigemptyset(&set);
    sigaddset(&set, WAKE);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    while (request) {
        ssize_t length;

        if (atomic_load(&channel->stopping)) {
            end = 0;
            break;
        }
        length = read(channel->device, request->bytes, REQUEST_BYTES);
        if (length > 0) {
            request->length = (size_t)length;
            request = pass_on(channel, request);
        } else if (length == 0 || (errno != EINTR && errno != ENOENT && errno != EAGAIN)) {
            /* ENODEV: unmounted. */
            end = length == 0 ? ENODEV : errno;
            break;
        } else if (errno == EAGAIN) {
            struct pollfd readable = {.fd = channel->device, .events = POLLIN};

            poll(&readable, 1, 100);
        }
    }
    free(request);
    if (end) {
        int none = 0;

        atomic_compare_exchange_strong(&channel->ended, &none, end);
        channel_tell(channel);
    }
    return NULL;
}

/* -- beginning and end ------------------------------------------------------------------------- */

static int open_all(struct channel *channel, int device, int *outside)
{
    int pair[2] = {-1, -1};
    int error;

    channel->inside = channel->event = -1;
    channel->device = fcntl(device, F_DUPFD_CLOEXEC, 3);
    if (channel->device < 0)
        return errno;
    channel->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (channel->event >= 0 && !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        /* Room for a few at once; with less, the sender and pyfuse3 wait a little. */
        int size = 4 * SESSION_BYTES;

        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        channel->inside = pair[0];
        *outside = pair[1];
        return 0;
    }
    error = errno;
    if (channel->event >= 0)
        close(channel->event);
    close(channel->device);
    return error;
}

int channel_start_thread(pthread_t *thread, void *(*work)(void *), void *argument)
{
    sigset_t all;
    sigset_t before;
    int error;

    /* Signals are for Python's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, work, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        pthread_setname_np(*thread, "channel");
    return error;
}

/* Returns how many are left to themselves. */
static int end_readers(struct channel *channel)
{
    int left = channel->reader_count;

    pthread_mutex_lock(&channel->lock);
    pthread_cond_broadcast(&channel->room);
    pthread_cond_broadcast(&channel->unsent);
    pthread_mutex_unlock(&channel->lock);
    /* A signal that comes just before a thread begins to read is lost: so again and again. */
    for (int naps = 0; left; naps++) {
        int still = 0;

        for (int i = 0; i < left; i++) {
            pthread_kill(channel->readers[i], WAKE);
            if (pthread_tryjoin_np(channel->readers[i], NULL))
                channel->readers[still++] = channel->readers[i];
        }
        left = still;
        if (naps >= MAX_NAPS_AT_THE_END && channel->abandon &&
            channel->abandon(channel->context) == left)
            break;
        if (left)
            nap();
    }
    for (int i = 0; i < left; i++)
        pthread_detach(channel->readers[i]);
    return left;
}

static void close_all(struct channel *channel, int left)
{
    if (!channel->in_use)
        close(channel->device);
    close(channel->inside);
    close(channel->event);
    queue_clear(&channel->session);
    queue_clear(&channel->direct);
    scratches_stop(&channel->scratches);
    if (left)
        return; /* They look at it once more when the disk lets them go. */
    pthread_cond_destroy(&channel->room);
    pthread_cond_destroy(&channel->unsent);
    pthread_mutex_destroy(&channel->lock);
    pthread_mutex_destroy(&channel->scratches.lock);
}

int channel_start(struct channel *channel, int device, int readers, int *outside)
{
    struct sigaction action = {.sa_handler = wake_handler};
    int error = open_all(channel, device, outside);

    if (error)
        return error;
    sigaction(WAKE, &action, NULL);
    pthread_mutex_init(&channel->lock, NULL);
    pthread_cond_init(&channel->unsent, NULL);
    pthread_cond_init(&channel->room, NULL);
    memset(&channel->session, 0, sizeof channel->session);
    memset(&channel->direct, 0, sizeof channel->direct);
    scratches_start(&channel->scratches, channel->scratch_bytes);
    atomic_store(&channel->stopping, false);
    atomic_store(&channel->ended, 0);
    atomic_store(&channel->init_unique, 0);
    channel->reader_count = 0;

    error = channel_start_thread(&channel->replier, reply_on, channel);
    if (!error) {
        error = channel_start_thread(&channel->sender, send_on, channel);
        if (error) {
            shutdown(channel->inside, SHUT_RDWR);
            pthread_join(channel->replier, NULL);
        }
    }
    if (error) {
        close(*outside);
        close_all(channel, 0);
        return error;
    }
    while (!error && channel->reader_count < readers && channel->reader_count < MAX_READERS) {
        error = channel_start_thread(&channel->readers[channel->reader_count], read_on, channel);
        if (!error)
            channel->reader_count++;
    }
    if (error) {
        close(*outside);
        channel_stop(channel);
    }
    return error;
}

bool channel_stop(struct channel *channel)
{
    int left;

    /* It ends when it has passed on all that was replied. */
    pthread_join(channel->replier, NULL);
    atomic_store(&channel->stopping, true);
    shutdown(channel->inside, SHUT_RDWR);
    left = end_readers(channel);
    pthread_join(channel->sender, NULL);
    close_all(channel, left);
    return !left;
}
