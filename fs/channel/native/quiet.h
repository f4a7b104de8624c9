/* Handles whose FLUSH ends nothing: nothing can be written through them, and nobody has locked their
 * file. Python names them, and takes the name back before it answers who locks. */
#ifndef LUCIDNODE_CHANNEL_QUIET_H
#define LUCIDNODE_CHANNEL_QUIET_H

#include <stdbool.h>
#include <stdint.h>

/* With more, the others' go to Python. */
#define MAX_QUIET_HANDLES 65536

struct quiet;

/* Return an empty set, NULL without memory. */
struct quiet *quiet_new(void);

/* Take all back: their numbers are given anew. */
void quiet_clear(struct quiet *quiet);

/* Free it; nobody may use it any more. */
void quiet_free(struct quiet *quiet);

/* Name *handle*; it may be refused. Any thread, as the two below. */
void quiet_add(struct quiet *quiet, uint64_t handle);

/* Take it back. No FLUSH that is asked later is answered here. */
void quiet_remove(struct quiet *quiet, uint64_t handle);

/* Tell whether *handle* is named. */
bool quiet_has(struct quiet *quiet, uint64_t handle);

#endif
