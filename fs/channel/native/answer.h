/* Answers a READ from block files whose ciphertext the kernel has in memory, or leaves it to others. */
#ifndef LUCIDNODE_CHANNEL_ANSWER_H
#define LUCIDNODE_CHANNEL_ANSWER_H

#include "channel.h"
#include "table.h"

/* libsodium's crypto_aead_aegis256_decrypt, out of the library that PyNaCl brings. */
typedef int aead_open(unsigned char *plain, unsigned long long *plain_bytes, unsigned char *secret,
                      const unsigned char *sealed, unsigned long long sealed_bytes,
                      const unsigned char *associated, unsigned long long associated_bytes,
                      const unsigned char *nonce, const unsigned char *key);

struct answers {
    struct table *table;
    aead_open *open;
    struct channel *channel;
    atomic_ullong answered;
    atomic_ullong unknown; /* not all of its bytes were published */
    atomic_ullong failed;  /* not in memory, or not what it should be: Python finds out */
};

/* Scratch memory of a thread that answers. */
#define ANSWER_SCRATCH (DATA_BYTES + MAX_CIPHER_BYTES + SEGMENT_BYTES)

/* Ciphertext of a READ in one block: as many whole segments as it can touch. */
#define MAX_CIPHER_BYTES ((DATA_BYTES / SEGMENT_BYTES + 2) * (SEGMENT_BYTES + TAG_BYTES))

/* A read_answerer, with struct answers as its context. */
read_answerer answer_read;

#endif
