/* SPDX-License-Identifier: Apache-2.0 */
/* migbench replay: play the source of a recording to a real destination. */
#include <stdio.h>
#include <string.h>

#include "sim/command.h"
#include "sim/commands.h"
#include "sim/live/wake.h"
#include "sim/record/replay.h"
#include "sim/world/clock.h"
#include "sim/world/units.h"

#define PATIENCE "60s"

typedef struct Options {
    char *connect, *again, *speed, *patience;
} Options;

static int complain(int status, const char *message)
{
    fprintf(stderr, "migbench replay: %s\n", message);
    return status;
}

static bool parse(int *argc, char ***argv, Options *o, GError **error)
{
    const GOptionEntry entries[] = {
        { "connect", 0, 0, G_OPTION_ARG_STRING, &o->connect, "where the destination listens",
          "URI" },
        { "connect-again", 0, 0, G_OPTION_ARG_STRING, &o->again,
          "where it listens after a break (default: the same)", "URI" },
        { "speed", 0, 0, G_OPTION_ARG_STRING, &o->speed,
          "max (the default), recorded, or a factor: 2 is twice as fast as recorded", "SPEED" },
        { "patience", 0, 0, G_OPTION_ARG_STRING, &o->patience,
          "how long an answer may take (default: " PATIENCE ")", "TIME" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("RECORDING");
    g_option_context_set_summary(
        context, "Plays the source of a recording to a destination (QEMU or migbench).");
    g_option_context_set_description(
        context,
        "RECORDING is what record wrote, or any stream that inspect reads. Channels go over\n"
        "connections of their own; where the recorded source had heard an answer, the same answer\n"
        "is waited for, and another one ends the replay. Requests for pages depend on the guest "
        "and\n"
        "are counted only. After a recorded break, tell the destination to listen again\n"
        "(migrate-recover): connecting is tried until it does. Exit status: 0 played; 1 the\n"
        "destination answered otherwise; 2 bad command line; 4 the environment failed.");
    g_option_context_add_main_entries(context, entries, NULL);
    return g_option_context_parse(context, argc, argv, error);
}

static bool read_speed(const char *text, double *speed, GError **error)
{
    char *end = NULL;
    if (!text || strcmp(text, "max") == 0) {
        return true;
    }
    *speed = strcmp(text, "recorded") == 0 ? 1 : g_ascii_strtod(text, &end);
    if (*speed > 0 && *speed <= 1e6 && (!end || !*end)) {
        return true;
    }
    g_set_error(error, MIG_UNITS_ERROR, MIG_UNITS_ERROR_FORM,
                "--speed %s: expected max, recorded or a factor above 0", text);
    return false;
}

static void tell_break(void *opaque, unsigned generation)
{
    (void)opaque;
    fprintf(stderr, "break %u: waiting for the destination to listen again\n", generation);
}

static int play(const MigReplayConfig *config)
{
    g_autoptr(GError) error = NULL;
    MigReplayCounts c;
    bool fine = mig_replay(config, mig_wake_on_signals(), &c, &error);
    g_autofree char *sent = mig_format_size(c.sent);
    printf("%s       %s over %u connection%s, %u break%s\n", fine ? "played" : "sent  ", sent,
           c.connections, c.connections == 1 ? "" : "s", c.breaks, c.breaks == 1 ? "" : "s");
    if (c.requests_recorded || c.requests) {
        printf("requests     %" G_GUINT64_FORMAT " for pages, %" G_GUINT64_FORMAT " recorded\n",
               c.requests, c.requests_recorded);
    }
    if (fine) {
        return MIG_EXIT_OK;
    }
    return complain(error->domain == MIG_REPLAY_ERROR ? MIG_EXIT_FINDING : MIG_EXIT_ENVIRONMENT,
                    error->message);
}

int mig_cmd_replay(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigUri) connect = NULL, again = NULL;
    Options o = { 0 };
    MigReplayConfig config = { .broke = tell_break };
    int status = MIG_EXIT_USAGE;
    bool fine = parse(&argc, &argv, &o, &error);
    if (fine && (argc != 2 || !o.connect)) {
        complain(status, "expected RECORDING --connect URI; see --help");
    } else if (!fine || !(connect = mig_uri_parse(o.connect, &error)) ||
               (o.again && !(again = mig_uri_parse(o.again, &error))) ||
               !read_speed(o.speed, &config.speed, &error) ||
               !mig_parse_time(o.patience ? o.patience : PATIENCE, &config.patience, &error)) {
        complain(status, error->message);
    } else {
        config.path = argv[1];
        config.connect = connect;
        config.connect_again = again;
        status = play(&config);
    }
    g_free(o.connect);
    g_free(o.again);
    g_free(o.speed);
    g_free(o.patience);
    return status;
}
