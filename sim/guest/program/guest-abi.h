/* SPDX-License-Identifier: Apache-2.0
 *
 * What the test guest and those who start it agree on. Little-endian, no pointers, no padding but
 * what is named; usable from the guest (32 or 64 bits, freestanding) and from any program.
 *
 *   ROM, 64 KiB, mapped so that it ends at 4 GiB and again at 1 MiB
 *   +0x0000  struct mig_guest_parameters      patched before the start
 *   +0x1000  the program
 *   +0xfff0  reset vector
 *
 *   low memory
 *   0x0000   page 0 is never touched
 *   0x1000   struct mig_guest_counters, then all other state and the stack: one page, always dirty
 *   0x2000   never touched, up to the regions that the parameters name
 *
 * There are two ROMs of one program. migbench-guest.rom runs in 32 bits without paging.
 * migbench-guest64.rom runs in long mode at privilege level 3, on up to 16 processors, each with
 * its number in %esi at the reset vector. A processor is a guest of its own: what it sees as page 1
 * and as the parameters' page is its own memory, so n processors are n programs that share only
 * regions.
 *
 *   0x1000 * (n + 1)       page 1 of processor n
 *   0x20000 + 0x7000 * n   its page tables, written once
 *   0xe0000 + 0x1000 * n   its parameters, for n > 0
 *
 * Regions and fills are given by guest physical address; they must be page-aligned, lie in RAM, end
 * below 4 GiB minus 64 KiB, and stay clear of page 1 and of 640 KiB to 1 MiB; with the 64 bit ROM
 * of the whole first MiB.
 */
#ifndef MIG_GUEST_ABI_H
#define MIG_GUEST_ABI_H

#include <stdint.h>

enum {
    MIG_GUEST_ROM_BYTES = 65536,
    MIG_GUEST_PARAMETERS_OFFSET = 0,
    MIG_GUEST_COUNTERS_ADDRESS = 0x1000,
    MIG_GUEST_VERSION = 1,
    MIG_GUEST_MAX_REGIONS = 16,
    MIG_GUEST_MAX_FILLS = 16,
    MIG_GUEST_PAGE_BYTES = 4096,
    MIG_GUEST_SERIAL_PORT = 0x3f8,
    /* Of the 64 bit ROM: */
    MIG_GUEST_MAX_PROCESSORS = 16,
    MIG_GUEST_TABLES_ADDRESS = 0x20000,
    MIG_GUEST_TABLES_BYTES = 0x7000,
    MIG_GUEST_PARAMETERS_ADDRESS = 0xe0000, /* of processor n > 0: n pages behind it */
    MIG_GUEST_ROM_ADDRESS = 0xf0000,
    MIG_GUEST_FIRST_FREE = 0x100000,
};

/* "migGUEST" and "migCOUNT" as little-endian words. */
#define MIG_GUEST_MAGIC          UINT64_C(0x545345554767696d)
#define MIG_GUEST_COUNTERS_MAGIC UINT64_C(0x544e554f4367696d)

enum mig_guest_pattern {
    MIG_GUEST_SEQUENTIAL = 0, /* page n mod pages */
    MIG_GUEST_RANDOM = 1,     /* uniform, with replacement */
    MIG_GUEST_HOT_COLD = 2,   /* hot_share % of writes to the first hot_size %, others anywhere */
    MIG_GUEST_ONCE = 3,       /* sequential, ends after one round */
    MIG_GUEST_PERIODIC = 4,   /* one sequential round at `rate`, every period_us */
};

/* What happens to writes that were due while the guest was stalled (stopped, faulting, throttled).
 */
enum mig_guest_pace {
    MIG_GUEST_CLOCK = 0, /* they are made up for, but at most those of the last catch_up_us */
    MIG_GUEST_CPU = 1,   /* they are lost: due times move by the stall */
};

enum mig_guest_write {
    MIG_GUEST_COUNTER = 0, /* the first 8 bytes become the number of the write, counted from 1 */
    MIG_GUEST_PAGE = 1,  /* all of it: 32 bit words w * 1664525 + 1013904223, from mix(number, 0) */
    MIG_GUEST_BYTES = 2, /* write_bytes single bytes change, evenly spread over the page */
    MIG_GUEST_ZERO = 3,  /* all of it becomes zero */
    MIG_GUEST_READ = 4,  /* nothing: its first 8 bytes are read, and that is counted as a write */
};

