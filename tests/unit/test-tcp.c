/* SPDX-License-Identifier: Apache-2.0 */
/* Captured packets: what a frame holds, and the bytes of a flow whatever order they come in. */
#include <glib.h>
#include <string.h>

#include "sim/record/channel-name.h"
#include "sim/record/tcp.h"

#define ETHERNET 1
#define RAW_IP   101

/* Frames ---------------------------------------------------------------------------------- */

static const uint8_t ipv4[] = {
    0x45, 0,   0,    44,  0, 0, 0x40, 0, 64, 6, 0, 0, 10,   0,    0, 1,    10, 0, 0, 2, /* IP */
    0x10, 0,   0x11, 1,   0, 0, 0,    9, 0,  0, 0, 5, 0x50, 0x18, 0, 0xff, 0,  0, 0, 0, /* TCP */
    'Q',  'E', 'V',  'M',
};

static void expect_magic(const MigTcpSegment *s)
{
    g_assert_cmpmem(s->data, s->n, "QEVM", 4);
    g_assert_cmpuint(s->from.port, ==, 0x1000);
    g_assert_cmpuint(s->to.port, ==, 0x1101);
    g_assert_cmpuint(s->seq, ==, 9);
    g_assert_cmpuint(s->cut, ==, 0);
}

static void test_raw(void)
{
    MigTcpSegment s;
    g_assert_true(mig_tcp_parse(RAW_IP, ipv4, sizeof(ipv4), &s));
    expect_magic(&s);
}

static void test_ethernet(void)
{
    uint8_t frame[14 + sizeof(ipv4) + 6] = { 0 }; /* padded, as short frames are */
    MigTcpSegment s;
    frame[12] = 8;
    memcpy(frame + 14, ipv4, sizeof(ipv4));
    g_assert_true(mig_tcp_parse(ETHERNET, frame, sizeof(frame), &s));
    expect_magic(&s);
}

static void test_vlan(void)
{
    uint8_t frame[18 + sizeof(ipv4)] = { 0 };
    MigTcpSegment s;
    frame[12] = 0x81;
    frame[16] = 8;
    memcpy(frame + 18, ipv4, sizeof(ipv4));
    g_assert_true(mig_tcp_parse(ETHERNET, frame, sizeof(frame), &s));
    expect_magic(&s);
}

static void test_not_captured_whole(void)
{
    MigTcpSegment s;
    g_assert_true(mig_tcp_parse(RAW_IP, ipv4, sizeof(ipv4) - 3, &s));
    g_assert_cmpuint(s.n, ==, 1);
    g_assert_cmpuint(s.cut, ==, 3);
}

/* Whatever is cut off a frame, nothing behind it is read (the sanitizers look). */
static void test_every_length(void)
{
    for (size_t n = 0; n < sizeof(ipv4); n++) {
        g_autofree uint8_t *frame = g_memdup2(ipv4, n);
        MigTcpSegment s;
        bool is = mig_tcp_parse(RAW_IP, frame, n, &s);
        g_assert_cmpint(is, ==, n >= 40);
    }
}

static void test_not_tcp(void)
{
    uint8_t udp[sizeof(ipv4)];
    MigTcpSegment s;
    memcpy(udp, ipv4, sizeof(udp));
    udp[9] = 17;
    g_assert_false(mig_tcp_parse(RAW_IP, udp, sizeof(udp), &s));
    g_assert_false(mig_tcp_parse(9999, ipv4, sizeof(ipv4), &s));
}

/* Flows ----------------------------------------------------------------------------------- */

typedef struct Piece {
    uint32_t at; /* behind the first byte's sequence number */
    const char *text;
    bool fin;
} Piece;

