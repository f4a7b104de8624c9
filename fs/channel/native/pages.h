/* What the kernel has in memory of a file: asked without having it read anything.
 *
 * A read with RWF_NOWAIT cannot tell: it has the kernel begin to read what is missing.
 */
#ifndef LUCIDNODE_CHANNEL_PAGES_H
#define LUCIDNODE_CHANNEL_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Tell whether this kernel can be asked: since Linux 6.5, and where nothing filters its calls. */
bool pages_are_told(void);

/* Tell whether all pages of *bytes* at *offset* are in memory; false too if it does not say. */
bool pages_in_memory(int file, off_t offset, size_t bytes);

#endif
