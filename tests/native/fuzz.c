/* Any bytes at all, as a message of the kernel, a reply of pyfuse3, or a life of the table: what the
 * parser and the table say of them is checked against what their headers promise.
 *
 *   fuzz SEED ROUNDS    so many inputs, changed at random out of a few good ones; the same seed is the
 *                       same run
 *
 * Built with -DLIBFUZZER it is a target of LLVM's libFuzzer instead, which finds its inputs by what
 * they reach (scripts/sanitize).
 */
#define _GNU_SOURCE
#include "check.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* -- messages ---------------------------------------------------------------------------------- */

/* Return a copy that has exactly its length: a sanitizer sees every byte read past it. */
static uint8_t *exact(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);

    CHECK(copy);
    if (length)
        memcpy(copy, bytes, length);
    return copy;
}

/* Check that *changed* is *bytes* but for those from *from* to *to*. */
static void only_between(const uint8_t *bytes, const uint8_t *changed, size_t length, size_t from,
                         size_t to)
{
    for (size_t i = 0; i < length; i++)
        CHECK(bytes[i] == changed[i] || (i >= from && i < to));
}

static void check_route(const uint8_t *bytes, size_t length, uint64_t direct)
{
    uint8_t *message = exact(bytes, length);
    struct read_request read = {0};
    struct fuse_in_header header = {0};
    const enum route route = request_route(message, length, direct, &read);
    const bool whole = length >= sizeof header;

    if (whole)
        memcpy(&header, message, sizeof header);
    CHECK(request_unique(message, length) == (whole ? header.unique : 0));
    if (!whole || header.len != length)
        CHECK(route == ROUTE_NOBODY);
    else
        CHECK((route == ROUTE_INIT) == (header.opcode == FUSE_INIT));
    if (route == ROUTE_READ) {
        CHECK(header.opcode == FUSE_READ && (direct >> FUSE_READ & 1));
        CHECK(length >= sizeof header + sizeof(struct fuse_read_in));
        CHECK(read.unique == header.unique && read.size <= DATA_BYTES);
        CHECK(read.offset >= 0 && read.offset <= INT64_MAX - DATA_BYTES);
    }
    if (route == ROUTE_FLUSH) {
        CHECK(header.opcode == FUSE_FLUSH && (direct >> FUSE_FLUSH & 1));
        CHECK(length >= sizeof header + sizeof(struct fuse_flush_in));
        CHECK(read.unique == header.unique);
    }
    if (route == ROUTE_UNSUPPORTED)
        CHECK(header.opcode == FUSE_GETXATTR);
    if (route == ROUTE_DIRECT)
        CHECK(header.opcode < 64 && (direct >> header.opcode & 1));
    only_between(bytes, message, length, 0, 0);
    free(message);
}

static void check_listing(const uint8_t *bytes, size_t length)
{
    const size_t size_at = sizeof(struct fuse_in_header) + offsetof(struct fuse_read_in, size);
    uint8_t *message = exact(bytes, length);

    request_limit_listing(message, length);
    only_between(bytes, message, length, size_at, size_at + 4);
    if (memcmp(bytes, message, length)) {
        uint32_t size;

        memcpy(&size, message + size_at, sizeof size);
        CHECK(size == LISTING_BYTES);
    }
    free(message);
}

static void check_init(const uint8_t *bytes, size_t length, uint64_t flags)
{
    const size_t flags_at = sizeof(struct fuse_in_header) + offsetof(struct fuse_init_in, flags);
    const size_t body = sizeof(struct fuse_out_header) + sizeof(struct fuse_init_out);
    uint8_t *message = exact(bytes, length);
    uint64_t unique = 0;

    (void)request_hide_max_pages(message, length);
    only_between(bytes, message, length, flags_at, flags_at + 4);
    free(message);

    message = exact(bytes, length);
    reply_adjust_init(message, length, (uint16_t)(flags >> 16), flags, (uint16_t)flags);
    only_between(bytes, message, length, length < body ? 0 : sizeof(struct fuse_out_header),
                 length < body ? 0 : body);
    free(message);

    message = exact(bytes, length);
    if (reply_is_whole(message, length, &unique))
        CHECK(unique && reply_unique(message, length) == unique);
    free(message);
}

