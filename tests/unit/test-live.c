/* SPDX-License-Identifier: Apache-2.0 */
/* URIs, the return path's judge, transports, and the guest whose pages are memory. */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/guest/mapped.h"
#include "sim/live/live.h"
#include "sim/world/real-answers.h"
#include "stream/encoder.h"

/* URIs ------------------------------------------------------------------------------------- */

typedef struct GoodUri {
    const char *text;
    MigUriKind kind;
    const char *host, *port, *path;
    uint64_t offset;
    uint32_t numbers[2];
    bool ipv4, ipv6;
} GoodUri;

static const GoodUri good[] = {
    { "tcp:localhost:4444", MIG_URI_TCP, "localhost", "4444", NULL, 0, { 0 }, true, true },
    { "tcp::4444", MIG_URI_TCP, "", "4444", NULL, 0, { 0 }, true, true },
    { "tcp:[::1]:0", MIG_URI_TCP, "::1", "0", NULL, 0, { 0 }, true, true },
    { "tcp:[fe80::1%eth0]:65535",
      MIG_URI_TCP,
      "fe80::1%eth0",
      "65535",
      NULL,
      0,
      { 0 },
      true,
      true },
    { "tcp:10.0.0.1:ssh", MIG_URI_TCP, "10.0.0.1", "ssh", NULL, 0, { 0 }, true, true },
    { "tcp:h:1,ipv4", MIG_URI_TCP, "h", "1", NULL, 0, { 0 }, true, false },
    { "tcp:h:1,ipv4=off", MIG_URI_TCP, "h", "1", NULL, 0, { 0 }, false, true },
    { "tcp:h:1,ipv6=on", MIG_URI_TCP, "h", "1", NULL, 0, { 0 }, false, true },
    { "tcp:h:1,ipv4,ipv6", MIG_URI_TCP, "h", "1", NULL, 0, { 0 }, true, true },
    { "unix:/a,b:c", MIG_URI_UNIX, NULL, NULL, "/a,b:c", 0, { 0 }, true, true },
    { "vsock:2:1234", MIG_URI_VSOCK, NULL, NULL, NULL, 0, { 2, 1234 }, true, true },
    { "vsock:4294967295:0", MIG_URI_VSOCK, NULL, NULL, NULL, 0, { UINT32_MAX, 0 }, true, true },
    { "fd:0", MIG_URI_FD, NULL, NULL, NULL, 0, { 0 }, true, true },
    { "exec:cat > x; true", MIG_URI_EXEC, NULL, NULL, "cat > x; true", 0, { 0 }, true, true },
    { "file:/a b", MIG_URI_FILE, NULL, NULL, "/a b", 0, { 0 }, true, true },
    { "file:x,offset=4096", MIG_URI_FILE, NULL, NULL, "x", 4096, { 0 }, true, true },
    { "file:x,offset=2M", MIG_URI_FILE, NULL, NULL, "x", 2 << 20, { 0 }, true, true },
    { "rdma:host:1", MIG_URI_RDMA, "host", "1", NULL, 0, { 0 }, true, true },
};

static void test_uri_good(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        const GoodUri *want = &good[i];
        g_autoptr(GError) error = NULL;
        g_autoptr(MigUri) u = mig_uri_parse(want->text, &error);
        g_assert_no_error(error);
        g_assert_cmpint(u->kind, ==, want->kind);
        g_assert_cmpstr(u->text, ==, want->text);
        g_assert_cmpstr(u->host, ==, want->host);
        g_assert_cmpstr(u->port, ==, want->port);
        g_assert_cmpstr(u->path, ==, want->path);
        g_assert_cmpuint(u->offset, ==, want->offset);
        g_assert_cmpuint(u->numbers[0], ==, want->numbers[0]);
        g_assert_cmpuint(u->numbers[1], ==, want->numbers[1]);
        g_assert_cmpint(u->ipv4, ==, want->ipv4);
        g_assert_cmpint(u->ipv6, ==, want->ipv6);
    }
}

