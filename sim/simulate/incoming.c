/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of a simulated postcopy, see incoming.h.
 *
 * The devices' load takes its time: the guest runs, and what a package's pings ask for is answered,
 * that much behind their bytes.
 */
#include "sim/simulate/incoming.h"

#include <glib.h>

struct MigSimulatedIncoming {
    MigIncomingConfig config;
    MigDest *dest;
    MigVirtual *world;
    MigVcpus *vcpus; /* NULL: the guest has not run so far */
    uint64_t start;  /* event of its start; 0: none */
    int64_t stopped; /* ns */
    bool said;       /* SHUT was */
    MigIncomingResult result;
};

static int64_t now(const MigSimulatedIncoming *in)
{
    return in->config.clock->now;
}

/* The guest -------------------------------------------------------------------------------- */

static bool has(void *opaque, uint32_t block, uint64_t page)
{
    return mig_dest_has(((MigSimulatedIncoming *)opaque)->dest, block, page);
}

static bool has_all(void *opaque)
{
    MigSimulatedIncoming *in = opaque;
    return in->result.died || mig_dest_missing(in->dest) == 0;
}

static bool fault(void *opaque, uint32_t block, uint64_t page, uint32_t vcpu)
{
    MigSimulatedIncoming *in = opaque;
    mig_dest_at(in->dest, now(in));
    return mig_dest_fault(in->dest, block, page, vcpu);
}

static void waited(void *opaque, uint32_t vcpu, uint32_t block, uint64_t page, int64_t from,
                   int64_t to)
{
    const MigIncomingConfig *config = &((MigSimulatedIncoming *)opaque)->config;
    if (config->waited) {
        config->waited(config->opaque, vcpu, block, page, from, to);
    }
}

static void start_guest(void *opaque, int64_t at)
{
    MigSimulatedIncoming *in = opaque;
    uint32_t count;
    const MigWorkloadRun *runs = mig_guest_workloads(in->config.guest, &count);
    MigVcpusHooks hooks = { in, has, has_all, fault, waited, in->config.costs.hear };
    in->start = 0;
    in->result.ran = true;
    in->result.ran_at = at;
    in->vcpus = mig_vcpus_new(runs, count, mig_virtual_events(in->world), &hooks);
    mig_vcpus_run(in->vcpus, in->stopped, at);
}

static void run(void *opaque)
{
    MigSimulatedIncoming *in = opaque;
    in->start = mig_events_add(mig_virtual_events(in->world),
                               now(in) + in->config.costs.load_devices, start_guest, in);
}

static void placed(void *opaque, uint32_t block, uint64_t first, uint64_t count)
{
    MigSimulatedIncoming *in = opaque;
    if (mig_dest_missing(in->dest) == 0) {
        in->result.complete_at = now(in);
    }
    if (in->vcpus) {
        mig_vcpus_placed(in->vcpus, block, first, count, now(in));
    }
}

static void status(void *opaque, const char *text)
{
    MigSimulatedIncoming *in = opaque;
    if (in->config.status) {
        in->config.status(in->config.opaque, now(in), text);
    }
}

void mig_incoming_stopped(MigSimulatedIncoming *in, int64_t at)
{
    in->stopped = at;
}

void mig_incoming_die(MigSimulatedIncoming *in)
{
    in->result.died = true;
    if (in->start) {
        mig_events_cancel(mig_virtual_events(in->world), in->start);
        in->start = 0;
    }
}

/* Making one ------------------------------------------------------------------------------- */

MigSimulatedIncoming *mig_incoming_new(const MigIncomingConfig *config)
{
    MigSimulatedIncoming *in = g_new0(MigSimulatedIncoming, 1);
    in->config = *config;
    return in;
}

void mig_incoming_free(MigSimulatedIncoming *in)
{
    if (in) {
        if (in->start) {
            mig_events_cancel(mig_virtual_events(in->world), in->start);
        }
        mig_vcpus_free(in->vcpus);
        g_free(in);
    }
}

void mig_incoming_attach(MigSimulatedIncoming *in, MigDest *dest, MigVirtual *world)
{
    MigDestHooks hooks = { in, run, placed, status };
    uint32_t vcpus;
    in->dest = dest;
    in->world = world;
    mig_guest_workloads(in->config.guest, &vcpus);
    mig_dest_set_hooks(dest, &hooks, MAX(vcpus, 1));
}

/* The line --------------------------------------------------------------------------------- */

void mig_incoming_reply(MigSimulatedIncoming *in, const MigRecord *message)
{
    const MigCosts *c = &in->config.costs;
    int64_t delay = 0;
    switch (message->rp.type) {
    case MIG_RP_REQ_PAGES:
    case MIG_RP_REQ_PAGES_ID:
        delay = c->fault;
        break;
    case MIG_RP_PONG:
        delay = message->rp.value == MIG_PING_PACKAGED || message->rp.value == MIG_PING_LOADED
                    ? c->load_devices
                    : 0;
        break;
    default:
        break;
    }
    mig_virtual_answer(in->world, message, mig_dest_reply_payload(in->dest), delay);
}

/* The last word. */
static void say_verdict(MigSimulatedIncoming *in)
{
    MigRecord r = { .type = MIG_REC_RP };
    bool done = mig_dest_state(in->dest) == MIG_DEST_COMPLETED;
    if (in->said || !mig_dest_counts(in->dest)->return_path) {
        return;
    }
    in->said = true;
    r.rp.type = MIG_RP_SHUT;
    r.rp.length = 4;
    r.rp.value = !done;
    mig_virtual_answer(in->world, &r, NULL,
                       done && !in->result.ran ? in->config.costs.load_devices : 0);
}

bool mig_incoming_feed(MigSimulatedIncoming *in, uint32_t channel, bool preempt, const void *data,
                       size_t n)
{
    if (in->result.died) {
        return false;
    }
    mig_dest_at(in->dest, now(in));
    bool fine = preempt   ? mig_dest_feed_preempt(in->dest, data, n)
                : channel ? mig_dest_feed_channel(in->dest, channel, data, n)
                          : mig_dest_feed(in->dest, data, n);
    if (mig_dest_state(in->dest) != MIG_DEST_LOADING) {
        say_verdict(in);
    }
    return fine;
}

bool mig_incoming_end(MigSimulatedIncoming *in)
{
    if (in->result.died) {
        return false;
    }
    if (mig_dest_state(in->dest) == MIG_DEST_LOADING && mig_dest_incoming(in->dest) > 0) {
        mig_dest_break(in->dest, "the source has closed the connection");
        return false;
    }
    return mig_dest_end(in->dest);
}

void mig_incoming_broken(MigSimulatedIncoming *in)
{
    if (!in->result.died) {
        mig_dest_at(in->dest, now(in));
        mig_dest_break(in->dest, "Connection reset by peer");
    }
}

bool mig_incoming_connected(MigSimulatedIncoming *in)
{
    char *refused = in->result.died ? NULL : mig_dest_recover(in->dest);
    bool listens = !in->result.died && !refused;
    g_free(refused);
    if (listens) {
        mig_dest_at(in->dest, now(in));
        mig_dest_reconnect(in->dest);
    }
    return listens;
}

MigIncomingResult mig_incoming_result(const MigSimulatedIncoming *in)
{
    MigIncomingResult r = in->result;
    if (in->vcpus) {
        r.vcpus = *mig_vcpus_counts(in->vcpus);
    }
    return r;
}