enum mig_guest_fill_kind {
    MIG_GUEST_FILL_REPEAT = 0, /* every byte is the low byte of seed */
    MIG_GUEST_FILL_RANDOM = 1, /* words of mig_guest_mix(seed, index) */
};

struct mig_guest_fill {
    uint64_t offset; /* guest physical address, bytes */
    uint64_t length; /* bytes */
    uint32_t kind;   /* enum mig_guest_fill_kind */
    uint32_t seed;
};

struct mig_guest_region {
    uint64_t offset;        /* guest physical address, bytes */
    uint64_t length;        /* bytes */
    uint32_t pattern;       /* enum mig_guest_pattern */
    uint32_t pace;          /* enum mig_guest_pace */
    uint32_t rate;          /* page writes per second; 0: as fast as possible */
    uint32_t catch_up_us;   /* bound of what is made up for, with MIG_GUEST_CLOCK */
    uint32_t write;         /* enum mig_guest_write */
    uint32_t write_bytes;   /* 1 to 4096, with MIG_GUEST_BYTES */
    uint32_t write_cost_ns; /* time burnt after each write */
    uint32_t hot_share;     /* percent of the writes that go to the hot part */
    uint32_t hot_size;      /* percent of the region that is hot */
    uint32_t period_us;     /* with MIG_GUEST_PERIODIC */
    uint64_t seed;
};

struct mig_guest_parameters {
    uint64_t magic;        /* MIG_GUEST_MAGIC, also in a ROM that was not patched */
    uint32_t version;      /* MIG_GUEST_VERSION */
    uint32_t bytes;        /* sizeof(struct mig_guest_parameters) */
    uint64_t tsc_hz;       /* 0: measured against the PIT's channel 2 */
    uint32_t heartbeat_ms; /* a line on the serial port this often; 0: only "ready" */
    uint32_t stall_us;     /* a gap longer than this between two looks at the clock is a stall */
    uint32_t region_count; /* 0: the guest fills, says "ready" and halts for good */
    uint32_t fill_count;
    struct mig_guest_fill fill[MIG_GUEST_MAX_FILLS];
    struct mig_guest_region region[MIG_GUEST_MAX_REGIONS];
};

/*
 * Kept up to date after every write. `lost` counts writes that were due and never made; `wrong`,
 * for regions whose counters are written in turn, pages that did not hold the number that the
 * processor had left there.
 */
struct mig_guest_counters {
    uint64_t magic; /* MIG_GUEST_COUNTERS_MAGIC once the guest is ready */
    uint64_t tsc_hz;
    uint64_t ready_tsc;
    uint64_t stall_ticks;   /* time stamp counter ticks spent stalled */
    uint64_t longest_stall; /* ticks */
    uint64_t stalls;
    uint64_t written[MIG_GUEST_MAX_REGIONS];
    uint64_t lost[MIG_GUEST_MAX_REGIONS];
    uint64_t wrong[MIG_GUEST_MAX_REGIONS];
};

_Static_assert(sizeof(struct mig_guest_fill) == 24, "layout");
_Static_assert(sizeof(struct mig_guest_region) == 64, "layout");
_Static_assert(sizeof(struct mig_guest_parameters) == 40 + 16 * 24 + 16 * 64, "layout");

/* The guest's only source of randomness: a bijection of the counter, mixed with the seed. */
static inline uint64_t mig_guest_mix(uint64_t seed, uint64_t index)
{
    uint64_t z = seed * UINT64_C(0xd1342543de82ef95) + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* An index below `count` from 64 random bits, without a division. */
static inline uint32_t mig_guest_below(uint64_t random, uint32_t count)
{
    return (uint32_t)(((random >> 32) * count) >> 32);
}

/* The page, counted from the region's beginning, that write number n (from 0) goes to. Pure. */
static inline uint32_t mig_guest_page_of(const struct mig_guest_region *r, uint64_t n,
                                         uint32_t turn)
{
    uint32_t pages = (uint32_t)(r->length / MIG_GUEST_PAGE_BYTES);
    uint64_t random = mig_guest_mix(r->seed, n);
    if (r->pattern == MIG_GUEST_RANDOM) {
        return mig_guest_below(random, pages);
    }
    if (r->pattern == MIG_GUEST_HOT_COLD) {
        uint32_t hot = pages * r->hot_size / 100u;
        if ((uint32_t)random % 100u < r->hot_share && hot > 0) {
            return mig_guest_below(random, hot);
        }
        return mig_guest_below(random, pages);
    }
    return turn; /* n mod pages, kept by the caller: a 32 bit guest has no 64 bit division */
}

#endif