/* -- the table --------------------------------------------------------------------------------- */

#define BLOCKS 4
#define HANDLES 3
#define FILE_BYTES 256
#define BLOCK_BYTES 4096
#define PLANS 3
#define UNKNOWN INT32_MIN

static const uint8_t key[KEY_BYTES] = {1};
static const uint8_t associated[MAX_ASSOCIATED_BYTES];

/* What was published: for each byte of a file, where its block begins in it. */
struct model {
    struct block *blocks[BLOCKS];
    int32_t begins[HANDLES][FILE_BYTES];
    struct plan plans[PLANS];
    bool planned[PLANS];
};

static void forget(struct model *model, size_t handle)
{
    for (size_t i = 0; i < FILE_BYTES; i++)
        model->begins[handle][i] = UNKNOWN;
}

static void check_plan(const struct model *model, size_t handle, const struct read_request *read,
                       const struct plan *plan)
{
    int64_t at = read->offset;

    CHECK(plan->count >= 0 && plan->count <= MAX_PARTS && plan->length <= read->size);
    for (int i = 0; i < plan->count; i++) {
        const struct part *part = &plan->parts[i];
        bool held = false;

        for (size_t j = 0; j < BLOCKS; j++)
            held |= part->block == model->blocks[j];
        CHECK(held && part->start == at && part->stop > at && part->block_start >= 0);
        CHECK(part->block_start + part->stop - part->start <= block_plain_bytes(part->block));
        CHECK(fcntl(block_file(part->block), F_GETFD) >= 0 && block_key(part->block)[0] == 1);
        for (; at < part->stop; at++)
            CHECK(model->begins[handle][at] == part->start - part->block_start);
    }
    CHECK(at == read->offset + (int64_t)plan->length || !plan->count);
}

static void live(const uint8_t *script, size_t length)
{
    static struct table *table;
    static int file = -1;
    struct model model = {0};
    struct place place;

    if (!table) {
        table = table_new();
        file = memfd_create("block", MFD_CLOEXEC);
        CHECK(table && file >= 0);
    }
    for (size_t i = 0; i < HANDLES; i++)
        forget(&model, i);
    for (; length >= 6; script += 6, length -= 6) {
        const size_t number = script[1] % BLOCKS;
        const size_t handle = script[1] / BLOCKS % HANDLES;
        const size_t slot = script[1] % PLANS;
        struct read_request read = {.unique = 1, .handle = handle, .offset = script[2]};
        struct part part = {model.blocks[number], script[2], script[3], script[4]};

        read.size = script[3];
        if (script[0] / 6 % 4 == 0)
            part.block_start = BLOCK_BYTES - part.block_start; /* at its end */
        switch (script[0] % 6) {
        case 0:
            if (!model.blocks[number])
                model.blocks[number] = table_add_block(
                    table, file, script[5] % 2 ? file : -1, key, associated, script[2] % (MAX_ASSOCIATED_BYTES + 1),
                    BLOCK_BYTES);
            CHECK(model.blocks[number]);
            break;
        case 1:
            if (model.blocks[number])
                table_drop_block(table, model.blocks[number]);
            model.blocks[number] = NULL;
            break;
        case 2:
        case 3:
            if (!part.block)
                break;
            if (table_publish(table, handle, script[5], &part)) {
                CHECK(part.start < part.stop && part.stop <= script[5]);
                for (int64_t i = part.start; i < part.stop; i++) {
                    int32_t *begins = &model.begins[handle][i];

                    CHECK(*begins == UNKNOWN || *begins == part.start - part.block_start);
                    *begins = (int32_t)(part.start - part.block_start);
                }
            } else {
                forget(&model, handle);
            }
            break;
        case 4:
            table_withdraw(table, handle);
            forget(&model, handle);
            break;
        case 5:
            if (model.planned[slot]) {
                for (int i = 0; i < model.plans[slot].count; i++)
                    CHECK(fcntl(block_file(model.plans[slot].parts[i].block), F_GETFD) >= 0);
                table_release(table, &read, &model.plans[slot], script[4] & 1, script[5]);
                model.planned[slot] = false;
            } else if (table_plan(table, &read, &model.plans[slot])) {
                check_plan(&model, handle, &read, &model.plans[slot]);
                model.planned[slot] = true;
            }
            break;
        }
    }
    for (size_t i = 0; i < PLANS; i++)
        if (model.planned[i])
            table_release(table, &(struct read_request){0}, &model.plans[i], false, 0);
    for (size_t i = 0; i < HANDLES; i++)
        table_withdraw(table, i);
    for (size_t i = 0; i < BLOCKS; i++)
        if (model.blocks[i])
            table_drop_block(table, model.blocks[i]);
    while (table_take_place(table, &place))
        CHECK(place.length > 0 && place.offset >= 0);
}

