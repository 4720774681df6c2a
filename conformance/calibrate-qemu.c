/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibrating with a real QEMU, see calibrate-pairs.h. Three guests migrate over a unix socket
 * without limit, as often as is asked for: one of zeros, a larger one of zeros, one with 48 MiB of
 * random bytes. From the first come setup, zero pages, devices; from what the larger takes longer
 * for a sync, its cost per GiB; from the time that the third takes longer, that of a page.
 */
#include <string.h>

#include "conformance/calibrate-pairs.h"
#include "sim/guest/kvm-program.h"

#define MIB        (1u << 20)
#define LARGE      1152u /* MiB: 1 GiB more */
#define MIGRATIONS "migrations by QEMU"
#define MONITOR    "QEMU's monitor, beside commands that do nothing"
#define TRACE      "QEMU's trace events"

typedef struct Rounds {
    MigPairResult *results;
    guint count;
} Rounds;

/* Migrates as often as asked for; false: not all of them went well. */
static bool take_rounds(Rounds *r, const MigPeer *peer, const MigPair *pair,
                        const MigCalibrateOptions *o, GError **error)
{
    const MigPairOptions options = { .shared = o->shared, .closely = true };
    for (r->count = 0; r->count < o->rounds; r->count++) {
        bool stop = o->interrupted && *o->interrupted;
        if (stop || !mig_pair_run(peer, pair, &options, &r->results[r->count], error)) {
            return false;
        }
    }
    return true;
}

/* A cost of each round; negative where that one doesn't tell. */
typedef gint64 Value(const MigPairResult *result, gint64 context);

static void put(MigCalibration *c, const char *name, const char *how, const Rounds *r, Value *value,
                gint64 context)
{
    g_autofree gint64 *values = g_new(gint64, r->count);
    guint count = 0;
    for (guint i = 0; i < r->count; i++) {
        gint64 one = value(&r->results[i], context);
        if (one >= 0) {
            values[count++] = one;
        }
    }
    if (count > 0) {
        mig_calibration_put(c, name, how, values, count);
    }
}

static gint64 median_of(const Rounds *r, Value *value)
{
    g_autofree gint64 *values = g_new(gint64, r->count);
    for (guint i = 0; i < r->count; i++) {
        values[i] = value(&r->results[i], 0);
    }
    return mig_calibration_median(values, r->count);
}

static gint64 setup_of(const MigPairResult *r, gint64 context)
{
    (void)context;
    return r->setup_time * 1000000;
}

static gint64 stop_of(const MigPairResult *r, gint64 context)
{
    (void)context;
    return r->stop;
}

static gint64 start_of(const MigPairResult *r, gint64 context)
{
    (void)context;
    return r->start;
}

static gint64 total_of(const MigPairResult *r, gint64 context)
{
    (void)context;
    return r->total_time;
}

static gint64 devices_of(const MigPairResult *r, gint64 context)
{
    (void)context;
    return r->traced.devices;
}

static gint64 load_of(const MigPairResult *r, gint64 context)
{
    (void)context;
    return r->traced.load;
}

/* Where nobody traces: all between stopping the guest and the end, less |others|, of whole ms of
 * which half a one is lost by rounding down. */
static gint64 rest_of_downtime(const MigPairResult *r, gint64 others)
{
    return MAX(r->downtime * 1000000 + 500000 - others, 0);
}

/* Of a guest that has nothing but zeros; ps. */
static gint64 zero_of(const MigPairResult *r, gint64 context)
{
    (void)context;
    gint64 ms = r->total_time - r->setup_time - r->downtime;
    return MAX(ms, 0) * 1000000000 / (MIG_PAIR_RAM / MIG_GUEST_PAGE_BYTES);
}

static gint64 sync_of(const MigPairResult *r, gint64 context)
{
    (void)context;
    return r->traced.sync;
}

/* Per GiB, beside |small|, which a sync of the small guest takes. */
static gint64 sync_gib_of(const MigPairResult *r, gint64 small)
{
    gint64 more = LARGE - MIG_PAIR_RAM / MIB;
    return r->traced.sync < 0 ? -1 : MAX(r->traced.sync - small, 0) * 1024 / more;
}

static gint64 sync_base_of(const MigPairResult *r, gint64 gib)
{
    return r->traced.sync < 0 ? -1 : MAX(r->traced.sync - gib / (1024 / (MIG_PAIR_RAM / MIB)), 0);
}

static void put_syncs(MigCalibration *c, const Rounds *small, const Rounds *large)
{
    gint64 of_small = median_of(small, sync_of), of_large = median_of(large, sync_of);
    if (of_small >= 0 && of_large > of_small) { /* else it is lost in the noise */
        put(c, "sync_gib", TRACE, large, sync_gib_of, of_small);
    }
    put(c, "sync_base", TRACE, small, sync_base_of, c->costs.sync_gib);
}

static void put_ends(MigCalibration *c, const Rounds *r)
{
    put(c, "setup", MIGRATIONS, r, setup_of, 0);
    put(c, "zero_page", MIGRATIONS, r, zero_of, 0);
    put(c, "stop", MONITOR, r, stop_of, 0);
    put(c, "start", MONITOR, r, start_of, 0);
    if (median_of(r, devices_of) >= 0) {
        put(c, "devices", TRACE, r, devices_of, 0);
        put(c, "load_devices", TRACE, r, load_of, 0);
    } else {
        put(c, "devices", MIGRATIONS, r, rest_of_downtime, c->costs.stop + c->costs.sync_base);
    }
}

/*
 * What a page costs from end to end, beside one that is zero: the receiver's, as nothing else holds
 * the sender back without a limit. Never less than what our own reader needs for it.
 */
static void put_received(MigCalibration *c, const MigPair *pair, const Rounds *r, gint64 zeros)
{
    gint64 pages = (gint64)pair->fill * (MIB / MIG_GUEST_PAGE_BYTES);
    gint64 least = c->costs.receive_page;
    g_autofree gint64 *values = g_new(gint64, r->count);
    for (guint i = 0; i < r->count; i++) {
        gint64 extra = (r->results[i].total_time - zeros) * 1000000000 / pages;
        values[i] = MAX(extra - c->costs.first_touch, least);
    }
    mig_calibration_put(c, "receive_page", MIGRATIONS, values, r->count);
}

bool mig_calibrate_with(MigCalibration *c, const MigPeer *peer, const MigCalibrateOptions *options,
                        GError **error)
{
    static const MigPair zeros = { .name = "zeros", .title = "nothing but zeros" };
    static const MigPair more = { .name = "more-zeros", .title = "more zeros", .ram = LARGE };
    g_autofree MigPairResult *memory = g_new0(MigPairResult, options->rounds);
    g_autofree MigPairResult *larger = g_new0(MigPairResult, options->rounds);
    Rounds small = { .results = memory }, large = { .results = larger };
    if (!take_rounds(&small, peer, &zeros, options, error) ||
        !take_rounds(&large, peer, &more, options, error)) {
        return false;
    }
    put_syncs(c, &small, &large);
    put_ends(c, &small);
    gint64 total = median_of(&small, total_of);
    if (!take_rounds(&small, peer, &mig_pairs[0], options, error)) { /* without limit */
        return false;
    }
    put_received(c, &mig_pairs[0], &small, total);
    return true;
}