static const struct {
    const char *text, *expected; /* what the message says */
} bad[] = {
    { "", "byte 0: expected tcp:HOST:PORT" },
    { "tcp", "byte 0: expected tcp:HOST:PORT" },
    { "TCP:h:1", "byte 0: expected tcp:HOST:PORT" },
    { "tcp:", "byte 4: expected ':PORT'" },
    { "tcp:host", "byte 8: expected ':PORT'" },
    { "tcp:host:", "byte 9: expected a port, found the end" },
    { "tcp:host:65536", "byte 9: expected a port from 0 to 65535, found '65536'" },
    { "tcp:host:1:2", "byte 10: expected no second ':'" },
    { "tcp:::1:5", "expected a port" },
    { "tcp:[::1:5", "expected ']'" },
    { "tcp:[]:5", "expected an IPv6 address" },
    { "tcp:[::1]5", "byte 9: expected ':PORT'" },
    { "tcp:h:1,to=5", "byte 8: expected ipv4[=on|off] or ipv6[=on|off], found 'to=5'" },
    { "tcp:h:1,ipv4=maybe", "byte 8: expected ipv4" },
    { "tcp:h:1,ipv4=off,ipv6=off", "at least one of ipv4 and ipv6" },
    { "unix:", "byte 5: expected the path of a socket" },
    { "vsock:x:1", "byte 6: expected a context id" },
    { "vsock:4294967296:1", "byte 6: expected a context id" },
    { "vsock:2", "byte 7: expected ':PORT'" },
    { "vsock:2:", "byte 8: expected a port" },
    { "vsock:2:3x", "byte 9: expected the end, found 'x'" },
    { "fd:", "byte 3: expected the number" },
    { "fd:name", "byte 3: expected the number" },
    { "fd:-1", "byte 3: expected the number" },
    { "fd:2147483648", "byte 3: expected the number" },
    { "exec:", "byte 5: expected a command" },
    { "file:", "byte 5: expected the path of a file" },
    { "file:,offset=1", "expected the path of a file" },
    { "file:x,offset=", "byte 14: expected an offset" },
    { "file:x,offset=-1", "byte 14: expected an offset" },
    { "file:x,offset=1,y", "byte 14: expected an offset" },
    { "rdma:host", "byte 9: expected ':PORT'" },
    { "rdma:host:1,ipv4", "byte 11: expected the end" },
};

static void test_uri_bad(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        MigUri *u = mig_uri_parse(bad[i].text, &error);
        g_assert_null(u);
        g_assert_error(error, MIG_URI_ERROR, 0);
        if (!strstr(error->message, bad[i].expected)) {
            g_test_message("%s: %s", bad[i].text, error->message);
            g_test_fail();
        }
    }
    g_autofree char *name = g_strnfill(108, 'x'), *text = g_strconcat("unix:", name, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_null(mig_uri_parse(text, &error));
    g_assert_nonnull(strstr(error->message, "107 bytes"));
}

/* The return path -------------------------------------------------------------------------- */

static GByteArray *messages(void)
{
    GByteArray *bytes = g_byte_array_new();
    static const struct {
        uint16_t type;
        uint32_t value;
    } list[] = { { MIG_RP_PONG, 4 }, { MIG_RP_PONG, 1 }, { MIG_RP_SHUT, 1 } };
    for (size_t i = 0; i < G_N_ELEMENTS(list); i++) {
        uint8_t out[16];
        MigRecord r = { .type = MIG_REC_RP };
        r.rp.type = list[i].type;
        r.rp.length = 4;
        r.rp.value = list[i].value;
        g_byte_array_append(bytes, out, (guint)mig_record_encode(&r, out, sizeof(out)));
    }
    return bytes;
}

