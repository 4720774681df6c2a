/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channels form, see channels.h; names as in qapi/migration.json and qapi/sockets.json (11.1).
 *
 * Limits: one channel, the main one (a cpr channel passes descriptors, which nothing here has); of
 * an inet address no range of ports (`to`) and no mptcp; no abstract unix addresses; fd takes a
 * number (a monitor knows the names that it was handed).
 */
#include "sim/live/channels.h"

#include <string.h>

#include "sim/scenario/json-reader.h"

/* What an address may say, of all kinds. */
typedef struct Address {
    char *host, *port, *path, *cid, *fd, *filename;
    bool numeric, keep_alive, mptcp, abstract, tight;
    bool ipv4, ipv6, has_ipv4, has_ipv6;
    uint32_t to;
    uint64_t offset;
    GPtrArray *args; /* char * */
} Address;

/* A flag of which it matters whether it was given. */
static bool read_ipv4(MigReader *r, json_object *v, void *dst)
{
    Address *a = dst;
    a->has_ipv4 = true;
    return mig_read_bool(r, v, &a->ipv4);
}

static bool read_ipv6(MigReader *r, json_object *v, void *dst)
{
    Address *a = dst;
    a->has_ipv6 = true;
    return mig_read_bool(r, v, &a->ipv6);
}

static bool read_argument(MigReader *r, json_object *v, void *dst)
{
    char *text = NULL;
    bool fine = mig_read_string(r, v, &text);
    if (fine) {
        g_ptr_array_add(dst, text);
    }
    return fine;
}

static bool read_args(MigReader *r, json_object *v, void *dst)
{
    Address *a = dst;
    a->args = a->args ? a->args : g_ptr_array_new_with_free_func(g_free);
    return mig_read_each(r, v, read_argument, a->args) &&
           (a->args->len > 0 || mig_read_fail(r, "expected a program and its arguments"));
}

#define FIELD(key, read, name, required)             \
    {                                                \
        key, read, offsetof(Address, name), required \
    }
#define INET                                                                                   \
    FIELD("host", mig_read_string, host, true), FIELD("port", mig_read_string, port, true),    \
        FIELD("numeric", mig_read_bool, numeric, false), FIELD("to", mig_read_u32, to, false), \
        { "ipv4", read_ipv4, 0, false }, { "ipv6", read_ipv6, 0, false },                      \
        FIELD("keep-alive", mig_read_bool, keep_alive, false),                                 \
        FIELD("mptcp", mig_read_bool, mptcp, false)
#define COMMON                                  \
    { "transport", mig_read_ignore, 0, false }, \
    {                                           \
        "type", mig_read_ignore, 0, false       \
    }

static const MigField inet_fields[] = { COMMON, INET, { NULL } };
static const MigField unix_fields[] = { COMMON,
                                        FIELD("path", mig_read_string, path, true),
                                        FIELD("abstract", mig_read_bool, abstract, false),
                                        FIELD("tight", mig_read_bool, tight, false),
                                        { NULL } };
static const MigField vsock_fields[] = { COMMON,
                                         FIELD("cid", mig_read_string, cid, true),
                                         FIELD("port", mig_read_string, port, true),
                                         { NULL } };
static const MigField fd_fields[] = { COMMON, FIELD("str", mig_read_string, fd, true), { NULL } };
static const MigField exec_fields[] = { { "transport", mig_read_ignore, 0, false },
                                        { "args", read_args, 0, true },
                                        { NULL } };
static const MigField rdma_fields[] = { { "transport", mig_read_ignore, 0, false },
                                        INET,
                                        { NULL } };
static const MigField file_fields[] = { { "transport", mig_read_ignore, 0, false },
                                        FIELD("filename", mig_read_string, filename, true),
                                        FIELD("offset", mig_read_size, offset, true),
                                        { NULL } };

/* What is said differently in a URI. */

static const char *family(const Address *a)
{
    bool four = a->has_ipv4 ? a->ipv4 : !(a->has_ipv6 && a->ipv6);
    bool six = a->has_ipv6 ? a->ipv6 : !(a->has_ipv4 && a->ipv4);
    return four && six ? "" : four ? ",ipv4" : six ? ",ipv6" : ",ipv4=off,ipv6=off";
}

static char *inet_text(const Address *a, const char *scheme)
{
    bool brackets = strchr(a->host, ':') != NULL;
    return g_strdup_printf("%s:%s%s%s:%s%s", scheme, brackets ? "[" : "", a->host,
                           brackets ? "]" : "", a->port,
                           strcmp(scheme, "tcp") == 0 ? family(a) : "");
}

static char *text_of_tcp(const Address *a)
{
    return inet_text(a, "tcp");
}

static char *text_of_rdma(const Address *a)
{
    return inet_text(a, "rdma");
}

static char *text_of_unix(const Address *a)
{
    return g_strconcat("unix:", a->path, NULL);
}

static char *text_of_vsock(const Address *a)
{
    return g_strdup_printf("vsock:%s:%s", a->cid, a->port);
}

static char *text_of_fd(const Address *a)
{
    return g_strconcat("fd:", a->fd, NULL);
}

