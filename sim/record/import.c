/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importing captured packets, see import.h. Two passes over the file: the first finds the
 * destination, the second takes its connections. A connection that was there before the capture
 * began has no SYN: its first segment counts as its beginning, and the end with fewer bytes "QEVM"
 * to send is the source's peer.
 */
#include "sim/record/import.h"

#include <pcap/pcap.h>
#include <string.h>

#include "sim/record/tcp.h"

#define OWN_LINK_TYPE 147 /* USER0, which recordings of channels have */

typedef struct Connection {
    MigTcpEnd source, destination;
    MigTcpFlow flow[2]; /* by MigDirection */
    bool ended[2];
    MigTold told;
} Connection;

typedef struct Import {
    const MigImportConfig *config;
    MigImportCounts *counts;
    MigTeller teller;
    pcap_t *pcap;
    int link_type;
    bool found; /* |destination| is known */
    MigTcpEnd destination;
    GPtrArray *connections; /* Connection, of all generations */
    guint generation, generation_connections, open;
    /* For the callback of a flow. */
    Connection *at;
    MigDirection direction;
    uint64_t ns;
} Import;

static bool fail(GError **error, const char *path, const char *what)
{
    g_set_error(error, MIG_IMPORT_ERROR, 0, "%s: %s", path, what);
    return false;
}

static void connection_free(gpointer data)
{
    Connection *c = data;
    mig_tcp_flow_clear(&c->flow[MIG_FORWARD]);
    mig_tcp_flow_clear(&c->flow[MIG_BACK]);
    mig_told_clear(&c->told);
    g_free(c);
}

/* Which connection ------------------------------------------------------------------------- */

static bool is_wanted(const Import *im, const MigTcpEnd *end)
{
    for (unsigned i = 0; i < im->config->port_count; i++) {
        if (im->config->ports[i] == end->port) {
            return true;
        }
    }
    return im->found && mig_tcp_end_equal(&im->destination, end);
}

static Connection *add(Import *im, const MigTcpEnd *source, const MigTcpEnd *destination)
{
    Connection *c = g_new0(Connection, 1);
    if (!im->open && im->connections->len) { /* all others have ended */
        im->generation++;
        im->generation_connections = 0;
    }
    c->source = *source;
    c->destination = *destination;
    mig_tcp_flow_init(&c->flow[MIG_FORWARD]);
    mig_tcp_flow_init(&c->flow[MIG_BACK]);
    mig_told_init(&c->told, im->generation_connections++ == 0, im->generation);
    g_ptr_array_add(im->connections, c);
    im->open++;
    im->counts->connections++;
    im->counts->generations = im->generation + 1;
    return c;
}

static bool is_over(const Connection *c)
{
    return c->ended[MIG_FORWARD] && c->ended[MIG_BACK];
}

/* The connection of a segment, made where it is new; NULL: it is none of the migration. */
static Connection *connection_of(Import *im, const MigTcpSegment *s, MigDirection *direction)
{
    for (guint i = im->connections->len; i-- > 0;) {
        Connection *c = im->connections->pdata[i];
        bool forward =
            mig_tcp_end_equal(&c->source, &s->from) && mig_tcp_end_equal(&c->destination, &s->to);
        bool back =
            mig_tcp_end_equal(&c->source, &s->to) && mig_tcp_end_equal(&c->destination, &s->from);
        if ((forward || back) && !(is_over(c) && s->syn)) { /* the port may be used again */
            *direction = forward ? MIG_FORWARD : MIG_BACK;
            return c;
        }
    }
    *direction = MIG_FORWARD;
    if (is_wanted(im, &s->to) && !s->rst && (s->syn || s->n)) {
        return add(im, &s->from, &s->to);
    }
    return NULL;
}

/* Bytes ------------------------------------------------------------------------------------ */

static bool give(void *opaque, const uint8_t *data, size_t n)
{
    Import *im = opaque;
    *(im->direction == MIG_FORWARD ? &im->counts->forward : &im->counts->back) += n;
    return mig_teller_heard(&im->teller, &im->at->told, im->direction, im->ns, data, n);
}

static void end_direction(Import *im, Connection *c, MigDirection direction)
{
    bool was_over = is_over(c);
    c->ended[direction] = true;
    if (!was_over && is_over(c)) {
        im->open--;
    }
}

static bool take(Import *im, const MigTcpSegment *s)
{
    Connection *c = connection_of(im, s, &im->direction);
    if (!c) {
        return true;
    }
    im->at = c;
    im->counts->segments++;
    if (!mig_tcp_flow_put(&c->flow[im->direction], s, give, im)) {
        return false;
    }
    if (s->fin || s->rst) {
        end_direction(im, c, im->direction);
    }
    if (s->rst) {
        end_direction(im, c, !im->direction);
    }
    return true;
}

