/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source of a migration: QEMU's migration thread as a resumable machine.
 *
 *     s = mig_source_new(&config)
 *     outcome = { .now = the time at which `migrate` was accepted }
 *     while ((op = mig_source_next(s, &outcome))->kind != MIG_OP_DONE)
 *         outcome = world_do(world, op)
 *
 *     setup --> active: { decide [sync] iterate | rate limit }* --> stop, final sync, rest of RAM,
 *     devices, end --> [return path] --> completed
 *
 * It does no I/O and knows no time but what outcomes tell. Tables say what is plugged in: iterables
 * (iterables.h), transports (source-transport.h), notifiers (notifiers.h), the loop of the era
 * (source-loop.c). Not in it yet: everything beyond MIG_CAPS_IMPLEMENTED.
 */
#ifndef MIG_SIM_ENGINE_SOURCE_H
#define MIG_SIM_ENGINE_SOURCE_H

#include "sim/engine/config.h"
#include "sim/engine/dirty-limit.h"
#include "sim/engine/op.h"
#include "sim/engine/stats.h"

typedef struct MigSource MigSource;

/* One row per dirty bitmap sync. Times in ns. */
typedef struct MigPass {
    uint64_t sync;        /* dirty-sync-count after it */
    int64_t at;           /* ns */
    uint64_t remaining;   /* bytes, right after it */
    uint64_t dirty_pages; /* pages that it turned dirty */
    uint64_t transferred; /* bytes so far, as query-migrate counts */
    uint64_t dirty_pages_rate;
    int64_t expected_downtime; /* ms */
    double mbps;
    unsigned throttle; /* percent, after it */
} MigPass;

/* Keeps copies of what |config| points to, but for memory. Never NULL. */
MigSource *mig_source_new(const MigSourceConfig *config);
void mig_source_free(MigSource *s); /* NULL is fine */

/*
 * The next operation, which is the source's and lasts until the next call. |outcome| is that of the
 * operation before; before the first it says the time only.
 */
const MigOp *mig_source_next(MigSource *s, const MigOutcome *outcome);

/*
 * migrate_cancel: true when the status changed. That is at once, whatever operation is under way,
 * so the caller tells the monitor (mig_source_status() says what), and shuts the channels down,
 * which ends a write that blocks. The engine goes on to cancelled when it finds out.
 */
bool mig_source_cancel(MigSource *s);

/* migrate-continue: NULL, or why not; g_free(). The caller ends MIG_OP_WAIT_CONTINUE. */
char *mig_source_continue(MigSource *s, const char *state);

/*
 * SWITCHOVER_ACK came on the return path: with switchover-ack the source stops its guest, or starts
 * postcopy, only behind it (from the machine types of 11.1 on: behind those of config.acks). May be
 * called while an operation is under way.
 */
void mig_source_acknowledge(MigSource *s);

/*
 * Free page hints: |count| pages of |block| are of no use to the guest, until it writes to them.
 * Taken between MIG_OP_FREE_PAGES "on" and "off" only. May be called while an operation is under
 * way.
 */
void mig_source_hint_free(MigSource *s, uint32_t block, uint64_t first, uint64_t count);
bool mig_source_wants_hints(const MigSource *s);
uint64_t mig_source_hinted(const MigSource *s); /* pages that did not have to go for it, so far */
/* The page was not sent in its last state, and need not be: free, or of a block that is gone. */
bool mig_source_is_left_out(const MigSource *s, uint32_t block, uint64_t page);

/*
 * RAM blocks that come, go, and have got another length while it migrates; may be called while an
 * operation is under way. Of the last: true, where the era cancels for it; the caller does what a
 * migrate_cancel does.
 */
void mig_source_add_block(MigSource *s, const char *name, bool migratable);
void mig_source_remove_block(MigSource *s, uint32_t block);
bool mig_source_resize_block(MigSource *s, uint32_t block);
/* Fails with |error|, which it takes, at the end of the operation under way. */
void mig_source_abort(MigSource *s, char *error);

/*
 * The dirty limit, for who measures; NULL: there is none. While it is in service that is done every
 * x-vcpu-dirty-limit-period.
 */
MigDirtyLimit *mig_source_dirty_limit(MigSource *s);

/* Steps of the switchover that can be made to fail. X(symbol, name, what it is) */
#define MIG_STEPS(X)                                              \
    X(GLOBAL_STATE, "global-state", "storing the run state")      \
    X(STOP, "stop", "stopping the guest")                         \
    X(INACTIVATE, "inactivate", "inactivating the block devices") \
    X(DEVICES, "devices", "saving the devices")                   \
    X(PACKAGE, "package", "making the package of postcopy")       \
    X(FINAL_WRITE, "final-write", "the last write to the channel")

typedef enum MigStep {
#define X(symbol, name, text) MIG_STEP_##symbol,
    MIG_STEPS(X)
#undef X
        MIG_STEP_COUNT
} MigStep;

const char *mig_step_name(MigStep step);

/* From now on |step| fails, when it comes. */
void mig_source_make_fail(MigSource *s, MigStep step);

/* migrate-set-parameters; live ones act from the next look at them. */
void mig_source_set_parameters(MigSource *s, const MigParameters *parameters);
const MigParameters *mig_source_parameters(const MigSource *s);

/* query-migrate at |now| ns. */
void mig_source_query(const MigSource *s, int64_t now, MigStats *stats);

const char *mig_source_status(const MigSource *s); /* "active" */
bool mig_source_completed(const MigSource *s);
uint64_t mig_source_sync_count(const MigSource *s);
uint64_t mig_source_remaining(const MigSource *s); /* bytes, the estimate */

/* The guest was suspended, and completion has woken it: its run state is running. */
bool mig_source_woke_guest(const MigSource *s);

/* What travels beside RAM: contents of disks, dirty bitmaps. */
void mig_source_copies(const MigSource *s, bool *contents, bool *bitmaps);

/* One row per sync so far. */
const MigPass *mig_source_passes(const MigSource *s, size_t *count);

/* Where the downtime went; ns, 0 where it did not come so far. */
typedef struct MigDowntime {
    int64_t began, stopped, synced, ram_sent, devices_sent, ended;
} MigDowntime;
const MigDowntime *mig_source_downtime(const MigSource *s);

#endif
