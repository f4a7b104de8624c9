/* Answers a READ from block files, or leaves it to others. */
#ifndef LUCIDNODE_CHANNEL_ANSWER_H
#define LUCIDNODE_CHANNEL_ANSWER_H

#include "channel.h"
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

struct answers {
    struct table *table;
    aead_open *open;
    wait_for_file *wait_for_file;
    struct channel *channel;
    struct waits waits;
    atomic_ullong answered;
    atomic_ullong unknown; /* not all of its bytes were published */
    atomic_ullong failed;  /* too many wait for the disk, or not what it should be: Python finds out */
    atomic_ullong waited;  /* of the pieces of those answered, how many came from the disk */
    atomic_ullong overdue; /* the disk took too long: Python has answered */
};

/* Scratch memory of a thread that answers. */
#define ANSWER_SCRATCH (DATA_BYTES + MAX_CIPHER_BYTES + SEGMENT_BYTES)

/* Ciphertext of a READ in one block: as many whole segments as it can touch. */
#define MAX_CIPHER_BYTES ((DATA_BYTES / SEGMENT_BYTES + 2) * (SEGMENT_BYTES + TAG_BYTES))

/* A read_answerer, with struct answers as its context. */
read_answerer answer_read;

#endif
