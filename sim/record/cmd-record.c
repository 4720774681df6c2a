/* SPDX-License-Identifier: Apache-2.0 */
/* migbench record: stand between two ends and keep what goes by. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/live/wake.h"
#include "sim/record/import.h"
#include "sim/record/relay.h"
#include "sim/record/scrubber.h"
#include "sim/world/capture-writer.h"
#include "sim/world/output.h"
#include "sim/world/units.h"

typedef struct Options {
    char *listen, *connect, *again, *out;
    char *import;
    char **ports;
    char *rate, *delay, *jitter, *cut_after, *stall_at, *stall_for, *seed;
    char **cuts;
    int breaks; /* -1: as many as there are cuts */
    gboolean no_payload;
} Options;

typedef struct Recording {
    FILE *file; /* written to: |out|'s, or what a scrubber passes on to it */
    MigOutput *out;
    MigScrubber *scrubber; /* NULL: --no-payload was not given */
} Recording;

static int complain(int status, const char *message)
{
    fprintf(stderr, "migbench record: %s\n", message);
    return status;
}

static void options_clear(Options *o)
{
    char **texts[] = { &o->listen, &o->connect,   &o->again,    &o->out,       &o->rate, &o->delay,
                       &o->jitter, &o->cut_after, &o->stall_at, &o->stall_for, &o->seed };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_clear_pointer(texts[i], g_free);
    }
    g_free(o->import);
    g_strfreev(o->ports);
    g_strfreev(o->cuts);
}