/* The same messages come out wherever the bytes are cut; what stands behind SHUT is ignored. */
static void test_answers_split(void)
{
    GByteArray *bytes = messages();
    g_byte_array_append(bytes, (const guint8 *)"rest", 4);
    for (guint cut = 0; cut <= bytes->len; cut++) {
        MigAnswers *a = mig_answers_new();
        MigRecord r;
        mig_answers_pinged(a, 1);
        mig_answers_pinged(a, 4);
        mig_answers_ended(a);
        g_assert_true(mig_answers_feed(a, bytes->data, cut));
        g_assert_true(mig_answers_feed(a, bytes->data + cut, bytes->len - cut));
        g_assert_true(mig_answers_eof(a));
        g_assert_cmpuint(mig_answers_count(a), ==, 3);
        g_assert_true(mig_answers_take(a, &r));
        g_assert_cmpuint(r.rp.value, ==, 4);
        g_assert_true(mig_answers_take(a, &r));
        g_assert_true(mig_answers_take(a, &r));
        g_assert_cmpuint(r.rp.type, ==, MIG_RP_SHUT);
        g_assert_false(mig_answers_take(a, &r));
        mig_answers_free(a);
    }
    g_byte_array_unref(bytes);
}

/* Transports ------------------------------------------------------------------------------- */

static MigTransport *open_text(const char *text, GError **error)
{
    g_autoptr(MigUri) u = mig_uri_parse(text, error);
    return u ? mig_transport_connect(u, true, -1, error) : NULL;
}

/* A command gets our bytes, its answers come back, and nothing stays open or unreaped. */
static void test_exec(void)
{
    g_autoptr(GError) error = NULL;
    unsigned before = mig_count_descriptors();
    MigTransport *t = open_text("exec:tr a-z A-Z", &error);
    g_assert_no_error(error);
    struct iovec out = { (void *)(uintptr_t) "hello", 5 };
    g_assert_cmpint(mig_transport_write(t, &out, 1, &error), ==, 5);
    mig_transport_shutdown(t);
    g_assert_true(mig_transport_close(t, &error));
    g_assert_no_error(error);
    t = open_text("exec:echo hello; exit 7", &error);
    g_assert_true(mig_transport_has_return(t));
    char answer[16] = "";
    struct iovec in = { answer, sizeof(answer) };
    g_assert_cmpuint(mig_transport_wait(t, MIG_WAIT_READ, -1, -1), ==, MIG_WAIT_READ);
    g_assert_cmpint(mig_transport_read(t, &in, 1, &error), ==, 6);
    g_assert_cmpstr(answer, ==, "hello\n");
    g_assert_false(mig_transport_close(t, &error));
    g_assert_nonnull(strstr(error->message, "status 7"));
    g_assert_cmpuint(mig_count_descriptors(), ==, before);
}

/* What stands in front of the offset stays. */
static void test_file_offset(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL, *text = NULL, *content = NULL;
    int fd = g_file_open_tmp("mig-XXXXXX", &path, &error);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, "0123456789", -1, &error));
    text = g_strdup_printf("file:%s,offset=4", path);
    MigTransport *t = open_text(text, &error);
    g_assert_no_error(error);
    g_assert_false(mig_transport_has_return(t));
    struct iovec v = { (void *)(uintptr_t) "ab", 2 };
    g_assert_cmpint(mig_transport_write(t, &v, 1, &error), ==, 2);
    g_assert_true(mig_transport_close(t, &error));
    g_assert_true(g_file_get_contents(path, &content, NULL, &error));
    g_assert_cmpstr(content, ==, "0123ab");
    g_unlink(path);
}

/* The guest in a mapping ------------------------------------------------------------------- */

static MigGuest *writing_guest(void)
{
    static const MigContent content[] = { { .pages = 96, .kind = MIG_CONTENT_RANDOM } };
    static const MigWriteKind kinds[] = { MIG_WRITE_PAGE, MIG_WRITE_FILL, MIG_WRITE_COUNTER,
                                          MIG_WRITE_BYTES };
    MigGuestBlock block = {
        .memory = { .name = "ram", .used_length = 128 * 4096, .max_length = 128 * 4096 },
        .content = content,
        .content_count = 1,
    };
    MigWorkload workloads[G_N_ELEMENTS(kinds)];
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        workloads[i] = (MigWorkload){
            .first = 16 * i,
            .pages = 64,
            .pattern = MIG_PATTERN_RANDOM,
            .rate = 10000 + 777 * i,
            .write = kinds[i],
            .write_bytes = 3,
        };
    }
    MigGuestConfig config = {
        .seed = 9,
        .blocks = &block,
        .block_count = 1,
        .workloads = workloads,
        .workload_count = G_N_ELEMENTS(workloads),
    };
    return mig_guest_new(&config);
}

