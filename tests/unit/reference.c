/* SPDX-License-Identifier: Apache-2.0 */
/* The plain simulator, see reference.h. Times are ns, those of loops ms; pages cost ps. */
#include "tests/unit/reference.h"

#include "tests/unit/reference-xbzrle.h"

#define PAGE     REFERENCE_PAGE
#define V(a, b)  ((a) << 8 | (b))
#define HAS(cap) (m->s->capabilities & MIG_CAP_BIT(MIG_CAP_##cap))
#define MS       (m->now / 1000000)
#define BLOCK(i) g_array_index(m->s->blocks, MigScenarioBlock, i)

/* What is shown as transferred; what counts against the quota; and when that is used up. */
#define SHOWN        (m->v >= V(8, 1) ? m->accepted : m->ram_bytes)
#define USED         ((m->v < V(1, 6) || m->v >= V(8, 1) ? m->accepted : m->r->queued) - m->counted)
#define QUOTA        (m->guest.stopped ? 0 : m->p->max_bandwidth / 10)
#define SEND(n, all) (over(m) ? (void)0 : put(m, n, 0, all))
#define EXCEEDED     (QUOTA && USED + (m->v < V(1, 6)) > QUOTA)

typedef struct Sim {
    const MigScenario *s;
    const MigParameters *p;
    Reference *r;
    MigVersion v;
    int64_t now, busy_since, receiver, window, last_rate, forced, cost, work; /* the last two: ps */
    ReferenceGuest guest;
    ReferenceXbzrle xbzrle;
    GArray *written; /* bytes up to and with a write, and when the receiver has worked on it */
    uint64_t position, block, dirty, new_dirty, rate, uncleared; /* bits */
    bool open, round_done;
    uint64_t copied, vectors, pending, waiting, busy_bytes, accepted; /* the channel */
    uint64_t ram_bytes, period_bytes, counted, threshold, idle, strikes;
} Sim;

/* An operation can't begin any more. */
static bool over(Sim *m)
{
    return m->r->limit = m->r->limit || m->now > m->s->limit;
}

/* The link: when the first |n| bytes of a busy period have left. */
static int64_t departs(const Sim *m, uint64_t n)
{
    bool framed = m->s->link.framing == MIG_FRAMING_ETHERNET_TCP;
    __uint128_t down = (__uint128_t)m->s->link.bandwidth * (framed ? 1448 : 1);
    __uint128_t up = (__uint128_t)n * (framed ? 1538 : 1) * 8000000000;
    return m->busy_since + (int64_t)((up + down - 1) / down);
}

static void write_out(Sim *m, uint64_t limit)
{
    const MigLinkConfig *c = &m->s->link;
    uint64_t flight = c->bandwidth / 8 * (uint64_t)c->latency / 1000000000;
    uint64_t room = c->send_buffer + c->receive_buffer + flight, n = MIN(m->waiting, limit);
    const uint64_t *w = (uint64_t *)(void *)m->written->data;
    bool enough = m->accepted + n <= room;
    for (guint i = 0; n > 0 && !enough && i < m->written->len; i += 2) {
        m->now = MAX(m->now, (int64_t)w[i + 1]);
        enough = w[i] >= m->accepted + n - room;
    }
    bool idle = m->now >= departs(m, m->busy_bytes);
    m->busy_since = idle ? m->now : m->busy_since;
    m->busy_bytes = (idle ? 0 : m->busy_bytes) + n;
    m->accepted += n;
    m->waiting -= n;
    if (n > 0) {
        m->receiver = MAX(departs(m, m->busy_bytes) + c->latency, m->receiver) + m->work / 1000;
        m->work %= 1000;
        g_array_append_vals(m->written, ((uint64_t[]){ m->accepted, (uint64_t)m->receiver }), 2);
        bool full = m->busy_bytes > c->send_buffer;
        m->now = full ? MAX(m->now, departs(m, m->busy_bytes - c->send_buffer)) : m->now;
    }
}

/* |n| copied bytes, then |page| bytes by reference; what is full, or all, goes to the channel. */
static void put(Sim *m, uint64_t n, uint64_t page, bool flush)
{
    m->r->queued += n + page;
    for (uint64_t i = 0; i <= n; i++) {
        bool copied = i < n, referred = !copied && page;
        m->vectors += referred || (copied && !m->open);
        m->open = copied || (m->open && !referred);
        m->copied += copied;
        m->pending += copied ? 1 : page;
        if (m->vectors == 64 || m->copied == 32768 || (!copied && flush)) {
            m->waiting += m->pending;
            m->copied = m->vectors = m->pending = m->open = 0;
            write_out(m, m->v < V(1, 6) ? 0 : UINT64_MAX);
        }
    }
}

