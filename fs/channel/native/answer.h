/* Answers a READ from block files, or leaves it to others. */
#ifndef LUCIDNODE_CHANNEL_ANSWER_H
#define LUCIDNODE_CHANNEL_ANSWER_H

#include "channel.h"
#include "pages.h"
#include "table.h"
#include "waits.h"

#include <sys/types.h>

/* libsodium's crypto_aead_aegis256_decrypt, out of the library that PyNaCl brings. */
typedef int aead_open(unsigned char *plain, unsigned long long *plain_bytes, unsigned char *secret,
                      const unsigned char *sealed, unsigned long long sealed_bytes,
                      const unsigned char *associated, unsigned long long associated_bytes,
                      const unsigned char *nonce, const unsigned char *key);

/* As pread(2): reads a file, and waits for its disk. */
typedef ssize_t wait_for_file(int file, void *bytes, size_t count, off_t offset);

/* As pages_in_memory. */
typedef bool is_in_memory(int file, off_t offset, size_t bytes);

struct answers {
    struct table *table;
    aead_open *open;
    wait_for_file *wait_for_file;
    is_in_memory *is_in_memory;
    struct channel *channel;
    struct waits waits;
    atomic_ullong answered;
    atomic_ullong unknown; /* not all of its bytes were published */
    atomic_ullong failed;  /* too many wait for the disk, or not what it should be: Python finds out */
    atomic_ullong waited;  /* of the pieces of those answered, how many came from the disk */
    atomic_ullong direct;  /* of those, how many past the kernel's pages */
    atomic_ullong overdue; /* the disk took too long: Python has answered */
};

/* Ciphertext of a READ in one block: as many whole segments as it can touch. */
#define MAX_CIPHER_BYTES ((DATA_BYTES / SEGMENT_BYTES + 2) * (SEGMENT_BYTES + TAG_BYTES))

/* What a read past the kernel's pages begins at, ends at, and lies at in memory is a multiple of this. */
#define DIRECT_ALIGNMENT 4096

/* So much ciphertext, or more, that is not in memory is read past the kernel's pages: to fill those
 * costs four times as much CPU as the disk's own write to our memory, and the plaintext gets pages of
 * its own. Less is worth keeping: a segment is read again for the next 4 KiB of it. */
#define MIN_DIRECT_BYTES (256 * 1024)

/* Scratch memory of a thread that answers: a segment that is used in part, then the reply, and in the same
 * place the ciphertext, which begins a segment later, is aligned, and may begin late and end early. */
#define ANSWER_SCRATCH (2 * SEGMENT_BYTES + MAX_CIPHER_BYTES + 3 * DIRECT_ALIGNMENT)

/* A read_answerer, with struct answers as its context. */
read_answerer answer_read;

#endif
