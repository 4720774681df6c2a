/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy of the plain simulator (reference.h), small host pages only: the switchover, the push of
 * what is left, requests; the destination's guest, an access at a time; what the destination
 * answers; the preempt channel. Bytes of both channels are counted, and what ends at which byte
 * (a page, a command) happens when that has arrived.
 */
#include <string.h>

#include "tests/unit/reference-internal.h"

#define PIECE   8208u /* bytes that reach the destination at a time */
#define PREEMPT HAS(POSTCOPY_PREEMPT)
#define BESIDE  (PREEMPT && m->v >= V(8, 0)) /* requests are served by a thread of their own */

typedef enum Kind { PING, RUN, A_PAGE, END } Kind;

/* What is there when the channel's byte |end| is. */
typedef struct Item {
    uint64_t end;
    Kind kind;
    uint64_t value; /* of a ping; the page's number */
} Item;

typedef struct Vcpu {
    MigWorkloadRun run;
    bool waits;
    int64_t since;
} Vcpu;

struct ReferencePostcopy {
    bool wanted, late, ran;   /* late: bytes come when they have arrived */
    bool end_waits;           /* for pages on the preempt channel */
    bool heard, loaded, shut; /* of the return path */
    uint64_t pongs;
    GArray *items[2]; /* main channel, preempt channel: what has not arrived */
    uint64_t put[2];  /* bytes, ever */
    uint64_t flushed; /* of the preempt channel */
    int64_t done[2], preempt_sent, preempt_work;
    ReferenceLink back;
    GArray *requests; /* page numbers */
    uint64_t asked_block, urgent_block, last_channel, hint;
    bool hinted, serving;
    Vcpu *vcpus;
    uint64_t missing; /* pages */
};

#define VCPUS (m->s->workloads->len)

/* The return path ----------------------------------------------------------------------------- */

typedef enum Message { PONG = 1ull << 60, SHUT = 2ull << 60, REQUEST = 3ull << 60 } Message;
#define KINDS      (15ull << 60)
#define MESSAGE(x) ((x)&KINDS)
#define VALUE(x)   ((x) & ~KINDS)

static void serve_beside(Sim *m, uint64_t unused);

static void hear(Sim *m, uint64_t what)
{
    ReferencePostcopy *p = m->postcopy;
    uint64_t value = VALUE(what);
    p->heard = true;
    p->pongs += MESSAGE(what) == PONG;
    p->loaded |= MESSAGE(what) == PONG && value == 0x42;
    p->shut |= MESSAGE(what) == SHUT;
    if (MESSAGE(what) == REQUEST) {
        g_array_append_val(p->requests, value);
        m->r->requests++;
        m->urgent = true;
        if (BESIDE && !p->serving) {
            serve_beside(m, 0);
        }
    }
}

static void answer(Sim *m, uint64_t what, uint64_t bytes, int64_t delay)
{
    ReferencePostcopy *p = m->postcopy;
    int64_t at = (p->late ? m->now : MAX(m->now, m->link.receiver)) + delay;
    ReferenceWrite w = reference_link_write(&p->back, MAX(at, p->back.since), bytes, 0);
    reference_later(m, w.arrived, hear, what);
}

/* The destination's guest --------------------------------------------------------------------- */

static ReferencePage *page_of(Sim *m, const Vcpu *c)
{
    return &m->guest.pages[mig_workload_page(&c->run)];
}

static void ask_for(Sim *m, ReferencePage *page)
{
    ReferencePostcopy *p = m->postcopy;
    uint64_t name = page->block == p->asked_block ? 0 : 1 + strlen(BLOCK(page->block).name);
    p->asked_block = page->block;
    answer(m, REQUEST | (uint64_t)(page - m->guest.pages), 16 + name, m->s->destination_host.fault);
}

/* To its next access that lies ahead, or to the first that has to wait for its page. */
static void go_on(Sim *m, uint64_t number)
{
    Vcpu *c = &m->postcopy->vcpus[number];
    int64_t next;
    while ((next = mig_workload_next(&c->run)) <= m->now && !page_of(m, c)->missing) {
        mig_workload_step(&c->run);
    }
    if (next == INT64_MAX || m->postcopy->missing == 0) {
        return;
    }
    if (next > m->now) {
        reference_later(m, next, go_on, number);
    } else {
        m->r->faults++;
        c->waits = true;
        c->since = m->now;
        ask_for(m, page_of(m, c));
    }
}

