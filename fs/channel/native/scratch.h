/* Memory to answer READs in: the one that was let go of last is taken first.
 *
 * One of its own for each reader was cleared by the kernel page by page as the readers took turns,
 * 2 MiB for each of them, and the processor's cache had another one each time. So there are as many as
 * READs were answered at a time.
 */
#ifndef LUCIDNODE_CHANNEL_SCRATCH_H
#define LUCIDNODE_CHANNEL_SCRATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_SCRATCHES 16

/* Safe in any thread; the lock is a leaf. */
struct scratches {
    pthread_mutex_t lock;
    size_t bytes; /* of each */
    bool stopped;
    int free_count;
    uint8_t *free[MAX_SCRATCHES];
};

/* Begin with none, of *bytes* each. */
void scratches_start(struct scratches *scratches, size_t bytes);

/* Free those that nobody holds. Nobody may take one any more; who still holds one may let go of it. */
void scratches_stop(struct scratches *scratches);

/* Return memory for the caller alone until he lets go of it, NULL without. */
uint8_t *scratch_take(struct scratches *scratches);

/* Let go of *scratch*. */
void scratch_give(struct scratches *scratches, uint8_t *scratch);

#endif