static bool parse(int *argc, char ***argv, Options *o, GError **error)
{
    const GOptionEntry entries[] = {
        { "listen", 0, 0, G_OPTION_ARG_STRING, &o->listen, "where the source connects to", "URI" },
        { "connect", 0, 0, G_OPTION_ARG_STRING, &o->connect, "where the destination listens",
          "URI" },
        { "connect-again", 0, 0, G_OPTION_ARG_STRING, &o->again,
          "where it listens after a break (default: the same)", "URI" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &o->out, "the recording (pcapng)", "FILE" },
        { "import", 0, 0, G_OPTION_ARG_FILENAME, &o->import,
          "instead of relaying: take the migration out of captured packets (pcap, pcapng)",
          "FILE" },
        { "port", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o->ports,
          "with --import: where the destination listened (default: found out); may be given "
          "several "
          "times",
          "N" },
        { "no-payload", 0, 0, G_OPTION_ARG_NONE, &o->no_payload,
          "keep nothing of what the guest has in memory, disks and devices: noise of the same "
          "length stands for it, as migbench scrub makes it",
          NULL },
        { "rate", 0, 0, G_OPTION_ARG_STRING, &o->rate, "of what the source sends (100Mbit/s)",
          "RATE" },
        { "delay", 0, 0, G_OPTION_ARG_STRING, &o->delay, "one way, each direction (10ms)", "TIME" },
        { "jitter", 0, 0, G_OPTION_ARG_STRING, &o->jitter, "up to this much more delay", "TIME" },
        { "seed", 0, 0, G_OPTION_ARG_STRING, &o->seed, "of the jitter", "N" },
        { "cut-at", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o->cuts,
          "break the line behind this many bytes from the source; may be given several times",
          "BYTES" },
        { "cut-after", 0, 0, G_OPTION_ARG_STRING, &o->cut_after,
          "break it this long after the first connection", "TIME" },
        { "stall-at", 0, 0, G_OPTION_ARG_STRING, &o->stall_at,
          "behind this many bytes nothing goes on for a while", "BYTES" },
        { "stall-for", 0, 0, G_OPTION_ARG_STRING, &o->stall_for, "how long that is", "TIME" },
        { "breaks", 0, 0, G_OPTION_ARG_INT, &o->breaks,
          "how often the ends may come back after all connections broke (default: once for each "
          "cut)",
          "N" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_set_summary(
        context,
        "Stands between two ends of a migration (QEMU or migbench), passes every channel on "
        "and keeps it.");
    g_option_context_set_description(
        context,
        "The source migrates to --listen, the destination listens at --connect; both are URIs as\n"
        "QEMU has them: tcp:HOST:PORT unix:PATH vsock:CID:PORT fd:NUMBER. The recording holds all\n"
        "channels, both directions, with times; inspect, check, diff, extract and replay read it.\n"
        "It ends with the last connection, or with SIGINT. With --import the connections are\n"
        "found in captured packets, retransmissions and disorder undone. Exit status: 0 recorded;\n"
        "2 bad command line; 3 packets are missing in the capture; 4 an end could not be reached,\n"
        "or a file not be read or written.");
    g_option_context_add_main_entries(context, entries, NULL);
    return g_option_context_parse(context, argc, argv, error);
}

/* Values ----------------------------------------------------------------------------------- */

static bool read_time(const char *text, int64_t *ns, GError **error)
{
    return !text || mig_parse_time(text, ns, error);
}

static bool read_cuts(char **cuts, MigRelayShape *s, GError **error)
{
    for (; cuts && *cuts; cuts++) {
        if (s->cut_count == MIG_RELAY_CUTS) {
            g_set_error(error, MIG_UNITS_ERROR, MIG_UNITS_ERROR_RANGE, "--cut-at: at most %u cuts",
                        MIG_RELAY_CUTS);
            return false;
        }
        uint64_t *at = &s->cuts[s->cut_count];
        if (!mig_parse_size(*cuts, at, error)) {
            return false;
        }
        if (*at == 0 || (s->cut_count && *at <= at[-1])) {
            g_set_error(error, MIG_UNITS_ERROR, MIG_UNITS_ERROR_RANGE,
                        "--cut-at %s: expected more bytes than the cut before", *cuts);
            return false;
        }
        s->cut_count++;
    }
    return true;
}

static bool read_shape(const Options *o, MigRelayShape *s, GError **error)
{
    uint64_t bits = 0;
    if (!!o->stall_at != !!o->stall_for) {
        g_set_error_literal(error, MIG_UNITS_ERROR, MIG_UNITS_ERROR_FORM,
                            "--stall-at and --stall-for belong together");
        return false;
    }
    if ((o->rate && !mig_parse_rate(o->rate, &bits, error)) ||
        !read_time(o->delay, &s->delay, error) || !read_time(o->jitter, &s->jitter, error) ||
        !read_time(o->cut_after, &s->cut_after, error) ||
        !read_time(o->stall_for, &s->stall_for, error) ||
        (o->stall_at && !mig_parse_size(o->stall_at, &s->stall_at, error)) ||
        (o->seed && !g_ascii_string_to_unsigned(o->seed, 10, 0, G_MAXUINT64, &s->seed, error))) {
        return false;
    }
    s->rate = bits / 8;
    return read_cuts(o->cuts, s, error);
}

/* The file --------------------------------------------------------------------------------- */

static bool put_channel(void *opaque, unsigned channel, const char *name)
{
    Recording *rec = opaque;
    (void)channel;
    return mig_capture_write_channel(rec->file, name);
}

static bool put_chunk(void *opaque, unsigned channel, uint64_t ns, const void *data, size_t n)
{
    Recording *rec = opaque;
    return mig_capture_write_chunk(rec->file, channel, ns, data, n);
}

static int open_file(Recording *rec, const char *out, bool no_payload)
{
    g_autoptr(GError) error = NULL;
    rec->out = mig_output_open(out, &error);
    rec->scrubber = rec->out && no_payload ? mig_scrubber_begin(rec->out->file, &error) : NULL;
    if (error) {
        return complain(MIG_EXIT_ENVIRONMENT, error->message);
    }
    rec->file = no_payload ? mig_scrubber_file(rec->scrubber) : rec->out->file;
    if (!mig_capture_write_head(rec->file)) {
        g_autofree char *text = g_strdup_printf("%s: %s", out, g_strerror(errno));
        return complain(MIG_EXIT_ENVIRONMENT, text);
    }
    return MIG_EXIT_OK;
}

/* Also after an error: what was recorded so far is a recording. */
static int close_file(Recording *rec)
{
    g_autoptr(GError) unscrubbed = NULL, unwritten = NULL;
    int status = MIG_EXIT_OK;
    if (rec->scrubber && !mig_scrubber_end(rec->scrubber, &unscrubbed)) {
        status = complain(MIG_EXIT_ENVIRONMENT, unscrubbed->message);
    }
    if (rec->out && !mig_output_commit(rec->out, &unwritten)) {
        status = complain(MIG_EXIT_ENVIRONMENT, unwritten->message);
    }
    mig_output_free(rec->out);
    return status;
}

/* Where to say how it went. */
static FILE *remarks(const Options *o)
{
    const MigOutputName out = { "-o", o->out, false };
    return mig_output_remarks(&out, 1);
}

static void summarize(const MigRelay *r, const Options *o)
{
    FILE *to = remarks(o);
    const MigRelayCounts *c = mig_relay_counts(r);
    g_autofree char *forward = mig_format_size(c->forward), *back = mig_format_size(c->back);
    fprintf(to, "recorded     %s from the source, %s back, %u connection%s, %u break%s\n", forward,
            back, c->connections, c->connections == 1 ? "" : "s", c->breaks,
            c->breaks == 1 ? "" : "s");
    fprintf(to, "to           %s\n", o->out);
}

static int relay(const Options *o, MigRelayConfig *config, int wake)
{
    g_autoptr(GError) error = NULL;
    Recording rec = { 0 };
    config->tap = (MigTap){ &rec, put_channel, put_chunk };
    MigRelay *r = mig_relay_new(config, &error);
    int status =
        r ? open_file(&rec, o->out, o->no_payload) : complain(MIG_EXIT_ENVIRONMENT, error->message);
    if (status == MIG_EXIT_OK) {
        fprintf(stderr, "listening on %s\n", mig_relay_address(r));
        if (!mig_relay_run(r, wake, &error)) {
            status = complain(MIG_EXIT_ENVIRONMENT, error->message);
        }
    }
    int closed = close_file(&rec);
    status = MAX(status, closed);
    if (r && status == MIG_EXIT_OK) {
        summarize(r, o);
    }
    mig_relay_free(r);
    return status;
}

/* Importing -------------------------------------------------------------------------------- */

static void tell_gap(void *opaque, const char *channel, uint64_t offset, uint64_t missing)
{
    (void)opaque;
    fprintf(stderr, "migbench record: %s: bytes are missing at offset %" G_GUINT64_FORMAT, channel,
            offset);
    if (missing) {
        fprintf(stderr, " (%" G_GUINT64_FORMAT ")", missing);
    }
    fputs("; what came behind them is left out\n", stderr);
}

/* What the file lacks of the migration. */
static int tell_rest(const Options *o, const MigImportCounts *c)
{
    if (c->cut) {
        g_autofree char *at = c->cut_at < 0
                                  ? g_strdup("")
                                  : g_strdup_printf(", at offset %" G_GINT64_FORMAT, c->cut_at);
        fprintf(stderr,
                "migbench record: %s: the file is cut off behind packet %" G_GUINT64_FORMAT
                "%s; all packets in front of that were taken\n",
                o->import, c->packets, at);
    }
    if (c->open) {
        fprintf(stderr, "migbench record: the capture ends before %u of the connections do\n",
                c->open);
    }
    return c->gaps || c->open || c->cut ? MIG_EXIT_INCOMPLETE : MIG_EXIT_OK;
}

static bool read_ports(char **ports, MigImportConfig *config, GError **error)
{
    for (; ports && *ports; ports++) {
        guint64 port;
        if (config->port_count == MIG_IMPORT_PORTS) {
            g_set_error(error, MIG_UNITS_ERROR, MIG_UNITS_ERROR_RANGE, "--port: at most %u ports",
                        MIG_IMPORT_PORTS);
            return false;
        }
        if (!g_ascii_string_to_unsigned(*ports, 10, 1, G_MAXUINT16, &port, error)) {
            return false;
        }
        config->ports[config->port_count++] = (uint16_t)port;
    }
    return true;
}

static int import(const Options *o)
{
    g_autoptr(GError) error = NULL;
    Recording rec = { 0 };
    MigImportCounts c;
    MigImportConfig config = {
        .path = o->import,
        .tap = { &rec, put_channel, put_chunk },
        .gap = tell_gap,
    };
    if (o->listen || o->connect || !o->out || !read_ports(o->ports, &config, &error)) {
        return complain(MIG_EXIT_USAGE, error ? error->message : "expected --import FILE -o FILE");
    }
    const MigOutputName names[] = { { "--import", o->import, true }, { "-o", o->out, false } };
    if (!mig_output_apart(names, G_N_ELEMENTS(names), &error)) {
        return complain(MIG_EXIT_USAGE, error->message);
    }
    int status = open_file(&rec, o->out, o->no_payload);
    if (status == MIG_EXIT_OK && !mig_import(&config, &c, &error)) {
        complain(MIG_EXIT_ENVIRONMENT, error->message);
        if (rec.scrubber) {
            mig_scrubber_end(rec.scrubber, NULL);
        }
        mig_output_free(rec.out);
        return MIG_EXIT_ENVIRONMENT;
    }
    int closed = close_file(&rec);
    status = MAX(status, closed);
    if (status == MIG_EXIT_OK) {
        g_autofree char *forward = mig_format_size(c.forward), *back = mig_format_size(c.back);
        fprintf(remarks(o), "imported     %s from the source, %s back, %u connection%s, %u gap%s\n",
                forward, back, c.connections, c.connections == 1 ? "" : "s", c.gaps,
                c.gaps == 1 ? "" : "s");
        fprintf(remarks(o), "to           %s\n", o->out);
        status = tell_rest(o, &c);
    }
    return status;
}

int mig_cmd_record(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigUri) listen = NULL, connect = NULL, again = NULL;
    MigRelayConfig config = { 0 };
    Options o = { .breaks = -1 };
    bool fine = parse(&argc, &argv, &o, &error);
    int status = MIG_EXIT_USAGE;
    if (fine && o.import && argc == 1) {
        status = import(&o);
    } else if (fine && (argc > 1 || !o.listen || !o.connect || !o.out)) {
        complain(status, "expected --listen URI --connect URI -o FILE; see --help");
    } else if (!fine || !(listen = mig_uri_parse(o.listen, &error)) ||
               !(connect = mig_uri_parse(o.connect, &error)) ||
               (o.again && !(again = mig_uri_parse(o.again, &error))) ||
               !read_shape(&o, &config.shape, &error)) {
        complain(status, error->message);
    } else {
        int wake = mig_wake_on_signals();
        config.listen = listen;
        config.connect = connect;
        config.connect_again = again;
        config.breaks = o.breaks >= 0 ? (unsigned)o.breaks
                                      : config.shape.cut_count + (config.shape.cut_after > 0);
        status = relay(&o, &config, wake);
    }
    options_clear(&o);
    return status;
}
