/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migration URIs, see uri.h. A cursor walks the text; every failure says at which byte it stood.
 *
 * Limits: fd takes numbers only (names belong to a monitor that was handed descriptors); of the
 * options of tcp the two that choose a family; percent escapes do not exist in QEMU's URIs.
 */
#include "sim/world/uri.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNIX_PATH_MAX 107u /* bytes that fit into sun_path with their NUL */

typedef struct Cursor {
    const char *text, *at;
    GError **error;
} Cursor;

static bool fail(const Cursor *c, const char *expected)
{
    const char *found = *c->at ? c->at : "the end";
    g_set_error(c->error, MIG_URI_ERROR, 0, "uri '%s': byte %d: expected %s, found %s%s%s", c->text,
                (int)(c->at - c->text), expected, *c->at ? "'" : "", found, *c->at ? "'" : "");
    return false;
}

/* Takes the bytes up to one of |stop|, or the end. */
static char *take_until(Cursor *c, const char *stop)
{
    size_t n = strcspn(c->at, stop);
    char *taken = g_strndup(c->at, n);
    c->at += n;
    return taken;
}

static bool take(Cursor *c, char byte)
{
    bool there = *c->at == byte;
    c->at += there;
    return there;
}

static bool at_end(const Cursor *c, const char *instead)
{
    return !*c->at || fail(c, instead);
}

static bool take_number(Cursor *c, uint32_t max, const char *what, uint32_t *number)
{
    uint64_t value = 0;
    const char *begin = c->at;
    while (g_ascii_isdigit(*c->at) && value <= max) {
        value = value * 10 + (uint64_t)(*c->at++ - '0');
    }
    if (c->at == begin || value > max) {
        c->at = begin;
        return fail(c, what);
    }
    *number = (uint32_t)value;
    return true;
}

/* HOST:PORT, where HOST may stand in brackets. */
static bool take_address(Cursor *c, MigUri *u)
{
    if (take(c, '[')) {
        u->host = take_until(c, "]");
        if (!*u->host || !take(c, ']')) {
            return fail(c, *u->host ? "']' behind the IPv6 address" : "an IPv6 address");
        }
    } else {
        u->host = take_until(c, ":,");
    }
    if (!take(c, ':')) {
        return fail(c, "':PORT' behind the host");
    }
    const char *begin = c->at;
    u->port = take_until(c, ",:");
    if (!*u->port) {
        return fail(c, "a port");
    }
    if (*c->at == ':') {
        return fail(c, "no second ':' (an IPv6 address goes in brackets: tcp:[::1]:4444)");
    }
    bool digits = strspn(u->port, "0123456789") == strlen(u->port);
    if (digits && (strlen(u->port) > 5 || atoi(u->port) > 65535)) {
        c->at = begin;
        return fail(c, "a port from 0 to 65535");
    }
    return true;
}

/* ",ipv4", ",ipv4=on", ",ipv4=off" and likewise ipv6; naming one family alone leaves the other out.
 */
static bool take_families(Cursor *c, MigUri *u)
{
    static const char *const names[] = { "ipv4", "ipv6" };
    int said[2] = { -1, -1 };
    while (take(c, ',')) {
        const char *begin = c->at;
        g_autofree char *option = take_until(c, ",");
        char *value = strchr(option, '=');
        bool on = !value || strcmp(value, "=on") == 0, off = value && strcmp(value, "=off") == 0;
        size_t i = 0, n = value ? (size_t)(value - option) : strlen(option);
        while (i < 2 && (strlen(names[i]) != n || strncmp(names[i], option, n) != 0)) {
            i++;
        }
        if (i == 2 || (!on && !off)) {
            c->at = begin;
            return fail(c, "ipv4[=on|off] or ipv6[=on|off]");
        }
        said[i] = on;
    }
    u->ipv4 = said[0] >= 0 ? said[0] == 1 : said[1] != 1;
    u->ipv6 = said[1] >= 0 ? said[1] == 1 : said[0] != 1;
    return u->ipv4 || u->ipv6 || fail(c, "at least one of ipv4 and ipv6");
}

static bool parse_tcp(Cursor *c, MigUri *u)
{
    return take_address(c, u) && take_families(c, u) && at_end(c, "',' or the end");
}

static bool parse_rdma(Cursor *c, MigUri *u)
{
    return take_address(c, u) && at_end(c, "the end");
}