static void start_guest(Sim *m, uint64_t unused)
{
    (void)unused;
    m->postcopy->ran = true;
    m->r->ran_at = m->now;
    for (guint i = 0; i < VCPUS; i++) {
        m->postcopy->vcpus[i].run = m->guest.runs[i];
        mig_workload_stall(&m->postcopy->vcpus[i].run, m->stopped, m->now);
        go_on(m, i);
    }
}

static void page_came(Sim *m, ReferencePage *page)
{
    m->postcopy->missing -= page->missing;
    page->missing = false;
    m->r->complete_at = m->postcopy->missing == 0 ? m->now : 0;
    for (guint i = 0; i < VCPUS; i++) {
        Vcpu *c = &m->postcopy->vcpus[i];
        if (c->waits && page_of(m, c) == page) {
            c->waits = false;
            mig_workload_stall(&c->run, c->since, m->now);
            mig_workload_step(&c->run);
            go_on(m, i);
        }
    }
}

/* What arrives -------------------------------------------------------------------------------- */

static void say_verdict(Sim *m)
{
    answer(m, SHUT, 8, m->postcopy->ran ? 0 : m->s->destination_host.load_devices);
}

static void take(Sim *m, const Item *i)
{
    ReferencePostcopy *p = m->postcopy;
    int64_t load = m->s->destination_host.load_devices;
    if (i->kind == PING) {
        answer(m, PONG | i->value, 8, i->value == 3 || i->value == 0x42 ? load : 0);
    } else if (i->kind == RUN) {
        reference_later(m, m->now + load, start_guest, 0);
    } else if (i->kind == A_PAGE) {
        page_came(m, &m->guest.pages[i->value]);
    } else if (p->missing == 0) {
        say_verdict(m);
    } else {
        p->end_waits = true; /* for the preempt channel */
    }
}

/* The channel's bytes up to |end|. */
static void arrive(Sim *m, guint channel, uint64_t end)
{
    GArray *items = m->postcopy->items[channel];
    while (items->len > 0 && g_array_index(items, Item, 0).end <= end) {
        Item i = g_array_index(items, Item, 0);
        g_array_remove_index(items, 0);
        take(m, &i);
    }
    if (channel == 1 && m->postcopy->end_waits && m->postcopy->missing == 0) {
        m->postcopy->end_waits = false;
        say_verdict(m);
    }
}

static void main_arrives(Sim *m, uint64_t end)
{
    arrive(m, 0, end);
}

static void preempt_arrives(Sim *m, uint64_t end)
{
    arrive(m, 1, end);
}

/* |n| bytes up to |end|, piece by piece, the last of which is worked on at |done|. */
static void in_pieces(Sim *m, guint channel, uint64_t end, uint64_t n, int64_t from, int64_t done)
{
    from = MIN(from, done);
    for (uint64_t at = 0; at < n;) {
        at = MIN(at + PIECE, n);
        int64_t when = from + (int64_t)((ReferenceAmount)(uint64_t)(done - from) * at / n);
        reference_later(m, when, channel ? preempt_arrives : main_arrives, end - n + at);
    }
    m->postcopy->done[channel] = done;
}

void reference_postcopy_written(Sim *m, uint64_t n, const ReferenceWrite *w)
{
    ReferencePostcopy *p = m->postcopy;
    if (p->late) {
        int64_t from = MAX(p->done[0], w->done - reference_link_span(&m->link, w, n));
        in_pieces(m, 0, m->written, n, from, w->done);
    } else {
        arrive(m, 0, m->written);
    }
}

static void ends_here(Sim *m, guint channel, Kind kind, uint64_t value)
{
    Item i = { channel ? m->postcopy->put[1] : m->r->queued, kind, value };
    g_array_append_val(m->postcopy->items[channel], i);
}

