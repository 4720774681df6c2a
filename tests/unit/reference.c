/* SPDX-License-Identifier: Apache-2.0 */
/* The plain simulator's loops, see reference.h. Times are ns, those of loops ms; pages cost ps. */
#include "tests/unit/reference-internal.h"

/* What is shown as transferred; what counts against the quota; and when that is used up. */
#define FILED    (m->written + m->beside + m->placed)
#define SHOWN    (m->v >= V(8, 1) ? FILED : m->ram_bytes)
#define COUNTER  (m->v < V(1, 6) || m->v >= V(8, 1) ? FILED : m->r->queued + m->handed)
#define USED     (COUNTER - m->counted)
#define LIMIT    (m->pushing ? m->p->max_postcopy_bandwidth : m->p->max_bandwidth)
#define QUOTA    (m->unlimited ? 0 : LIMIT / 10)
#define EXCEEDED (QUOTA && USED + (m->v < V(1, 6)) > QUOTA)

bool reference_exceeded(const Sim *m)
{
    return EXCEEDED;
}

void reference_sync(Sim *m, bool counts)
{
    bool manual = m->s->tracking == MIG_TRACKING_KVM_MANUAL && m->v >= V(4, 2);
    m->last_rate = m->last_rate ? m->last_rate : MAX(MS, 1);
    if (reference_over(m)) {
        return;
    }
    int64_t ns = m->s->host.sync_gib * (int64_t)(m->guest.count * PAGE) >> 30;
    reference_limit_spend(m, m->s->host.sync_base + ns);
    reference_guest_at(&m->guest, m->now);
    reference_guest_reap(&m->guest);
    uint64_t fresh = reference_guest_sync(&m->guest, manual);
    m->uncleared = manual ? ~0ull : 0;
    m->dirty += fresh;
    m->new_dirty += fresh;
    if (MS > m->last_rate + 1000) {
        reference_converge(m, SHOWN - m->period_bytes);
        m->rate = m->new_dirty * 1000 / (uint64_t)(MS - m->last_rate);
        m->last_rate = MS;
        m->new_dirty = 0;
        m->period_bytes = SHOWN;
    }
    m->r->syncs += counts;
    ReferencePass p = { m->now, m->r->syncs, fresh, m->dirty * PAGE, SHOWN, m->guest.throttle };
    g_array_append_val(m->r->passes, p);
}

/* The search has been round all blocks. False: time was up before all threads had finished. */
static bool end_round(Sim *m)
{
    bool packs = COMPRESSES && !PER_ROUND;
    m->round_done = true;
    return PER_ROUND ? reference_multifd_sync(m) : !packs || reference_compress_flush(m);
}

/* The next dirty page from the position on, or NULL. */
static ReferencePage *find(Sim *m)
{
    while (m->dirty > 0) {
        ReferencePage *p = &m->guest.pages[m->position];
        if (m->position == m->guest.count) {
            m->position = 0;
            end_round(m);
        } else if (p->dirty) {
            m->at_block = p->block;
            return p;
        } else {
            m->position++;
        }
    }
    while (m->position < m->guest.count && m->guest.pages[m->position].block == m->at_block) {
        m->position++; /* it ends at the end of the block */
    }
    return NULL;
}

/* A block's log is one chunk, which is cleared when its first page goes. */
static void clear_log(Sim *m, uint64_t block)
{
    if (m->uncleared >> block & 1 && !reference_over(m)) {
        m->uncleared &= ~(1ull << block);
        reference_spend(m, m->s->host.clear_chunk);
        reference_guest_at(&m->guest, m->now);
        reference_guest_clear_log(&m->guest, block);
    }
}