static void converge(Sim *m)
{
    const MigParameters *p = m->p;
    uint64_t allowed = (SHOWN - m->period_bytes) * p->throttle_trigger_threshold / 100;
    unsigned strikes = m->v < V(2, 5) ? 6 : m->v < V(3, 0) ? 3 : 2, cpu = 100 - m->guest.throttle;
    bool rated = m->v < V(2, 5) || m->v >= V(3, 0) || m->rate;
    if (HAS(AUTO_CONVERGE) && rated && m->new_dirty * PAGE > allowed && ++m->strikes == strikes) {
        uint64_t slow = cpu - (uint64_t)(cpu * ((double)allowed / (double)(m->new_dirty * PAGE)));
        uint64_t most = p->cpu_throttle_increment;
        uint64_t more = m->guest.throttle + (p->cpu_throttle_tailslow ? MIN(slow, most) : most);
        m->strikes = 0;
        m->guest.nap = m->guest.throttle ? m->guest.nap : m->now;
        more = m->guest.throttle ? MIN(more, p->max_cpu_throttle) : p->cpu_throttle_initial;
        m->guest.throttle = m->v < V(2, 5) ? 75 : (unsigned)more;
    }
}

static void sync_log(Sim *m, bool counts)
{
    bool manual = m->s->tracking == MIG_TRACKING_KVM_MANUAL && m->v >= V(4, 2);
    m->last_rate = m->last_rate ? m->last_rate : MAX(MS, 1);
    if (over(m)) {
        return;
    }
    m->now += m->s->host.sync_base + (int64_t)(m->s->host.sync_gib * m->guest.count * PAGE >> 30);
    reference_guest_at(&m->guest, m->now);
    uint64_t fresh = reference_guest_sync(&m->guest, manual);
    m->uncleared = manual ? ~0ull : 0;
    m->dirty += fresh;
    m->new_dirty += fresh;
    if (MS > m->last_rate + 1000) {
        converge(m);
        m->rate = m->new_dirty * 1000 / (uint64_t)(MS - m->last_rate);
        m->last_rate = MS;
        m->new_dirty = 0;
        m->period_bytes = SHOWN;
    }
    m->r->syncs += counts;
    ReferencePass p = { m->now, m->r->syncs, fresh, m->dirty * PAGE, SHOWN, m->guest.throttle };
    g_array_append_val(m->r->passes, p);
}

/* False: it had not changed, and nothing was sent. */
static bool send_page(Sim *m, uint64_t number, const MigCosts *c, const MigCosts *rc)
{
    ReferencePage *p = &m->guest.pages[number];
    uint64_t name = p->block == m->block ? 0 : 1 + strlen(BLOCK(p->block).name);
    uint64_t queued = m->r->queued;
    reference_guest_at(&m->guest, m->now);
    bool copied = HAS(XBZRLE) && m->round_done;
    int delta = copied ? reference_xbzrle_page(&m->xbzrle, &m->guest, number, m->r->syncs) : -1;
    int64_t look = copied ? c->xbzrle_page : 0, copy = delta < 0 ? c->normal_page : 0;
    int64_t page = rc->receive_page + (p->touched || copied ? 0 : rc->first_touch);
    m->cost += p->zero ? c->zero_page : look + copy;
    m->now += m->cost / 1000;
    m->cost %= 1000;
    m->dirty--;
    p->dirty = false;
    if (delta == 0) {
        return false;
    }
    uint64_t n = delta > 0 ? 3 + (uint64_t)delta : p->zero ? 1 : copied ? PAGE : 0;
    m->work += p->zero ? rc->receive_zero : delta > 0 ? rc->receive_delta : page;
    put(m, 8 + name + n, n ? 0 : PAGE, false);
    m->r->duplicate += p->zero;
    m->r->normal += !p->zero && delta < 0;
    m->ram_bytes += m->r->queued - queued;
    m->block = p->block;
    p->touched |= n == 0;
    return true;
}