void reference_postcopy_ping(Sim *m, uint64_t value)
{
    reference_send(m, 9);
    if (m->postcopy) {
        ends_here(m, 0, PING, value);
    }
}

/* The preempt channel ------------------------------------------------------------------------- */

static void put_preempt(Sim *m, ReferencePage *page, bool named)
{
    ReferencePostcopy *p = m->postcopy;
    const MigCosts *rc = &m->s->destination_host;
    uint64_t n = 8 + (named ? 1 + strlen(BLOCK(page->block).name) : 0) + (page->zero ? 1 : PAGE);
    p->put[1] += n;
    p->preempt_work += page->zero ? rc->receive_zero : rc->receive_page + rc->first_touch;
    p->preempt_work += rc->place_page;
    ends_here(m, 1, A_PAGE, (uint64_t)(page - m->guest.pages));
    m->handed += n;
    m->ram_bytes += n;
    m->r->duplicate += page->zero;
    m->r->normal += !page->zero;
}

static void flush_preempt(Sim *m)
{
    ReferencePostcopy *p = m->postcopy;
    uint64_t n = p->put[1] - p->flushed;
    p->flushed += n;
    m->beside += n;
    int64_t arrived = reference_link_overtake(&m->link, m->now, n);
    if (m->s->link.bucket.rate == 0) {
        arrived += MAX(p->preempt_sent - m->now, 0);
        p->preempt_sent = arrived - m->s->link.latency;
    }
    int64_t from = MAX(arrived, p->done[1]), done = from + p->preempt_work / 1000;
    p->preempt_work %= 1000;
    in_pieces(m, 1, p->put[1], n, from, done);
}

static ReferencePage *first_request(Sim *m)
{
    GArray *requests = m->postcopy->requests;
    while (requests->len > 0) {
        ReferencePage *page = &m->guest.pages[g_array_index(requests, uint64_t, 0)];
        if (page->dirty) {
            return page;
        }
        g_array_remove_index(requests, 0);
    }
    return NULL;
}

static void take_off(Sim *m, ReferencePage *page)
{
    m->dirty -= page->dirty;
    page->dirty = false;
}

static void beside_flushes(Sim *m, uint64_t number)
{
    flush_preempt(m);
    serve_beside(m, number);
}

static void beside_has_sent(Sim *m, uint64_t number)
{
    ReferencePage *page = &m->guest.pages[number];
    put_preempt(m, page, page->block != m->postcopy->urgent_block);
    m->postcopy->urgent_block = page->block;
    m->postcopy->hinted |= m->v >= V(10, 2);
    m->postcopy->hint = number + 1;
    reference_later(m, m->now, beside_flushes, number);
}

/* The return path's thread, from 8.0 on. */
static void serve_beside(Sim *m, uint64_t unused)
{
    ReferencePage *page = first_request(m);
    (void)unused;
    m->postcopy->serving = page != NULL;
    if (page) {
        take_off(m, page);
        g_array_remove_index(m->postcopy->requests, 0);
        reference_later(m, m->now + m->s->host.normal_page / 1000, beside_has_sent,
                        (uint64_t)(page - m->guest.pages));
    }
}

/* The push ------------------------------------------------------------------------------------ */

static ReferencePage *next_page(Sim *m)
{
    ReferencePostcopy *p = m->postcopy;
    m->position = p->hinted ? p->hint : m->position;
    p->hinted = false;
    while (m->dirty > 0) {
        m->position = m->position == m->guest.count ? 0 : m->position;
        ReferencePage *page = &m->guest.pages[m->position++];
        if (page->dirty) {
            return page;
        }
    }
    return NULL;
}