/* Pages until quota, time or dirt ends. False: all time was up. */
static bool send_pages(Sim *m, bool final)
{
    int64_t began = m->now;
    bool late = false, unchanged = false;
    for (uint64_t i = 0; unchanged || (!late && !EXCEEDED);) {
        reference_snapshot_jump(m);
        ReferencePage *p = find(m);
        m->vain = !p;
        if (!p) {
            return end_round(m);
        }
        clear_log(m, p->block);
        if ((COMPRESSES && m->last_sent != p->block && !reference_compress_flush(m)) ||
            (HAS(MULTIFD) && !(HAS(XBZRLE) && m->round_done) &&
             !reference_multifd_make_room(m, p->block)) ||
            reference_over(m)) {
            return false;
        }
        m->position++;
        ReferenceSent sent = reference_send_page(m, p);
        if (sent == NOT_SENT) {
            return false;
        }
        unchanged = sent == UNCHANGED;
        late = !unchanged && !final && i % 64 == 0 && (m->now - began) / 1000000 > 50;
        i += !unchanged;
    }
    return true;
}

/* Behind a section's pages. False: all time was up. */
static bool finish_pages(Sim *m, bool final)
{
    for (guint b = 0; final && HAS(MAPPED_RAM) && b < m->s->blocks->len; b++) {
        if (reference_over(m)) {
            return false;
        }
        reference_place(m, (BLOCK(b).size / PAGE + 63) / 64 * 8);
    }
    if (COMPRESSES && (final || m->v < V(3, 1))) {
        return reference_compress_flush(m);
    }
    return !HAS(MULTIFD) || PER_ROUND || reference_multifd_sync(m);
}

void reference_section(Sim *m, bool final)
{
    reference_send(m, 5);
    if (final) {
        reference_sync(m, m->v < V(11, 0));
    }
    if (send_pages(m, final) && finish_pages(m, final)) {
        m->ram_bytes += final ? 0 : 8;
        reference_send(m, 8);
        reference_send_flush(m);
        reference_send(m, m->v >= V(2, 4) ? 5 : 0);
    }
}

static void close_window(Sim *m, int64_t at)
{
    uint64_t bytes = USED, span = (uint64_t)(at - m->window);
    double rate = m->v < V(2, 5) ? (double)(bytes / span) : (double)bytes / (double)span;
    m->threshold = (uint64_t)(rate * (double)m->p->downtime_limit);
    m->window = at;
    m->counted += bytes;
}

/* The rate limit, and the timer of auto-converge. */
void reference_wait_window(Sim *m)
{
    for (bool waits = true; waits; waits = !reference_over(m) && EXCEEDED) {
        bool fires = m->forced && MS >= m->forced;
        bool syncs = fires && m->r->syncs > 1 && m->idle == m->r->syncs;
        m->idle = fires ? m->r->syncs + syncs : m->idle;
        m->forced = fires ? MS + 5000 : m->forced;
        if (syncs) {
            reference_sync(m, true);
        }
        if (MS >= m->window + 100) {
            close_window(m, MS);
        }
        int64_t until = MIN(m->window + 100, m->forced ? MAX(m->forced, MS) : INT64_MAX);
        if (EXCEEDED) {
            reference_sleep(m, (until - MS) * 1000000);
        }
    }
}

/* Nobody wants the switchover to wait. */
static bool may_switch(const Sim *m)
{
    const GArray *at = m->s->acks;
    guint wanted = m->v >= V(11, 1) ? at->len : MAX(at->len, 1), come = 0;
    if (at->len == 0) { /* when it hears of the return path */
        come = m->written > 0 && m->first_write + m->s->link.latency <= m->now;
    }
    for (guint i = 0; i < at->len; i++) {
        int64_t when = g_array_index(at, int64_t, i);
        come += when >= 0 && when + m->s->link.latency <= m->now;
    }
    return !HAS(SWITCHOVER_ACK) || come >= wanted;
}

typedef enum Turn { ITERATE, COMPLETE, SWITCH_OVER } Turn;

