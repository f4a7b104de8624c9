#define _GNU_SOURCE
#include "pages.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* cachestat(2) and its structs, from linux/mman.h: older headers than the kernel have none of them. The
 * number is the same on every architecture but alpha. */
#ifdef SYS_cachestat
#define CACHESTAT SYS_cachestat
#else
#define CACHESTAT 451
#endif

struct range {
    uint64_t offset;
    uint64_t length;
};

struct told {
    uint64_t in_memory;
    uint64_t dirty;
    uint64_t in_writeback;
    uint64_t evicted;
    uint64_t recently_evicted;
};

bool pages_are_told(void)
{
    struct range range = {0, 1};
    struct told told;

    return syscall(CACHESTAT, -1, &range, &told, 0) < 0 && errno == EBADF;
}

bool pages_in_memory(int file, off_t offset, size_t bytes)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t first = (uint64_t)offset / page;
    const uint64_t last = ((uint64_t)offset + bytes - 1) / page;
    struct range range = {(uint64_t)offset, bytes};
    struct told told = {0};

    return bytes && !syscall(CACHESTAT, file, &range, &told, 0) &&
           told.in_memory == last - first + 1;
}
