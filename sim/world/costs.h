/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What things cost a host. Per-page costs are picoseconds, so that they can be added up before the
 * sum is rounded to nanoseconds; the others are nanoseconds.
 */
#ifndef MIG_SIM_WORLD_COSTS_H
#define MIG_SIM_WORLD_COSTS_H

#include <stdint.h>

#include "sim/world/prng.h"

/*
 * X(field, default, unit and meaning). The defaults are those of a two-processor machine speaking
 * over loopback: see each line.
 */
#define MIG_COSTS(X)                                                                             \
    X(zero_page, 165000, "ps, a page found to be zero")                                          \
    X(normal_page, 1500000, "ps, a page found not to be zero, and its copy into the socket")     \
    X(xbzrle_page, 1000000, "ps, a page looked up in the XBZRLE cache, and its delta")           \
    X(multifd_queue, 60000, "ps, putting a page into a multifd packet")                          \
    X(multifd_threads, 1, "multifd threads that find a processor at the same time")              \
    X(compress_queue, 500000, "ps, handing a page to a compress thread, and taking what it had") \
    X(compress_threads, 1, "(de)compress threads that find a processor at the same time")        \
    X(zlib_page, 40000000, "ps, compressing a page with zlib, on top of it")                     \
    X(zstd_page, 8000000, "ps, compressing a page with zstd, on top of it")                      \
    X(scan, 0, "ps, a clean page that the search passes")                                        \
    X(sync_base, 30000, "ns, a dirty bitmap sync")                                               \
    X(sync_gib, 30000, "ns, the same per GiB of guest memory")                                   \
    X(clear_chunk, 20000, "ns, re-arming a chunk of the dirty log")                              \
    X(protect_gib, 40000000, "ns, write-protecting a GiB of guest memory, in small pages")       \
    X(connect, 200000, "ns, opening a channel, beside the link's round trip")                    \
    X(wake, 60000, "ns, by which the end of a sleep is late, a throttled vCPU's, too")           \
    X(setup, 3000000, "ns, until the first section is written: threads, log start")              \
    X(stop, 150000, "ns, stopping the guest")                                                    \
    X(start, 50000, "ns, letting it run again")                                                  \
    X(devices, 1000000, "ns, saving the state of all devices")                                   \
    X(receive_zero, 0, "ps, the receiver: a zero page")                                          \
    X(receive_page, 1200000, "ps, the receiver: a normal page")                                  \
    X(receive_delta, 500000, "ps, the receiver: an XBZRLE page")                                 \
    X(inflate_page, 15000000, "ps, the receiver: decompressing a page, on top of it")            \
    X(first_touch, 700000, "ps, the receiver: the first write to a page, on top of it")          \
    X(rdma_page, 100000, "ps, RDMA: looking at a page and joining it to a write")                \
    X(rdma_write, 1500, "ns, RDMA: posting a write, and its completion")                         \
    X(rdma_register, 250000, "ns, RDMA: pinning and registering 1 MiB; also the receiver's")     \
    X(disk_read, 500000, "ns, reading 1 MiB of a disk, and its copy into the socket")            \
    X(disk_write, 500000, "ns, the receiver: writing 1 MiB of a disk")                           \
    X(place_page, 1000000, "ps, the receiver: placing a host page in postcopy, on top of it")    \
    X(fault, 15000, "ns, the receiver: from a vCPU's fault to the request on its way")           \
    X(hear, 0, "ns, in postcopy: until a thread that waits for a message hears of it")           \
    X(load_devices, 1200000, "ns, the receiver: devices, until its guest runs")

typedef struct MigCosts {
#define X(field, value, text) int64_t field;
    MIG_COSTS(X)
#undef X
} MigCosts;

MigCosts mig_costs_default(void);

/* A host on which everything is free; for tests. */
MigCosts mig_costs_free(void);

/*
 * How much runs on one host differ: the standard deviation of each cost in thousandths of it. The
 * default, for hosts that nobody measured, is 100 for times and 0 for numbers of threads.
 */
MigCosts mig_costs_noise(void);

/* One run's costs: each moved by a draw of its own, and never below a quarter. */
MigCosts mig_costs_draw(const MigCosts *costs, const MigCosts *noise, MigPrng *p);

/* Names, in the table's order; NULL behind the last. And units: "ps", "ns", or "" of a number. */
const char *mig_costs_name(unsigned i);
const char *mig_costs_unit(unsigned i);

/* The field of that name, or NULL: for files. */
int64_t *mig_costs_field(MigCosts *c, const char *name);

#endif