/* Whatever is looked at in between, the mapping holds what the guest's model says. */
static void test_mapped(void)
{
    int64_t now = 0;
    g_autoptr(GError) error = NULL;
    MigGuest *guest = writing_guest(), *alone = writing_guest();
    MigMapped *mapped = mig_mapped_new(guest, &now, &error);
    g_assert_no_error(error);
    MigMemory *m = mig_mapped_memory(mapped), *model = mig_guest_memory(alone);
    MigBitmap *dirty = mig_bitmap_new(128), *expected = mig_bitmap_new(128);
    MigMemoryDifference d;
    m->ops->log_start(m);
    model->ops->log_start(model);
    for (int turn = 0; turn < 50; turn++) {
        now += 1 + 1000003 * (turn % 7);
        m->ops->is_zero(m, 0, (uint64_t)(turn * 5 % 128));
        m->ops->read(m, 0, (uint64_t)(turn * 11 % 128), NULL);
        mig_guest_advance(alone, now);
        g_assert_cmpuint(m->ops->sync(m, 0, dirty), ==, model->ops->sync(model, 0, expected));
        g_assert_cmpmem(dirty->words, 16, expected->words, 16);
        if (turn % 10 == 9) {
            g_assert_true(mig_memory_equal(m, model, &d));
        }
    }
    g_assert_cmpuint(mig_guest_stats(guest).written, >, 1000);
    mig_bitmap_free(dirty);
    mig_bitmap_free(expected);
    mig_mapped_free(mapped);
    mig_guest_free(guest);
    mig_guest_free(alone);
}

static unsigned resident(const uint8_t *at, size_t pages)
{
    uint8_t there[128];
    unsigned count = 0;
    g_assert_cmpuint(pages, <=, sizeof(there));
    g_assert_cmpint(mincore((void *)(uintptr_t)at, pages * 4096, there), ==, 0);
    for (size_t i = 0; i < pages; i++) {
        count += there[i] & 1;
    }
    return count;
}

/* release-ram: the kernel has the pages back, also those that the model had news for. */
static void test_mapped_release(void)
{
    int64_t now = 0;
    MigMemoryDifference d;
    g_autoptr(GError) error = NULL;
    MigGuest *guest = writing_guest();
    MigMapped *mapped = mig_mapped_new(guest, &now, &error);
    g_assert_no_error(error);
    MigMemory *m = mig_mapped_memory(mapped);
    now = 1000000000;
    m->ops->is_zero(m, 0, 127);
    const uint8_t *at = m->ops->read(m, 0, 0, NULL);
    g_assert_cmpuint(resident(at, 128), >, 64);
    mig_mapped_detach(mapped);
    m->ops->release(m, 0, 0, 100);
    g_assert_cmpuint(resident(at, 100), ==, 0);
    for (uint64_t page = 0; page < 100; page++) {
        g_assert_true(m->ops->is_zero(m, 0, page));
    }
    g_assert_false(mig_memory_equal(m, mig_guest_memory(guest), &d));
    g_assert_cmpuint(d.block + d.page, <, 100);
    mig_mapped_free(mapped);
    mig_guest_free(guest);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/live/uri/good", test_uri_good);
    g_test_add_func("/live/uri/bad", test_uri_bad);
    g_test_add_func("/live/answers/split", test_answers_split);
    g_test_add_func("/live/transport/exec", test_exec);
    g_test_add_func("/live/transport/file-offset", test_file_offset);
    g_test_add_func("/live/mapped/equals-model", test_mapped);
    g_test_add_func("/live/mapped/release", test_mapped_release);
    return g_test_run();
}
