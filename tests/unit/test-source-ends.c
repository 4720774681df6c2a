/* SPDX-License-Identifier: Apache-2.0 */
/*
 * However a migration ends, and wherever: cancelled and cut at each single operation of a
 * migration, before the operation and behind it, in versions of every era. The source ends in the
 * state that QEMU's ends in, its guest runs as it did before, and nobody logs its writes any more.
 */
#include <glib.h>
#include <string.h>

#include "sim/engine/source.h"
#include "sim/engine/states.h"
#include "sim/world/virtual.h"
#include "tests/unit/fake-memory.h"

#define OPS_MAX 3000u

typedef struct Setup {
    const char *qemu;
    MigCapabilitySet caps;
    bool paused; /* the guest, from the beginning */
} Setup;

typedef enum How { HOW_CANCEL, HOW_CUT, HOW_NEVER } How;

typedef struct Run {
    MigClock clock;
    MigEra era;
    FakeMemory *memory;
    MigSource *source;
    MigVirtual *world;
    unsigned ops, last; /* the latter: the operation behind which nobody looks at the channel */
    MigStatusName hit;  /* the status when it happened */
    bool changed;       /* the cancel has done something */
} Run;

static void make(Run *r, const Setup *s)
{
    static const uint64_t pages[FAKE_BLOCKS + 1] = { 200, 40 };
    MigVersion version;
    memset(r, 0, sizeof(*r));
    g_assert_true(mig_version_parse(s->qemu, &version));
    g_assert_cmpint(mig_era_resolve(version, NULL, &r->era), ==, MIG_ERA_OK);
    r->memory = fake_memory_new(&r->clock, pages);
    r->memory->writer = (FakeWriter){ .first = 3, .pages = 100, .interval = 4000000 };
    fake_memory_fill(r->memory, 0, 0, 150);
    fake_memory_run(r->memory, !s->paused);
    MigSourceConfig source = {
        .era = r->era,
        .machine = "none",
        .memory = &r->memory->memory,
        .capabilities = s->caps,
        .parameters = mig_parameters_default(&r->era),
        .guest_running = !s->paused,
    };
    source.parameters.max_bandwidth = 3000000;
    source.parameters.downtime_limit = 60;
    source.parameters.xbzrle_cache_size = 1u << 20;
    MigVirtualConfig world = {
        .clock = &r->clock,
        .memory = &r->memory->memory,
        .costs = mig_costs_default(),
        .receiver = mig_costs_default(),
        .guest = { .opaque = r->memory, .run = fake_memory_run },
    };
    r->source = mig_source_new(&source);
    r->world = mig_virtual_new(&world);
}

static void done(Run *r)
{
    mig_source_free(r->source);
    mig_virtual_free(r->world);
    fake_memory_free(r->memory);
}

static void hit(Run *r, How how)
{
    r->hit = mig_status_find(mig_source_status(r->source));
    if (how == HOW_CUT) {
        mig_virtual_cut(r->world, "cut");
        return;
    }
    r->changed = mig_source_cancel(r->source);
    if (r->changed) {
        mig_virtual_cancel(r->world);
    }
}

/* |at| counts half operations: even ones are in front of an operation, odd ones behind it. */
static void run(Run *r, const Setup *s, How how, unsigned at)
{
    make(r, s);
    MigOutcome outcome = { .now = 0 };
    const MigOp *op;
    while ((op = mig_source_next(r->source, &outcome))->kind != MIG_OP_DONE) {
        if (how != HOW_NEVER && at == 2 * r->ops) {
            hit(r, how);
        }
        if (op->kind == MIG_OP_WAIT_CONTINUE) {
            g_free(mig_source_continue(r->source, "pre-switchover"));
        }
        if (op->kind == MIG_OP_FLUSH || op->kind == MIG_OP_DRAIN ||
            op->kind == MIG_OP_WAIT_RETURN) {
            r->last = r->ops;
        }
        outcome = mig_virtual_do(r->world, op);
        if (how != HOW_NEVER && at == 2 * r->ops + 1) {
            hit(r, how);
        }
        g_assert_cmpuint(r->ops++, <, OPS_MAX);
    }
}

static void expect_guest_as_before(const Run *r, const Setup *s)
{
    g_assert_cmpint(r->memory->running, ==, !s->paused);
    g_assert_false(r->memory->logging);
}

