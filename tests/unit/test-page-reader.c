/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of pages that guesses what comes next: however the stream is split, and however wrong
 * the guesses are, memory is what a destination that is fed plainly has.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/guest/buffer.h"
#include "sim/world/page-reader.h"
#include "tests/unit/simulated.h"

static bool collect(void *opaque, const void *data, size_t n, GError **error)
{
    (void)error;
    g_byte_array_append(opaque, data, (guint)n);
    return true;
}

typedef struct Load {
    MigBuffer *memory;
    MigDest *dest;
} Load;

static Load new_load(const MigScenario *s)
{
    g_autoptr(GError) error = NULL;
    MigGuest *like = mig_scenario_guest(s, NULL);
    Load l = { .memory = mig_buffer_new(mig_guest_memory(like), NULL, &error) };
    MigDestConfig config = { .machine = s->machine,
                             .capabilities = s->capabilities,
                             .memory = mig_buffer_memory(l.memory) };
    mig_era_resolve(s->version, s->machine, &config.era);
    l.dest = mig_dest_new(&config);
    mig_guest_free(like);
    return l;
}

static void free_load(Load *l)
{
    mig_dest_free(l->dest);
    mig_buffer_free(l->memory);
}

/* Has |r| read everything that is there. */
static void drain(MigPageReader *r, MigTransport *t)
{
    g_autoptr(GError) error = NULL;
    int64_t n;
    while ((n = mig_page_reader_read(r, t, &error)) > 0) {
    }
    g_assert_no_error(error);
    g_assert_cmpint(n, ==, MIG_IO_AGAIN);
}