static void section(Sim *m, bool final)
{
    int64_t began = m->now;
    bool late = false;
    SEND(5, false);
    final ? sync_log(m, m->v < V(11, 0)) : (void)0;
    for (uint64_t i = 0; m->dirty && !late && !EXCEEDED;) {
        while (m->position == m->guest.count || !m->guest.pages[m->position].dirty) {
            m->round_done |= m->position == m->guest.count;
            m->position = m->position == m->guest.count ? 0 : m->position + 1;
        }
        uint64_t block = m->guest.pages[m->position].block;
        if (m->uncleared >> block & 1 && !over(m)) { /* a block's log is one chunk */
            m->uncleared &= ~(1ull << block);
            m->now += m->s->host.clear_chunk;
            reference_guest_at(&m->guest, m->now);
            reference_guest_clear_log(&m->guest, block);
        }
        if (over(m)) {
            return;
        }
        bool sent = send_page(m, m->position++, &m->s->host, &m->s->destination_host);
        late = sent && !final && i % 64 == 0 && (m->now - began) / 1000000 > 50;
        i += sent;
    }
    bool vain = !m->dirty && !late && !EXCEEDED; /* it searched to the end of the block */
    m->round_done |= vain;
    while (vain && m->position < m->guest.count && m->guest.pages[m->position].block == m->block) {
        m->position++;
    }
    m->ram_bytes += final ? 0 : 8;
    SEND(8, true);
    SEND(m->v >= V(2, 4) ? 5 : 0, false);
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
static void wait_window(Sim *m)
{
    for (bool waits = true; waits; waits = !over(m) && EXCEEDED) {
        bool fires = m->forced && MS >= m->forced;
        bool syncs = fires && m->r->syncs > 1 && m->idle == m->r->syncs;
        m->idle = fires ? m->r->syncs + syncs : m->idle;
        m->forced = fires ? MS + 5000 : m->forced;
        syncs ? sync_log(m, true) : (void)0;
        MS >= m->window + 100 ? close_window(m, MS) : (void)0;
        int64_t until = MIN(m->window + 100, m->forced ? MAX(m->forced, MS) : INT64_MAX);
        m->now += !over(m) && EXCEEDED ? (until - MS) * 1000000 + m->s->host.wake : 0;
    }
}

/* A turn of the loop; false: it is time to complete. */
static bool turn(Sim *m)
{
    int64_t head = MS;
    if (!EXCEEDED) {
        bool always = m->v >= V(11, 0) && (HAS(POSTCOPY_RAM) || m->dirty * PAGE == m->threshold);
        always || m->dirty *PAGE < m->threshold ? sync_log(m, true) : (void)0;
        if (m->dirty == 0 || m->dirty * PAGE < m->threshold + (m->v >= V(10, 2))) {
            return false;
        }
        section(m, false);
    }
    if (m->v >= V(1, 6)) {
        wait_window(m);
        return true;
    }
    head >= m->window + 100 ? close_window(m, head) : (void)0; /* and what it leaves is written */
    m->now += EXCEEDED && !over(m) ? (m->window + 100 - head) * 1000000 + m->s->host.wake : 0;
    over(m) ? (void)0 : write_out(m, QUOTA ? MAX(QUOTA, USED) - USED : UINT64_MAX);
    return true;
}

/* From setup to the end. |tail|: bytes of the devices. */
static void migrate(Sim *m, uint64_t tail)
{
    bool returns = HAS(POSTCOPY_RAM) || HAS(RETURN_PATH), footers = m->v >= V(2, 4);
    uint64_t list = 16;
    for (guint b = 0; b < m->s->blocks->len; b++) {
        list += 9 + strlen(BLOCK(b).name);
    }
    m->now = m->s->host.connect + 2 * m->s->link.latency;
    m->window = MS;
    m->forced = HAS(AUTO_CONVERGE) && m->v >= V(10, 0) ? MS + 5000 : 0;
    SEND(25 + (footers ? 9 : 0) + (returns ? 14 : 0) + (HAS(POSTCOPY_RAM) ? 21 : 0), false);
    m->now += m->s->host.setup;
    reference_guest_at(&m->guest, m->now);
    reference_guest_start_log(&m->guest);
    m->dirty = m->guest.count;
    sync_log(m, true);
    SEND(list, true);
    SEND(footers ? 5 : 0, false);
    while (!over(m) && turn(m)) {
    }
    if (over(m)) {
        return;
    }
    int64_t began = MS;
    m->now += m->s->host.stop;
    reference_guest_at(&m->guest, m->now);
    m->guest.stopped = true;
    SEND(m->v >= V(10, 0) ? 5 : 0, false);
    section(m, true);
    m->now += over(m) ? 0 : m->s->host.devices;
    SEND(tail, true);
    over(m) ? (void)0 : write_out(m, UINT64_MAX);
    int64_t answer = m->receiver + m->s->link.latency + departs(m, 8) - m->busy_since;
    answer = MAX(m->now, answer + m->s->destination_host.load_devices);
    m->now = returns && !over(m) ? answer : m->now;
    m->r->total = MS;
    m->r->downtime = MS - began;
}

void reference_run(const MigScenario *s, const MigParameters *p, uint64_t tail, Reference *r)
{
    Sim sim = { .s = s, .p = p, .r = r, .v = s->version, .block = UINT64_MAX }, *m = &sim;
    *r = (Reference){ .passes = g_array_new(FALSE, FALSE, sizeof(ReferencePass)) };
    m->written = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    reference_guest_init(&m->guest, s);
    reference_xbzrle_init(&m->xbzrle, p->xbzrle_cache_size);
    migrate(m, tail);
    r->limit = over(m);
    r->now = m->now;
    r->transferred = SHOWN;
    g_array_unref(m->written);
    reference_guest_clear(&m->guest);
    reference_xbzrle_clear(&m->xbzrle);
}