#define CAP(name) MIG_CAP_BIT(MIG_CAP_##name)

static const char *const qemus[] = { "1.4", "1.7", "2.0", "2.5",  "2.12", "4.2", "5.2",
                                     "7.2", "8.1", "9.1", "10.0", "10.2", "11.1" };
static const MigCapabilitySet sets[] = {
    0,
    CAP(RETURN_PATH),
    CAP(PAUSE_BEFORE_SWITCHOVER) | CAP(RETURN_PATH),
    CAP(XBZRLE) | CAP(AUTO_CONVERGE),
    CAP(MULTIFD),
};

static bool has_all(const char *qemu, MigCapabilitySet set)
{
    MigVersion v = 0;
    mig_version_parse(qemu, &v);
    g_autofree char *refused = mig_capabilities_check(set, v, 0);
    return refused == NULL;
}

/* Statuses in which a cancel must have come along. */
static MigStatusName seen_names[] = { MIG_STATUS_IS_SETUP, MIG_STATUS_IS_ACTIVE,
                                      MIG_STATUS_IS_PRE_SWITCHOVER, MIG_STATUS_IS_DEVICE };

static bool is_reached(const Run *r, const Setup *s, MigStatusName status)
{
    bool pause = s->caps & CAP(PAUSE_BEFORE_SWITCHOVER);
    switch (status) {
    case MIG_STATUS_IS_PRE_SWITCHOVER:
        return pause;
    case MIG_STATUS_IS_DEVICE:
        return pause || r->era.device_state;
    default:
        return true;
    }
}

static void each_operation(const Setup *s, How how)
{
    Run whole;
    unsigned seen[MIG_STATUS_NAMES] = { 0 };
    run(&whole, s, HOW_NEVER, 0);
    g_assert_true(mig_source_completed(whole.source));
    g_assert_false(whole.memory->running);
    g_assert_false(whole.memory->logging);
    for (unsigned at = 0; at < 2 * whole.ops; at++) {
        Run r;
        run(&r, s, how, at);
        /* Behind the last flush nobody writes, behind the verdict nobody reads. */
        bool unseen = how == HOW_CUT && at > 2 * whole.last;
        bool late = r.hit == MIG_STATUS_IS_COMPLETED || unseen;
        bool cancels = how == HOW_CANCEL && !late && r.hit != MIG_STATUS_IS_NONE;
        const char *status = mig_source_status(r.source);
        const char *expected = late || (how == HOW_CANCEL && !cancels) ? "completed"
                               : cancels                               ? "cancelled"
                                                                       : "failed";
        bool fine = strcmp(status, expected) == 0 &&
                    r.memory->running == (!s->paused && strcmp(status, "completed") != 0);
        if (!fine) {
            g_test_message("QEMU %s, capabilities %" G_GINT64_MODIFIER "x, half operation %u, in "
                           "%s: %s",
                           s->qemu, s->caps, at, mig_status_text(r.hit), status);
        }
        g_assert_cmpstr(status, ==, expected);
        g_assert_cmpint(r.changed, ==, cancels);
        if (mig_source_completed(r.source)) {
            g_assert_false(r.memory->running);
            g_assert_false(r.memory->logging);
        } else {
            expect_guest_as_before(&r, s);
        }
        seen[r.hit]++;
        done(&r);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(seen_names); i++) {
        g_assert_cmpint(seen[seen_names[i]] > 0, ==, is_reached(&whole, s, seen_names[i]));
    }
    done(&whole);
}

static void each_version(How how, bool paused)
{
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(sets); k++) {
            Setup s = { .qemu = qemus[i], .caps = sets[k], .paused = paused };
            if (has_all(s.qemu, s.caps)) {
                each_operation(&s, how);
            }
        }
    }
}

static void test_cancel(void)
{
    each_version(HOW_CANCEL, false);
}

static void test_cancel_paused(void)
{
    each_version(HOW_CANCEL, true);
}

static void test_cut(void)
{
    each_version(HOW_CUT, false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source-ends/cancel/every-operation", test_cancel);
    g_test_add_func("/source-ends/cancel/paused-guest", test_cancel_paused);
    g_test_add_func("/source-ends/cut/every-operation", test_cut);
    return g_test_run();
}
