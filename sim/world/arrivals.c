/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of a destination, see arrivals.h. Mirrors migration_ioc_process_incoming()
 * (migration/migration.c; 7.2, 10.0, 11.1): by order, or by a look at the first four bytes, which
 * stay where they are. One that has said nothing yet keeps no other waiting.
 *
 * Limits: a transport that can't be peeked at (all but sockets) has one connection, the main one.
 */
#include "sim/world/arrivals.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "stream/format.h"

#define SHORT_MS 1 /* between two looks at a connection that has said less than four bytes */

struct MigArrivals {
    MigListener *listener;
    GPtrArray *unknown; /* MigTransport, in their order; NULL: handed out */
    bool peek, strict;  /* what isn't QEVM: anything, or a multifd channel */
    bool has_main;
    uint32_t channels, came; /* of multifd */
};

static void close_transport(gpointer t)
{
    if (t) {
        mig_transport_close(t, NULL);
    }
}

MigArrivals *mig_arrivals_new(MigListener *l)
{
    MigArrivals *a = g_new0(MigArrivals, 1);
    a->listener = l;
    a->unknown = g_ptr_array_new_with_free_func(close_transport);
    return a;
}

void mig_arrivals_free(MigArrivals *a)
{
    if (a) {
        g_ptr_array_unref(a->unknown);
        g_free(a);
    }
}

void mig_arrivals_expect(MigArrivals *a, const MigEra *era, MigCapabilitySet capabilities,
                         uint32_t channels)
{
    const MigCapabilitySet ordered =
        MIG_CAP_BIT(MIG_CAP_POSTCOPY_RAM) | MIG_CAP_BIT(MIG_CAP_MAPPED_RAM);
    bool multifd = capabilities & MIG_CAP_BIT(MIG_CAP_MULTIFD) && mig_listener_fd(a->listener) >= 0;
    a->channels = multifd ? channels : 0;
    a->strict = multifd && era->multifd_peek == MIG_PEEK_ALWAYS;
    a->peek = a->strict ||
              (multifd && era->multifd_peek == MIG_PEEK_PRECOPY && !(capabilities & ordered));
}

bool mig_arrivals_complete(const MigArrivals *a)
{
    return a->has_main && a->came >= a->channels;
}

static bool take_connection(MigArrivals *a, int wake, GError **error)
{
    MigTransport *t = mig_listener_accept(a->listener, wake, error);
    if (t) {
        g_ptr_array_add(a->unknown, t);
    }
    return t != NULL;
}

bool mig_arrivals_any(MigArrivals *a, int wake, GError **error)
{
    return a->unknown->len > 0 || take_connection(a, wake, error);
}

static MigTransport *hand_out(MigArrivals *a, guint index, MigArrival what, MigArrival *told)
{
    a->has_main |= what == MIG_ARRIVAL_MAIN;
    a->came += what == MIG_ARRIVAL_MULTIFD;
    *told = what;
    MigTransport *t = g_steal_pointer(&g_ptr_array_index(a->unknown, index));
    g_ptr_array_remove_index(a->unknown, index);
    return t;
}

static MigArrival by_order(const MigArrivals *a)
{
    return !a->has_main            ? MIG_ARRIVAL_MAIN
           : a->came < a->channels ? MIG_ARRIVAL_MULTIFD
                                   : MIG_ARRIVAL_EXTRA;
}

static bool refuse(GError **error, const MigTransport *t, const char *expected, const char *found)
{
    g_set_error(error, MIG_TRANSPORT_ERROR, EPROTO, "%s: a connection begins with %s, expected %s",
                mig_transport_name(t), found, expected);
    return false;
}

/* What four bytes say. False and *error: nothing that can be. */
static bool by_bytes(const MigArrivals *a, const MigTransport *t, const uint8_t *bytes,
                     MigArrival *what, GError **error)
{
    uint32_t magic =
        (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    g_autofree char *found = g_strdup_printf("%08x", magic);
    if (mig_arrivals_complete(a)) {
        *what = MIG_ARRIVAL_EXTRA;
        return true;
    }
    if (magic == MIG_MAGIC && a->has_main) {
        return refuse(error, t, "11223344 (the main channel is there)", found);
    }
    if (a->strict && magic != MIG_MAGIC && magic != MIG_MULTIFD_MAGIC) {
        return refuse(error, t, "5145564d (main) or 11223344 (multifd)", found);
    }
    *what = magic == MIG_MAGIC ? MIG_ARRIVAL_MAIN : MIG_ARRIVAL_MULTIFD;
    if (*what == MIG_ARRIVAL_MULTIFD && a->came >= a->channels) {
        return refuse(error, t, "5145564d (all multifd channels are there)", found);
    }
    return true;
}

/* No more will come than what is there. */
static bool has_ended(const MigTransport *t)
{
    struct pollfd p = { .fd = mig_transport_fd(t, MIG_WAIT_READ), .events = POLLRDHUP };
    return poll(&p, 1, 0) > 0;
}

/* Looks at everybody who is there. NULL without *error: nobody has said enough. |*some|: somebody
 * has begun to. */
static MigTransport *look_at_all(MigArrivals *a, bool *some, MigArrival *told, GError **error)
{
    for (guint i = 0; i < a->unknown->len; i++) {
        MigTransport *t = g_ptr_array_index(a->unknown, i);
        uint8_t bytes[4];
        MigArrival what;
        int64_t n = mig_transport_peek(t, bytes, sizeof(bytes), error);
        if (n == sizeof(bytes) && by_bytes(a, t, bytes, &what, error)) {
            return hand_out(a, i, what, told);
        }
        bool ended = n == 0 || (n > 0 && n < (int64_t)sizeof(bytes) && has_ended(t));
        if (ended) {
            refuse(error, t, "four bytes", "its end");
        }
        if (ended || n == sizeof(bytes) || n == MIG_IO_ERROR) {
            return NULL;
        }
        *some = *some || n > 0;
    }
    return NULL;
}

/* Until somebody speaks or comes. */
static bool wait_for_more(MigArrivals *a, int wake, bool some, GError **error)
{
    guint count = a->unknown->len;
    g_autofree struct pollfd *p = g_new0(struct pollfd, count + 2);
    for (guint i = 0; i < count; i++) {
        MigTransport *t = g_ptr_array_index(a->unknown, i);
        p[i] = (struct pollfd){ some ? -1 : mig_transport_fd(t, MIG_WAIT_READ), POLLIN, 0 };
    }
    p[count] = (struct pollfd){ mig_listener_fd(a->listener), POLLIN, 0 };
    p[count + 1] = (struct pollfd){ wake, POLLIN, 0 };
    int n = poll(p, count + 2, some ? SHORT_MS : -1);
    if (n > 0 && p[count + 1].revents) {
        g_set_error(error, MIG_TRANSPORT_ERROR, EINTR, "%s: interrupted before all had come",
                    mig_listener_address(a->listener));
        return false;
    }
    return n <= 0 || !p[count].revents || take_connection(a, wake, error);
}

MigTransport *mig_arrivals_next(MigArrivals *a, int wake, MigArrival *what, GError **error)
{
    if (!a->peek || mig_arrivals_complete(a)) {
        return mig_arrivals_any(a, wake, error) ? hand_out(a, 0, by_order(a), what) : NULL;
    }
    for (;;) {
        bool some = false;
        g_autoptr(GError) bad = NULL;
        MigTransport *t = look_at_all(a, &some, what, &bad);
        if (bad) {
            g_propagate_error(error, g_steal_pointer(&bad));
            return NULL;
        }
        if (t || !wait_for_more(a, wake, some, error)) {
            return t;
        }
    }
}