/* One page on its way. */
static void push_page(Sim *m, ReferencePage *page, bool requested)
{
    ReferencePostcopy *p = m->postcopy;
    bool aside = requested && PREEMPT, parts = PREEMPT && !BESIDE;
    uint64_t number = (uint64_t)(page - m->guest.pages), queued = m->r->queued;
    m->last_sent = parts && p->last_channel != aside ? UINT64_MAX : m->last_sent;
    take_off(m, page);
    if (aside) {
        put_preempt(m, page, page->block != m->last_sent);
        reference_price(m, page->zero ? m->s->host.zero_page : m->s->host.normal_page);
        if (!reference_over(m)) {
            flush_preempt(m);
        }
    } else {
        m->work += m->s->destination_host.place_page;
        Item i = { 0, A_PAGE, number };
        g_array_append_val(p->items[0], i); /* it may leave before all is done here */
        guint at = p->items[0]->len - 1;
        g_array_index(p->items[0], Item, at).end =
            m->r->queued + 8 + (page->zero ? 1 : PAGE) +
            (page->block == m->last_sent ? 0 : 1 + strlen(BLOCK(page->block).name));
        reference_send_record(m, page, page->zero, false, -1);
        m->position = number + 1;
        m->ram_bytes += m->r->queued - queued;
        m->r->duplicate += page->zero;
        m->r->normal += !page->zero;
    }
    m->last_sent = page->block;
    p->last_channel = aside;
}

/* A section of pages; |all|: whatever time and quota say. False: time was up. */
static bool push(Sim *m, bool all)
{
    int64_t began = m->now;
    bool late = false;
    reference_send(m, 5);
    for (uint64_t pushed = 0; !late; pushed++) {
        ReferencePage *page = BESIDE ? NULL : first_request(m);
        bool requested = page != NULL;
        if (!requested && !all && reference_exceeded(m)) {
            break;
        }
        page = requested ? page : next_page(m);
        if (!page) {
            break;
        }
        if (reference_over(m)) {
            return false;
        }
        push_page(m, page, requested);
        if (!all && m->v >= V(5, 0) && m->v < V(6, 0) && reference_exceeded(m)) {
            reference_sleep(m, MAX(m->window + 100 - MS, 0) * 1000000);
        } else {
            late = !all && pushed % 64 == 0 && (m->now - began) / 1000000 > 50;
        }
    }
    if (HAS(MULTIFD) && !PER_ROUND && !reference_multifd_sync(m)) {
        return false;
    }
    m->ram_bytes += all ? 0 : 8;
    reference_send(m, 8);
    reference_send_flush(m);
    reference_send(m, 5);
    return true;
}

static void wait_for_answer(Sim *m)
{
    m->postcopy->heard = false;
    if (!reference_over(m)) {
        reference_wait(m, m->now + 1000000000, &m->postcopy->heard);
    }
}

void reference_postcopy_end(Sim *m)
{
    ends_here(m, 0, END, 0);
    reference_send_flush(m);
    if (m->pushing && PREEMPT && !BESIDE && !reference_over(m)) {
        m->postcopy->put[1] += 8;
        flush_preempt(m);
    }
    while (!m->postcopy->shut && !reference_over(m)) {
        wait_for_answer(m);
    }
}

/* Commands of at most 12 ranges. */
static void discard(Sim *m)
{
    uint64_t ranges = 0;
    for (uint64_t i = 0; i < m->guest.count; i++) {
        ReferencePage *page = &m->guest.pages[i];
        bool last = i + 1 == m->guest.count || page[1].block != page->block;
        bool ends = page->dirty && (last || !page[1].dirty);
        page->missing = page->dirty;
        m->postcopy->missing += page->dirty;
        ranges += ends;
        if (ranges == 12 || (last && ranges > 0)) {
            reference_send(m, 8 + strlen(BLOCK(page->block).name) + 16 * ranges);
            ranges = 0;
        }
    }
}

/* |devices|: bytes of their state. */
static void send_package(Sim *m, uint64_t devices)
{
    ReferencePostcopy *p = m->postcopy;
    p->late = true;
    p->done[0] = m->link.receiver;
    reference_send(m, 9 + 5 + devices);
    reference_postcopy_ping(m, 3);
    if (m->v >= V(10, 2)) {
        reference_postcopy_ping(m, 0x42);
    }
    reference_send(m, 5);
    ends_here(m, 0, RUN, 0);
    reference_send_flush(m);
}