/* -- where inputs come from -------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    uint64_t word;

    if (length < 1 + sizeof word)
        return 0;
    if (bytes[0] & 1) {
        live(bytes + 1, length - 1);
        return 0;
    }
    memcpy(&word, bytes + 1, sizeof word);
    bytes += 1 + sizeof word;
    length -= 1 + sizeof word;
    check_route(bytes, length, word);
    check_listing(bytes, length);
    check_init(bytes, length, word);
    return 0;
}

#ifndef LIBFUZZER

#define MAX_INPUT_BYTES 512

static uint64_t state;

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t any_below(size_t bound)
{
    return (size_t)(any() % bound);
}

/* Make a message as it comes, or a script; return its length. */
static size_t good(uint8_t *input)
{
    static const uint32_t opcodes[] = {FUSE_READ,     FUSE_WRITE,   FUSE_INIT, FUSE_READDIR,
                                       FUSE_GETXATTR, FUSE_GETATTR, 64,        FUSE_READDIRPLUS};
    const size_t before = 1 + sizeof(uint64_t);
    uint8_t body[128];
    uint64_t direct = any();

    for (size_t i = 0; i < sizeof body; i++)
        body[i] = any_below(4) ? 0 : (uint8_t)any();
    input[0] = (uint8_t)any_below(2);
    if (input[0]) {
        size_t length = 6 * (1 + any_below(40));

        /* Small numbers, so that pieces meet. */
        for (size_t i = 1; i <= length; i++)
            input[i] = (uint8_t)any_below(i % 6 == 5 ? 16 : i % 6 == 0 ? 256 : 48);
        return 1 + length;
    }
    memcpy(input + 1, &direct, sizeof direct);
    if (!any_below(6)) {
        struct fuse_out_header header = {.unique = any(), .error = -(int32_t)any_below(2)};

        header.len = (uint32_t)(sizeof header + sizeof(struct fuse_init_out));
        memcpy(input + before, &header, sizeof header);
        memcpy(input + before + sizeof header, body, sizeof(struct fuse_init_out));
        return before + header.len;
    }
    memcpy(body + sizeof(struct fuse_getxattr_in), any_below(2) ? "security.x" : "system.", 8);
    return before + a_request(input + before, opcodes[any_below(sizeof opcodes / sizeof *opcodes)],
                              any(), body, any_below(sizeof body));
}

static size_t changed(uint8_t *input, size_t length)
{
    static const uint8_t edges[] = {0, 1, 7, 15, 39, 40, 0x7f, 0x80, 0xff};

    for (size_t changes = any_below(5); changes; changes--) {
        size_t at = any_below(length);

        switch (any_below(4)) {
        case 0:
            input[at] ^= (uint8_t)(1 << any_below(8));
            break;
        case 1:
            input[at] = edges[any_below(sizeof edges)];
            break;
        case 2:
            memset(input + at, 0xff, length - at < 8 ? length - at : 8);
            break;
        default:
            length = 1 + at;
        }
    }
    return length;
}

int main(int count, char **arguments)
{
    uint8_t input[MAX_INPUT_BYTES];

    CHECK(count == 3);
    state = strtoull(arguments[1], NULL, 10) * 2654435761u + 1;
    for (unsigned long round = strtoul(arguments[2], NULL, 10); round; round--)
        LLVMFuzzerTestOneInput(input, changed(input, good(input)));
    return 0;
}

#endif
