/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy in a simulation: a scenario's commands and accidents, the line's breaks, and what goes
 * over the return path. The other end is in incoming.c.
 */
#include "sim/simulate/internal.h"
#include "sim/simulate/stream-recorder.h"
#include "stream/encoder.h"

/* Postcopy's commands and accidents -------------------------------------------------------- */

static void paused(void *opaque)
{
    Run *run = opaque;
    mig_virtual_cut(run->world, "the channel was shut down");
}

static void link_is_back(void *opaque, int64_t at)
{
    Run *run = opaque;
    mig_virtual_restore(run->world);
    g_autofree char *refused = mig_source_recover(run->m->source);
    mig_scenario_run_note(&run->run, at, "migrate", "resume", 0);
    if (!refused) {
        mig_virtual_interrupt(run->world, MIG_INTERRUPT_CONTINUE);
    }
}

static void recover(void *opaque, int64_t at, int64_t link_back)
{
    Run *run = opaque;
    mig_events_add(run->run.events, at + link_back, link_is_back, run);
}

static void kill_destination(void *opaque)
{
    Run *run = opaque;
    if (run->incoming) {
        mig_incoming_die(run->incoming);
    }
    mig_simulate_cut(run->world);
}

static void line_broken(void *opaque)
{
    Run *run = opaque;
    if (run->incoming) {
        mig_incoming_broken(run->incoming);
    }
}

static bool line_connected(void *opaque)
{
    Run *run = opaque;
    bool connected = run->incoming && mig_incoming_connected(run->incoming);
    run->generation += connected;
    return connected;
}

static void note_destination(void *opaque, int64_t at, const char *status)
{
    Run *run = opaque;
    mig_scenario_run_note(&run->run, at, "x-destination", status, 0);
}

/* With postcopy: what the source hears, for recordings. */
static void take_answer(void *opaque, const MigRecord *message, const void *payload)
{
    Run *run = opaque;
    const MigSimulateOptions *o = run->options;
    if (!o->record || run->stream_failed) {
        return;
    }
    uint8_t head[600], tail[16];
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_append(bytes, head, (guint)mig_record_encode(message, head, sizeof(head)));
    if (payload) {
        g_byte_array_append(bytes, payload, (guint)message->payload);
    }
    g_byte_array_append(bytes, tail, (guint)mig_record_encode_tail(message, tail, sizeof(tail)));
    run->stream_failed = !o->record(o->opaque, MIG_RECORD_LINE(run->generation) | MIG_RECORD_RETURN,
                                    run->clock.now, bytes->data, bytes->len, &run->error);
}

void mig_simulate_postcopy_world(Run *run, MigVirtualConfig *config)
{
    config->sink.broken = line_broken;
    config->sink.connected = line_connected;
    config->observer.answer = take_answer;
    config->source = run->incoming ? run->m->source : NULL;
}

void mig_simulate_postcopy_run(Run *run)
{
    run->run.paused = paused;
    run->run.recover = recover;
    run->run.kill = kill_destination;
    run->run.postcopy = run;
}

static void waited(void *opaque, uint32_t vcpu, uint32_t block, uint64_t page, int64_t from,
                   int64_t to)
{
    const MigSimulateOptions *o = ((Run *)opaque)->options;
    if (o->waited) {
        o->waited(o->opaque, vcpu, block, page, from, to);
    }
}

void mig_simulate_postcopy_begin(Run *run, MigCapabilitySet capabilities)
{
    MigIncomingConfig config = {
        .clock = &run->clock,
        .costs = run->s->destination_host,
        .guest = run->m->guest,
        .status = note_destination,
        .waited = waited,
        .opaque = run,
    };
    run->m->postcopy =
        capabilities & (MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) | MIG_CAP_BIT(MIG_CAP_DIRTY_BITMAPS));
    if (run->m->postcopy) {
        run->incoming = mig_incoming_new(&config);
    }
}