/* The file --------------------------------------------------------------------------------- */

static bool open_file(Import *im, GError **error)
{
    char why[PCAP_ERRBUF_SIZE] = "";
    im->pcap =
        pcap_open_offline_with_tstamp_precision(im->config->path, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!im->pcap) {
        const char *begin = im->config->path; /* which libpcap names where it can't be opened */
        size_t n = strlen(begin);
        bool named = strncmp(why, begin, n) == 0 && g_str_has_prefix(why + n, ": ");
        g_autofree char *text = g_strdup_printf(
            "%s; expected captured packets, uncompressed, as tcpdump -w and Wireshark write them "
            "(pcap or pcapng)",
            named ? why + n + 2 : why);
        return fail(error, im->config->path, text);
    }
    im->link_type = pcap_datalink(im->pcap);
    if (!mig_tcp_link_is_known(im->link_type)) {
        g_autofree char *text = g_strdup_printf(
            "link type %d: expected Ethernet, Linux cooked, loopback or raw IP%s", im->link_type,
            im->link_type == OWN_LINK_TYPE ? " (this is a recording already: inspect reads it)"
                                           : "");
        return fail(error, im->config->path, text);
    }
    return true;
}

/* libpcap's error is that the file ends inside a packet: what came before it is used. */
static bool is_cut(Import *im, int64_t behind)
{
    im->counts->cut = feof(pcap_file(im->pcap)) != 0;
    im->counts->cut_at = behind;
    return im->counts->cut;
}

/* Calls |fn| for every TCP segment until it says false. */
static bool walk(Import *im, bool (*fn)(Import *im, const MigTcpSegment *s), GError **error)
{
    struct pcap_pkthdr *head;
    const uint8_t *frame;
    int64_t behind = -1; /* the last whole packet, in the file; a pipe has no places */
    int got = 0;
    bool fine = open_file(im, error);
    im->counts->packets = 0;
    while (fine && (got = pcap_next_ex(im->pcap, &head, &frame)) == 1) {
        MigTcpSegment s;
        im->counts->packets++;
        behind = ftello(pcap_file(im->pcap));
        im->ns = (uint64_t)head->ts.tv_sec * 1000000000u + (uint64_t)head->ts.tv_usec;
        if (mig_tcp_parse(im->link_type, frame, head->caplen, &s) && !fn(im, &s)) {
            break;
        }
    }
    if (fine && got == PCAP_ERROR && !is_cut(im, behind)) {
        fine = fail(error, im->config->path, pcap_geterr(im->pcap));
    }
    g_clear_pointer(&im->pcap, pcap_close);
    return fine;
}

static bool look_for_magic(Import *im, const MigTcpSegment *s)
{
    if (s->n >= 4 && memcmp(s->data, "QEVM", 4) == 0) {
        im->destination = s->to;
        im->found = true;
    }
    return !im->found;
}

static bool find_destination(Import *im, GError **error)
{
    if (im->config->port_count) {
        return true;
    }
    if (!walk(im, look_for_magic, error)) {
        return false;
    }
    return im->found || fail(error, im->config->path,
                             "expected a segment that begins with \"QEVM\", found none; was the "
                             "beginning captured? --port says where the destination listened");
}

static void report_gaps(Import *im)
{
    for (guint i = 0; i < im->connections->len; i++) {
        Connection *c = im->connections->pdata[i];
        im->counts->open += !c->ended[MIG_FORWARD];
        for (MigDirection d = MIG_FORWARD; d <= MIG_BACK; d++) {
            MigTcpFlow *f = &c->flow[d];
            mig_tcp_flow_end(f);
            im->counts->gaps += f->broken;
            if (f->broken && im->config->gap) {
                const char *name = c->told.name ? c->told.name : "a connection";
                g_autofree char *text =
                    d == MIG_FORWARD ? g_strdup(name) : g_strconcat("the answers of ", name, NULL);
                im->config->gap(im->config->tap.opaque, text, f->passed, f->missing);
            }
        }
    }
}

bool mig_import(const MigImportConfig *config, MigImportCounts *counts, GError **error)
{
    Import im = { .config = config, .counts = counts, .teller = { .tap = config->tap } };
    *counts = (MigImportCounts){ 0 };
    im.connections = g_ptr_array_new_with_free_func(connection_free);
    bool fine = find_destination(&im, error) && walk(&im, take, error);
    if (fine) {
        report_gaps(&im);
    }
    if (fine && !counts->forward) {
        fine = fail(error, config->path, "expected a migration, found no bytes of one");
    }
    g_ptr_array_unref(im.connections);
    return fine;
}