static const struct {
    const char *name;
    Piece pieces[6];
    const char *expected;
    uint64_t missing;
} flows[] = {
    { "in-order", { { 0, "abc" }, { 3, "def" } }, "abcdef", 0 },
    { "swapped", { { 0, "abc" }, { 6, "ghi" }, { 3, "def" } }, "abcdefghi", 0 },
    { "again", { { 0, "abc" }, { 0, "abc" }, { 3, "def" }, { 3, "def" } }, "abcdef", 0 },
    { "overlapping", { { 0, "abc" }, { 1, "bcdef" }, { 4, "efg" } }, "abcdefg", 0 },
    { "held-twice", { { 0, "a" }, { 2, "cd" }, { 2, "cd" }, { 3, "de" }, { 1, "b" } }, "abcde", 0 },
    { "gap", { { 0, "abc" }, { 5, "fgh" } }, "abc", 2 },
    { "end-is-known", { { 0, "abc" }, { 7, "", true } }, "abc", 4 },
    { "end-is-there", { { 0, "abc" }, { 3, "de", true } }, "abcde", 0 },
};

static bool give(void *opaque, const uint8_t *data, size_t n)
{
    g_string_append_len(opaque, (const char *)data, (gssize)n);
    return true;
}

static void run_flow(gsize i, uint32_t first)
{
    g_autoptr(GString) got = g_string_new(NULL);
    MigTcpFlow f;
    MigTcpSegment syn = { .seq = first - 1, .syn = true };
    mig_tcp_flow_init(&f);
    g_assert_true(mig_tcp_flow_put(&f, &syn, give, got));
    for (const Piece *p = flows[i].pieces; p->text; p++) {
        MigTcpSegment s = { .seq = first + p->at,
                            .data = (const uint8_t *)p->text,
                            .n = strlen(p->text),
                            .fin = p->fin };
        g_assert_true(mig_tcp_flow_put(&f, &s, give, got));
    }
    mig_tcp_flow_end(&f);
    g_test_message("%s from %u", flows[i].name, first);
    g_assert_cmpstr(got->str, ==, flows[i].expected);
    g_assert_cmpuint(f.passed, ==, strlen(flows[i].expected));
    g_assert_cmpint(f.broken, ==, flows[i].missing > 0);
    g_assert_cmpuint(f.missing, ==, flows[i].missing);
    mig_tcp_flow_clear(&f);
}

static void test_flows(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(flows); i++) {
        run_flow(i, 1000);
        run_flow(i, UINT32_MAX - 2); /* the numbers start again in the middle */
    }
}

/* Names ----------------------------------------------------------------------------------- */

static const struct {
    const char *head;
    gsize n;
    gboolean first, ended;
    guint generation;
    const char *name, *answers;
} names[] = {
    { "QEVM", 4, TRUE, FALSE, 0, "main", "return" },
    { "QEV", 3, TRUE, FALSE, 0, NULL, NULL },
    { "\x11\x22\x33\x44", 4, FALSE, FALSE, 0, NULL, NULL },
    { "\x11\x22\x33\x44\0\0\0\1................\5", 25, FALSE, FALSE, 0, "multifd5",
      "multifd5-return" },
    { "\0\0\0\0", 4, FALSE, FALSE, 0, "preempt", "preempt-return" },
    { "\x8\0\0\0", 4, TRUE, FALSE, 1, "main.2", "return.2" },
    { "\0\0\0\0", 4, FALSE, FALSE, 2, "preempt.3", "preempt-return.3" },
    { "", 0, TRUE, TRUE, 1, "main.2", "return.2" },
};

static void test_names(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *name =
            mig_channel_name((const guint8 *)names[i].head, names[i].n, names[i].first,
                             names[i].generation, names[i].ended);
        g_assert_cmpstr(name, ==, names[i].name);
        if (name) {
            g_autofree char *answers = mig_channel_return_name(name);
            g_assert_cmpstr(answers, ==, names[i].answers);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/record/tcp/raw-ip", test_raw);
    g_test_add_func("/record/tcp/ethernet-with-padding", test_ethernet);
    g_test_add_func("/record/tcp/vlan", test_vlan);
    g_test_add_func("/record/tcp/not-captured-whole", test_not_captured_whole);
    g_test_add_func("/record/tcp/every-length", test_every_length);
    g_test_add_func("/record/tcp/not-tcp", test_not_tcp);
    g_test_add_func("/record/tcp/flows", test_flows);
    g_test_add_func("/record/channel-names", test_names);
    return g_test_run();
}