static Turn turn(Sim *m)
{
    int64_t head = MS;
    if (!EXCEEDED) {
        bool always = m->v >= V(11, 0) && (HAS(POSTCOPY_RAM) || m->dirty * PAGE == m->threshold);
        if (always || m->dirty * PAGE < m->threshold) {
            reference_sync(m, true);
        }
        bool ends = m->dirty == 0 || m->dirty * PAGE < m->threshold + (m->v >= V(10, 2));
        bool wanted = reference_postcopy_wanted(m), first = m->v < V(10, 2) || !wanted;
        if (may_switch(m) && (wanted || ends)) {
            return ends && first ? COMPLETE : SWITCH_OVER;
        }
        reference_section(m, false);
    }
    if (m->v >= V(1, 6)) {
        reference_wait_window(m);
        return ITERATE;
    }
    if (head >= m->window + 100) {
        close_window(m, head); /* and what it leaves is written */
    }
    if (EXCEEDED) {
        reference_sleep(m, (m->window + 100 - head) * 1000000);
    }
    if (!reference_over(m)) {
        reference_write(m, QUOTA ? MAX(QUOTA, USED) - USED : UINT64_MAX);
    }
    return ITERATE;
}

/* Until a monitor that looks every now and then has seen it, and lets it go on. */
static void wait_for_continue(Sim *m)
{
    int64_t at = (m->now / m->s->poll + 1) * m->s->poll;
    while (m->now < at && !reference_over(m)) {
        reference_spend(m, MIN(at - m->now, 100000000));
    }
}

void reference_stop(Sim *m)
{
    reference_limit_spend(m, m->s->host.stop);
    reference_guest_at(&m->guest, m->now);
    m->guest.stopped = true;
    m->stopped = m->now;
    if (HAS(PAUSE_BEFORE_SWITCHOVER)) {
        wait_for_continue(m);
    }
    m->unlimited = true;
}

static void complete(Sim *m, bool returns, uint64_t tail)
{
    int64_t began = MS, load = m->s->destination_host.load_devices;
    reference_stop(m);
    reference_send(m, m->v >= V(10, 0) ? 5 : 0);
    reference_section(m, true);
    reference_spend(m, m->s->host.devices);
    reference_send(m, tail);
    m->postcopy ? reference_postcopy_end(m) : reference_send_flush(m);
    if (!reference_over(m)) {
        reference_write(m, UINT64_MAX);
    }
    if (returns && !m->postcopy) {
        int64_t at = reference_link_answer(&m->s->link, m->s->limit, m->link.receiver + load, 8);
        while (m->now < at && !reference_over(m)) { /* it asks again every second */
            reference_spend(m, MIN(at - m->now, 1000000000));
        }
    }
    m->r->total = MS;
    m->r->downtime = MS - began;
}

static void migrate(Sim *m, const ReferenceDevices *devices)
{
    bool returns = HAS(POSTCOPY_RAM) || HAS(RETURN_PATH) || HAS(SWITCHOVER_ACK);
    Turn next = ITERATE;
    reference_set_up(m, returns);
    if (HAS(BACKGROUND_SNAPSHOT)) {
        reference_snapshot_run(m, devices->tail);
        return;
    }
    while (!reference_over(m) && next == ITERATE) {
        next = turn(m);
    }
    if (next == COMPLETE && !reference_over(m)) {
        complete(m, returns, devices->tail);
    } else if (next == SWITCH_OVER && !reference_over(m)) {
        reference_postcopy_run(m, devices->packed);
    }
}

void reference_run(const MigScenario *s, const MigParameters *p, const ReferenceDevices *devices,
                   Reference *r)
{
    Sim sim = { .s = s, .p = p, .r = r, .v = s->version, .last_sent = UINT64_MAX }, *m = &sim;
    *r = (Reference){ .passes = g_array_new(FALSE, FALSE, sizeof(ReferencePass)) };
    reference_make(m);
    migrate(m, devices);
    reference_guest_at(&m->guest, m->now);
    r->limit = reference_over(m);
    r->now = m->now;
    r->transferred = SHOWN;
    r->limited = m->guest.limited;
    reference_clear(m);
}