/* Pieces of up to |most| bytes. */
static void feed_pieces(Load *l, const GByteArray *stream, GRand *random, gint32 most)
{
    int fds[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    g_autofree char *text = g_strdup_printf("fd:%d", fds[1]);
    g_autoptr(MigUri) uri = mig_uri_parse(text, NULL);
    g_autoptr(GError) error = NULL;
    MigListener *listener = mig_listener_new(uri, &error);
    MigTransport *t = mig_listener_accept(listener, -1, &error);
    g_assert_no_error(error);
    MigPageReader *r = mig_page_reader_new(l->dest);
    for (size_t done = 0; done < stream->len;) {
        size_t part = (size_t)g_rand_int_range(random, 1, most + 1);
        part = MIN(part, stream->len - done);
        g_assert_cmpint(write(fds[0], stream->data + done, part), ==, (ssize_t)part);
        done += part;
        drain(r, t);
    }
    mig_page_reader_free(r);
    mig_transport_close(t, NULL);
    mig_listener_free(listener);
    close(fds[0]);
}

/* Rows of pages of which every second, or some, are zero; writes that make later passes jump. */
#define SCENARIO                                                                                   \
    "{\"schema\":\"migbench-scenario-1\",\"qemu\":\"%s\",\"seed\":3,"                              \
    "\"guest\":{\"machine\":\"none\",\"ram\":["                                                    \
    "{\"name\":\"ram\",\"size\":\"4M\",\"content\":[{\"offset\":0,\"length\":\"1M\",\"kind\":"     \
    "\"random\"},"                                                                                 \
    "{\"offset\":\"1024k\",\"length\":\"4k\",\"kind\":\"random\"},{\"offset\":\"1040k\","          \
    "\"length\":\"8k\",\"kind\":\"random\"},"                                                      \
    "{\"offset\":\"1056k\",\"length\":\"12k\",\"kind\":\"random\"},{\"offset\":\"1072k\","         \
    "\"length\":\"4k\",\"kind\":\"random\"},"                                                      \
    "{\"offset\":\"1088k\",\"length\":\"8k\",\"kind\":\"random\"},{\"offset\":\"1104k\","          \
    "\"length\":\"12k\",\"kind\":\"random\"},"                                                     \
    "{\"offset\":\"1120k\",\"length\":\"4k\",\"kind\":\"random\"},{\"offset\":\"1136k\","          \
    "\"length\":\"8k\",\"kind\":\"random\"},"                                                      \
    "{\"offset\":\"1152k\",\"length\":\"12k\",\"kind\":\"random\"},{\"offset\":\"1168k\","         \
    "\"length\":\"4k\",\"kind\":\"random\"},"                                                      \
    "{\"offset\":\"1184k\",\"length\":\"8k\",\"kind\":\"random\"},{\"offset\":\"1200k\","          \
    "\"length\":\"12k\",\"kind\":\"random\"},"                                                     \
    "{\"offset\":\"2M\",\"length\":\"1M\",\"kind\":\"random\"}]},"                                 \
    "{\"name\":\"second\",\"size\":\"1M\",\"content\":[{\"length\":\"1M\",\"kind\":\"random\"}]}]" \
    ","                                                                                            \
    "\"workload\":[{\"block\":\"ram\",\"offset\":\"256k\",\"length\":\"3M\",\"pattern\":"          \
    "\"random\","                                                                                  \
    "\"rate\":20000,\"write\":\"%s\"}]},"                                                          \
    "\"link\":{\"bandwidth\":\"400Mbit/s\"},\"capabilities\":{%s},"                                \
    "\"parameters\":{\"downtime-limit\":50},\"limit\":\"30s\"}"

typedef struct Row {
    const char *qemu, *write, *capabilities;
} Row;

static const Row rows[] = {
    { "10.0", "page", "" },
    { "7.2", "zero", "" },
    { "10.0", "counter", "\"xbzrle\":true" },
};

static void test_splits(void)
{
    static const gint32 most[] = { 61, 4104, 9000, 150000 };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        GByteArray *stream = g_byte_array_new();
        MigSimulateOptions options = { .stream = collect, .opaque = stream };
        g_auto(Simulated) s =
            simulated_run(&options, SCENARIO, rows[i].qemu, rows[i].write, rows[i].capabilities);
        Load plain = new_load(s.scenario);
        g_assert_true(mig_dest_feed(plain.dest, stream->data, stream->len));
        for (size_t k = i == 0 ? 0 : 1; k < G_N_ELEMENTS(most); k++) {
            g_autoptr(GRand) random = g_rand_new_with_seed((guint32)(i * 10 + k));
            Load l = new_load(s.scenario);
            MigMemoryDifference d;
            feed_pieces(&l, stream, random, most[k]);
            g_assert_true(mig_dest_end(l.dest));
            g_assert_cmpuint(mig_dest_counts(l.dest)->bytes, ==, stream->len);
            g_assert_true(
                mig_memory_equal(mig_buffer_memory(l.memory), mig_buffer_memory(plain.memory), &d));
            free_load(&l);
        }
        free_load(&plain);
        g_byte_array_unref(stream);
    }
}

/* Where a guess was wrong there are zeros again, also in pages that never come. */
static void test_no_traces(void)
{
    GByteArray *stream = g_byte_array_new();
    MigSimulateOptions options = { .stream = collect, .opaque = stream };
    g_auto(Simulated) s = simulated_run(&options, SCENARIO, "10.0", "page", "");
    /* What has come, wherever that ends, is all that memory holds. */
    for (guint len = 5000; len < stream->len; len += stream->len / 97) {
        g_autoptr(GRand) random = g_rand_new_with_seed(len);
        GByteArray part = { stream->data, len };
        Load l = new_load(s.scenario), plain = new_load(s.scenario);
        MigMemoryDifference d;
        feed_pieces(&l, &part, random, 40000);
        g_assert_true(mig_dest_feed(plain.dest, stream->data, len));
        /* But for a page that is on its way, which a plain feed has up to there, too. */
        g_assert_true(
            mig_memory_equal(mig_buffer_memory(l.memory), mig_buffer_memory(plain.memory), &d));
        free_load(&l);
        free_load(&plain);
    }
    g_byte_array_unref(stream);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/page-reader/splits", test_splits);
    g_test_add_func("/page-reader/no-traces", test_no_traces);
    return g_test_run();
}
