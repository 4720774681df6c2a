/* SPDX-License-Identifier: Apache-2.0 */
/* The channels form of migrate: what it comes to, and what is refused at which path. */
#include <glib.h>
#include <string.h>

#include "sim/live/channels.h"

#define MAIN(addr) "[{\"channel-type\":\"main\",\"addr\":{" addr "}}]"
#define INET(more) MAIN("\"transport\":\"socket\",\"type\":\"inet\"," more)

typedef struct Good {
    const char *json, *text;
    MigUriKind kind;
    const char *host, *port, *path;
    uint64_t offset;
} Good;

static const Good good[] = {
    { INET("\"host\":\"10.12.34.9\",\"port\":\"1050\""), "tcp:10.12.34.9:1050", MIG_URI_TCP,
      "10.12.34.9", "1050", NULL, 0 },
    { INET("\"host\":\"::1\",\"port\":\"0\",\"ipv6\":true"), "tcp:[::1]:0,ipv6", MIG_URI_TCP, "::1",
      "0", NULL, 0 },
    { INET("\"host\":\"\",\"port\":\"7\",\"ipv4\":false"), "tcp::7,ipv6", MIG_URI_TCP, "", "7",
      NULL, 0 },
    { MAIN("\"transport\":\"socket\",\"type\":\"unix\",\"path\":\"/a b\""), "unix:/a b",
      MIG_URI_UNIX, NULL, NULL, "/a b", 0 },
    { MAIN("\"transport\":\"socket\",\"type\":\"vsock\",\"cid\":\"2\",\"port\":\"9\""), "vsock:2:9",
      MIG_URI_VSOCK, NULL, NULL, NULL, 0 },
    { MAIN("\"transport\":\"socket\",\"type\":\"fd\",\"str\":\"5\""), "fd:5", MIG_URI_FD, NULL,
      NULL, NULL, 0 },
    { MAIN("\"transport\":\"exec\",\"args\":[\"nc\",\"-U\",\"/x\"]"), "exec:nc -U /x", MIG_URI_EXEC,
      NULL, NULL, "nc -U /x", 0 },
    { MAIN("\"transport\":\"rdma\",\"host\":\"h\",\"port\":\"1\""), "rdma:h:1", MIG_URI_RDMA, "h",
      "1", NULL, 0 },
    { MAIN("\"transport\":\"file\",\"filename\":\"/m,offset=1\",\"offset\":4096"),
      "file:/m,offset=1,offset=4096", MIG_URI_FILE, NULL, NULL, "/m,offset=1", 4096 },
};

static MigUri *parse(const char *text, GError **error)
{
    json_object *v = json_tokener_parse(text);
    g_assert_nonnull(v);
    MigUri *uri = mig_uri_from_channels(v, error);
    json_object_put(v);
    return uri;
}

static void test_good(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        const Good *want = &good[i];
        g_autoptr(GError) error = NULL;
        g_autoptr(MigUri) u = parse(want->json, &error);
        g_assert_no_error(error);
        g_assert_cmpint(u->kind, ==, want->kind);
        g_assert_cmpstr(u->text, ==, want->text);
        g_assert_cmpstr(u->host, ==, want->host);
        g_assert_cmpstr(u->port, ==, want->port);
        g_assert_cmpstr(u->path, ==, want->path);
        g_assert_cmpuint(u->offset, ==, want->offset);
    }
}

static void test_options(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigUri) u = parse(INET("\"host\":\"1.2.3.4\",\"port\":\"1\",\"numeric\":true,"
                                     "\"keep-alive\":true"),
                                &error);
    g_autoptr(MigUri) e = parse(good[6].json, &error);
    g_autoptr(MigUri) copy = mig_uri_copy(e);
    g_assert_true(u->numeric && u->keep_alive && u->ipv4 && u->ipv6);
    g_assert_cmpuint(g_strv_length(copy->args), ==, 3);
    g_assert_cmpstr(copy->args[2], ==, "/x");
}

typedef struct Bad {
    const char *json, *says;
} Bad;

static const Bad bad[] = {
    { "[]", "a channel of type \"main\"" },
    { "{}", "channels" },
    { "[{\"channel-type\":\"main\"}]", "addr" },
    { "[{\"channel-type\":\"cpr\",\"addr\":{}}]", "cpr" },
    { "[{\"channel-type\":\"data\",\"addr\":{}}]", "channels[0].channel-type" },
    { MAIN(""), "transport" },
    { MAIN("\"transport\":\"pigeon\""), "channels[0].addr.transport" },
    { MAIN("\"transport\":\"socket\""), "'type'" },
    { MAIN("\"transport\":\"socket\",\"type\":\"ax25\""), "channels[0].addr.type" },
    { INET("\"host\":\"h\""), "port" },
    { INET("\"host\":\"h\",\"port\":1"), "channels[0].addr.port" },
    { INET("\"host\":\"h\",\"port\":\"99999\""), "65535" },
    { INET("\"host\":\"h\",\"port\":\"1\",\"to\":9"), "'to'" },
    { INET("\"host\":\"h\",\"port\":\"1\",\"mptcp\":true"), "'mptcp'" },
    { INET("\"host\":\"h\",\"port\":\"1\",\"ipv4\":false,\"ipv6\":false"), "ipv4" },
    { INET("\"host\":\"h\",\"port\":\"1\",\"hst\":\"h\""), "hst" },
    { MAIN("\"transport\":\"socket\",\"type\":\"unix\",\"path\":\"/a\",\"abstract\":true"),
      "'abstract'" },
    { MAIN("\"transport\":\"socket\",\"type\":\"fd\",\"str\":\"migfd\""), "number" },
    { MAIN("\"transport\":\"exec\",\"args\":[]"), "channels[0].addr.args" },
    { MAIN("\"transport\":\"exec\",\"args\":[1]"), "channels[0].addr.args[0]" },
    { MAIN("\"transport\":\"file\",\"filename\":\"x\""), "offset" },
    { "[{\"channel-type\":\"main\",\"addr\":{\"transport\":\"rdma\",\"host\":\"h\",\"port\":\"1\"}}"
      ","
      "{\"channel-type\":\"main\",\"addr\":{\"transport\":\"rdma\",\"host\":\"h\",\"port\":\"1\"}}"
      "]",
      "one channel" },
};

static void test_bad(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        MigUri *u = parse(bad[i].json, &error);
        if (u || !strstr(error->message, bad[i].says)) {
            g_test_message("%s: %s", bad[i].json, u ? "accepted" : error->message);
            g_test_fail();
        }
        mig_uri_free(u);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/channels/good", test_good);
    g_test_add_func("/channels/options", test_options);
    g_test_add_func("/channels/bad", test_bad);
    return g_test_run();
}