/* False: time was up. */
static bool prepare(Sim *m)
{
    while (BESIDE && m->postcopy->pongs == 0 && !reference_over(m)) {
        wait_for_answer(m);
    }
    if (BESIDE) {
        reference_spend(m, m->s->host.connect + 2 * m->s->link.latency);
    }
    if (m->v >= V(10, 2)) {
        reference_send(m, 5);
        if (HAS(MULTIFD) && !reference_multifd_sync(m)) {
            return false;
        }
        reference_send(m, 8);
        reference_send_flush(m);
        reference_send(m, 5);
    }
    return !reference_over(m);
}

void reference_postcopy_run(Sim *m, uint64_t devices)
{
    ReferencePostcopy *p = m->postcopy;
    if (!prepare(m)) {
        return;
    }
    int64_t began = MS;
    reference_stop(m);
    reference_send(m, m->v >= V(10, 0) ? 5 : 0);
    reference_sync(m, m->v < V(11, 0));
    m->last_sent = UINT64_MAX;
    m->position = 0;
    discard(m);
    reference_postcopy_ping(m, 2);
    reference_spend(m, m->s->host.devices);
    if (reference_over(m)) {
        return;
    }
    send_package(m, devices);
    int64_t downtime = MS - began;
    reference_postcopy_ping(m, 4);
    reference_send_flush(m);
    m->unlimited = false;
    m->pushing = true;
    bool through = false;
    while (!reference_over(m) && !through) {
        bool few = m->dirty == 0 || (m->v < V(10, 2) && m->dirty * PAGE < m->threshold);
        if (reference_exceeded(m) || (!few && push(m, false))) {
            reference_wait_window(m);
        } else if (few && m->v >= V(10, 2) && !p->loaded) {
            wait_for_answer(m);
        } else {
            through = few;
        }
    }
    m->unlimited = true;
    push(m, true);
    reference_send(m, 1);
    reference_postcopy_end(m);
    m->r->total = MS;
    m->r->downtime = downtime || m->v < V(9, 0) ? downtime : MS - began;
}

/* Setup --------------------------------------------------------------------------------------- */

static void look_at_passes(Sim *m, uint64_t after)
{
    m->postcopy->wanted |= m->r->syncs > after;
    if (!m->postcopy->wanted) {
        reference_later(m, m->now + m->s->poll, look_at_passes, after);
    }
}

static void is_wanted(Sim *m, uint64_t unused)
{
    (void)unused;
    m->postcopy->wanted = true;
}

bool reference_postcopy_wanted(const Sim *m)
{
    return m->postcopy && m->postcopy->wanted;
}

void reference_postcopy_open(Sim *m)
{
    bool starts = false;
    m->postcopy = g_new0(ReferencePostcopy, 1);
    m->postcopy->asked_block = m->postcopy->urgent_block = UINT64_MAX;
    m->postcopy->vcpus = g_new0(Vcpu, VCPUS);
    m->postcopy->requests = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    m->postcopy->items[0] = g_array_new(FALSE, FALSE, sizeof(Item));
    m->postcopy->items[1] = g_array_new(FALSE, FALSE, sizeof(Item));
    reference_link_init_back(&m->postcopy->back, &m->s->link, m->s->limit);
    for (guint i = 0; i < m->s->events->len; i++) {
        const MigScenarioEvent *e = &g_array_index(m->s->events, MigScenarioEvent, i);
        if (e->action == MIG_ACTION_START_POSTCOPY && e->has_at) {
            reference_later(m, e->at, is_wanted, 0);
        } else if (e->action == MIG_ACTION_START_POSTCOPY) {
            reference_later(m, m->s->poll, look_at_passes, e->after_pass);
        }
        starts |= e->action == MIG_ACTION_START_POSTCOPY;
    }
    if (!starts && !PREEMPT) { /* nobody will miss it */
        reference_postcopy_close(m);
    }
}

void reference_postcopy_close(Sim *m)
{
    g_array_unref(m->postcopy->requests);
    g_array_unref(m->postcopy->items[0]);
    g_array_unref(m->postcopy->items[1]);
    reference_link_clear(&m->postcopy->back);
    g_free(m->postcopy->vcpus);
    g_clear_pointer(&m->postcopy, g_free);
}