static bool parse_unix(Cursor *c, MigUri *u)
{
    u->path = g_strdup(c->at);
    if (!*u->path) {
        return fail(c, "the path of a socket");
    }
    return strlen(u->path) <= UNIX_PATH_MAX || fail(c, "a path of at most 107 bytes");
}

static bool parse_vsock(Cursor *c, MigUri *u)
{
    if (!take_number(c, UINT32_MAX, "a context id (a number)", &u->numbers[0])) {
        return false;
    }
    return (take(c, ':') || fail(c, "':PORT' behind the context id")) &&
           take_number(c, UINT32_MAX, "a port (a number)", &u->numbers[1]) && at_end(c, "the end");
}

static bool parse_fd(Cursor *c, MigUri *u)
{
    return take_number(c, INT32_MAX, "the number of a file descriptor", &u->numbers[0]) &&
           at_end(c, "the end");
}

static bool parse_exec(Cursor *c, MigUri *u)
{
    u->path = g_strdup(c->at);
    return *u->path || fail(c, "a command");
}

/* Bytes, with an optional k, M, G or T of either case; at most what a file can have. */
static bool parse_offset(const char *text, uint64_t *offset)
{
    static const char suffixes[] = "kmgt";
    char *end;
    errno = 0;
    guint64 n = g_ascii_strtoull(text, &end, 10);
    const char *suffix = *end ? strchr(suffixes, g_ascii_tolower(*end)) : NULL;
    unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    if (errno || !g_ascii_isdigit(*text) || end[suffix != NULL] ||
        n > (guint64)INT64_MAX >> shift) {
        return false;
    }
    *offset = n << shift;
    return true;
}

static bool parse_file(Cursor *c, MigUri *u)
{
    static const char option[] = ",offset=";
    const char *found = strstr(c->at, option);
    u->path = found ? g_strndup(c->at, (gsize)(found - c->at)) : g_strdup(c->at);
    if (!*u->path) {
        return fail(c, "the path of a file");
    }
    if (found) {
        c->at = found + strlen(option);
        if (!parse_offset(c->at, &u->offset)) {
            return fail(c, "an offset (a number of bytes, or with k, M, G, T)");
        }
    }
    return true;
}

static const struct {
    const char *scheme;
    bool (*parse)(Cursor *c, MigUri *u);
} schemes[] = {
    [MIG_URI_TCP] = { "tcp:", parse_tcp },       [MIG_URI_UNIX] = { "unix:", parse_unix },
    [MIG_URI_VSOCK] = { "vsock:", parse_vsock }, [MIG_URI_FD] = { "fd:", parse_fd },
    [MIG_URI_EXEC] = { "exec:", parse_exec },    [MIG_URI_FILE] = { "file:", parse_file },
    [MIG_URI_RDMA] = { "rdma:", parse_rdma },
};

MigUri *mig_uri_parse(const char *text, GError **error)
{
    Cursor c = { .text = text, .at = text, .error = error };
    for (size_t i = 0; i < G_N_ELEMENTS(schemes); i++) {
        if (g_str_has_prefix(text, schemes[i].scheme)) {
            g_autoptr(MigUri) u = g_new0(MigUri, 1);
            u->kind = (MigUriKind)i;
            u->text = g_strdup(text);
            u->ipv4 = u->ipv6 = true;
            c.at += strlen(schemes[i].scheme);
            return schemes[i].parse(&c, u) ? g_steal_pointer(&u) : NULL;
        }
    }
    fail(&c, "tcp:HOST:PORT, unix:PATH, vsock:CID:PORT, fd:NUMBER, exec:COMMAND, "
             "file:PATH[,offset=N] or rdma:HOST:PORT");
    return NULL;
}

MigUri *mig_uri_copy(const MigUri *uri)
{
    MigUri *u = g_memdup2(uri, sizeof(*uri));
    u->text = g_strdup(uri->text);
    u->host = g_strdup(uri->host);
    u->port = g_strdup(uri->port);
    u->path = g_strdup(uri->path);
    u->args = g_strdupv(uri->args);
    return u;
}

bool mig_uri_is_multi_channel(const MigUri *uri)
{
    return uri->kind == MIG_URI_TCP || uri->kind == MIG_URI_UNIX || uri->kind == MIG_URI_VSOCK;
}

void mig_uri_free(MigUri *u)
{
    if (u) {
        g_free(u->text);
        g_free(u->host);
        g_free(u->port);
        g_free(u->path);
        g_strfreev(u->args);
        g_free(u);
    }
}