static char *text_of_exec(const Address *a)
{
    g_autoptr(GString) text = g_string_new("exec:");
    for (guint i = 0; i < a->args->len; i++) {
        g_string_append_printf(text, "%s%s", i ? " " : "",
                               (const char *)g_ptr_array_index(a->args, i));
    }
    return g_strdup(text->str);
}

static char *text_of_file(const Address *a)
{
    return g_strdup_printf("file:%s,offset=%" G_GUINT64_FORMAT, a->filename, a->offset);
}

typedef struct Kind {
    const char *name; /* of the transport, or of the socket's type */
    const MigField *fields;
    char *(*text)(const Address *a);
} Kind;

static const Kind socket_kinds[] = {
    { "inet", inet_fields, text_of_tcp },
    { "unix", unix_fields, text_of_unix },
    { "vsock", vsock_fields, text_of_vsock },
    { "fd", fd_fields, text_of_fd },
};

static const Kind transports[] = {
    { "exec", exec_fields, text_of_exec },
    { "rdma", rdma_fields, text_of_rdma },
    { "file", file_fields, text_of_file },
};

/* The index of the choice that |addr| makes with |key|. */
static bool choose(MigReader *r, json_object *addr, const char *key, const char *const *names,
                   unsigned *index)
{
    json_object *v = NULL;
    if (!json_object_is_type(addr, json_type_object) || !json_object_object_get_ex(addr, key, &v)) {
        return mig_read_fail(r, "expected an object with '%s'", key);
    }
    size_t mark = mig_read_enter(r, key);
    bool fine = mig_read_choice(r, v, names, index);
    mig_read_leave(r, mark);
    return fine;
}

static const Kind *kind_of(MigReader *r, json_object *addr)
{
    static const char *const names[] = { "exec", "rdma", "file", "socket", NULL };
    static const char *const types[] = { "inet", "unix", "vsock", "fd", NULL };
    unsigned index = 0;
    if (!choose(r, addr, "transport", names, &index)) {
        return NULL;
    }
    if (index < G_N_ELEMENTS(transports)) {
        return &transports[index];
    }
    return choose(r, addr, "type", types, &index) ? &socket_kinds[index] : NULL;
}

/* What no transport here can do. */
static bool check(MigReader *r, const Address *a)
{
    if (a->to) {
        return mig_read_fail(r, "'to': a range of ports is not supported; say one port");
    }
    if (a->mptcp) {
        return mig_read_fail(r, "'mptcp' is not supported; leave it out");
    }
    if (a->abstract) {
        return mig_read_fail(r, "'abstract' is not supported; say the path of a file");
    }
    return true;
}

static MigUri *to_uri(MigReader *r, const Kind *kind, const Address *a)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = kind->text(a);
    bool file = a->filename != NULL;
    MigUri *uri = mig_uri_parse(file ? "file:-" : text, &error);
    if (!uri) {
        mig_read_fail(r, "%s", error->message);
        return NULL;
    }
    if (file) { /* a name may hold what means something in a URI */
        g_free(uri->path);
        g_free(uri->text);
        uri->path = g_strdup(a->filename);
        uri->text = g_steal_pointer(&text);
        uri->offset = a->offset;
    }
    if (a->args) {
        g_ptr_array_add(a->args, NULL);
        uri->args = g_strdupv((char **)a->args->pdata);
    }
    uri->numeric = a->numeric;
    uri->keep_alive = a->keep_alive;
    return uri;
}

static void clear(Address *a)
{
    g_free(a->host);
    g_free(a->port);
    g_free(a->path);
    g_free(a->cid);
    g_free(a->fd);
    g_free(a->filename);
    g_clear_pointer(&a->args, g_ptr_array_unref);
}

static bool read_address(MigReader *r, json_object *v, void *dst)
{
    MigUri **uri = dst;
    Address a = { 0 };
    const Kind *kind = kind_of(r, v);
    if (kind && mig_read_object(r, v, kind->fields, &a) && check(r, &a)) {
        mig_uri_free(*uri);
        *uri = to_uri(r, kind, &a);
    }
    clear(&a);
    return !r->error;
}

static bool read_channel_type(MigReader *r, json_object *v, void *dst)
{
    static const char *const names[] = { "main", "cpr", NULL };
    unsigned index = 0;
    (void)dst;
    return mig_read_choice(r, v, names, &index) &&
           (index == 0 ||
            mig_read_fail(r, "a cpr channel is not supported; expected one channel, \"main\""));
}

static bool read_channel(MigReader *r, json_object *v, void *dst)
{
    static const MigField fields[] = {
        { "channel-type", read_channel_type, 0, true },
        { "addr", read_address, 0, true },
        { NULL },
    };
    MigUri **uri = dst;
    if (*uri) {
        return mig_read_fail(r, "expected one channel of type \"main\", found another");
    }
    return mig_read_object(r, v, fields, dst);
}

MigUri *mig_uri_from_channels(json_object *channels, GError **error)
{
    g_autoptr(MigUri) uri = NULL;
    g_autoptr(GString) path = g_string_new("channels");
    MigReader r = { .path = path, .file = "migrate" };
    if (mig_read_each(&r, channels, read_channel, &uri) && !uri) {
        mig_read_fail(&r, "expected a channel of type \"main\"");
    }
    if (r.error) {
        g_propagate_error(error, r.error);
        return NULL;
    }
    return g_steal_pointer(&uri);
}
