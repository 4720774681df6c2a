/* SPDX-License-Identifier: Apache-2.0 */
/* The plain simulator, see reference.h. Times are ns, those of loops ms; pages cost ps. */
#include "tests/unit/reference.h"

#include "sim/world/prng.h"

#define PAGE     4096u
#define V(a, b)  ((a) << 8 | (b))
#define HAS(cap) (m->s->capabilities & MIG_CAP_BIT(MIG_CAP_##cap))
#define MS       (m->now / 1000000)

enum { DIRTY = 1, LOGGED = 2, REPORTED = 4, ZERO = 8, TOUCHED = 16 };

typedef struct Writer {
    const MigWorkload *w;
    uint64_t key, number, turn, first; /* the last: its first page, of all pages */
    int64_t origin, free;
} Writer;

typedef struct Sim {
    const MigScenario *s;
    const MigParameters *p;
    Reference *r;
    MigVersion v;
    int64_t now, nap, busy_since, receiver, window, last_rate, forced;
    uint8_t *pages; /* of all blocks, one behind the other */
    Writer *writers;
    GArray *written; /* bytes up to and with a write, and when the receiver has worked on it */
    uint64_t count, position, block, dirty, new_dirty, rate, uncleared; /* bits */
    bool stopped, open, unlimited;
    unsigned throttle, strikes;
    uint64_t copied, vectors, pending, waiting, flushed, busy_bytes, accepted; /* the channel */
    uint64_t cost, charged, work, given, ram_bytes, period_bytes, window_bytes, threshold, idle;
} Sim;

static const MigScenarioBlock *block_at(const Sim *m, uint64_t i)
{
    return &g_array_index(m->s->blocks, MigScenarioBlock, i);
}

/* An operation can't begin any more. */
static bool over(Sim *m)
{
    return m->r->limit = m->r->limit || m->now > m->s->limit;
}

static int64_t next_write(const Writer *w)
{
    return MAX(w->origin + (int64_t)(w->turn * 1000000000 / w->w->rate), w->free);
}

/* All writes up to |until|, in their order. */
static void run_guest(const Sim *m, int64_t until)
{
    for (Writer *w = m->writers;; w = m->writers) {
        for (guint i = 1; i < m->s->workloads->len; i++) {
            w = next_write(&m->writers[i]) < next_write(w) ? &m->writers[i] : w;
        }
        if (m->s->workloads->len == 0 || next_write(w) > until) {
            return;
        }
        uint64_t n = w->number++, random = mig_prng_at(w->key, n), size = w->w->pages;
        bool scattered = w->w->pattern == MIG_PATTERN_RANDOM;
        n = scattered ? (uint64_t)((__uint128_t)random * size >> 64) : n % size;
        m->pages[w->first + n] &= (uint8_t)~ZERO;
        m->pages[w->first + n] |= LOGGED | (w->w->write == MIG_WRITE_FILL ? ZERO : 0);
        w->free = next_write(w) + w->w->cost;
        w->turn = (w->turn + 1) % w->w->rate;
        w->origin += w->turn ? 0 : 1000000000;
    }
}

static void guest_at(Sim *m)
{
    int64_t length = 10000000ll * m->throttle / (100 - m->throttle);
    for (; !m->stopped && m->throttle && m->nap <= m->now; m->nap += length + 10000000) {
        run_guest(m, m->nap);
        for (Writer *w = m->writers; w < m->writers + m->s->workloads->len; w++) {
            int64_t due = w->origin + (int64_t)(w->turn * 1000000000 / w->w->rate);
            bool cpu = w->w->pace == MIG_PACE_CPU;
            int64_t nap = length + MIN(m->s->host.wake, 10000000);
            w->origin += cpu ? nap : MAX(m->nap + nap - due - w->w->catch_up, 0);
            w->free = MAX(w->free, m->nap) + nap;
        }
    }
    run_guest(m, m->stopped ? -1 : m->now);
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
    uint64_t *w = (uint64_t *)(void *)m->written->data;
    bool enough = n == 0 || m->accepted + n <= room;
    for (guint i = 0; !enough && i < m->written->len; i += 2) {
        m->now = MAX(m->now, (int64_t)w[i + 1]);
        enough = w[i] >= m->accepted + n - room;
    }
    bool idle = n > 0 && m->now >= departs(m, m->busy_bytes);
    m->busy_since = idle ? m->now : m->busy_since;
    m->busy_bytes = (idle ? 0 : m->busy_bytes) + n;
    m->accepted += n;
    m->flushed += n;
    m->waiting -= n;
    m->receiver = n ? MAX(departs(m, m->busy_bytes) + c->latency, m->receiver) : m->receiver;
    m->receiver += n ? (int64_t)(m->work / 1000 - m->given) : 0;
    m->given = n ? m->work / 1000 : m->given;
    g_array_append_vals(m->written, ((uint64_t[]){ m->accepted, (uint64_t)m->receiver }), 2);
    bool full = n > 0 && m->busy_bytes > c->send_buffer;
    m->now = full ? MAX(m->now, departs(m, m->busy_bytes - c->send_buffer)) : m->now;
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

static void send(Sim *m, uint64_t n, bool flush)
{
    over(m) ? (void)0 : put(m, n, 0, flush);
}

static uint64_t shown(const Sim *m)
{
    return m->v >= V(8, 1) ? m->flushed : m->ram_bytes;
}

static uint64_t used(const Sim *m)
{
    return (m->v >= V(1, 6) && m->v < V(8, 1) ? m->r->queued : m->flushed) - m->window_bytes;
}

static bool exceeded(const Sim *m)
{
    uint64_t quota = m->unlimited ? 0 : m->p->max_bandwidth / 10;
    return quota && used(m) + (m->v < V(1, 6)) > quota;
}

static void converge(Sim *m)
{
    uint64_t allowed = (shown(m) - m->period_bytes) * m->p->throttle_trigger_threshold / 100;
    unsigned strikes = m->v < V(2, 5) ? 6 : m->v < V(3, 0) ? 3 : 2;
    bool rated = m->v < V(2, 5) || m->v >= V(3, 0) || m->rate;
    if (HAS(AUTO_CONVERGE) && rated && m->new_dirty * PAGE > allowed && ++m->strikes == strikes) {
        uint64_t more = MIN(m->throttle + m->p->cpu_throttle_increment, m->p->max_cpu_throttle);
        m->strikes = 0;
        m->nap = m->throttle ? m->nap : m->now;
        more = m->throttle ? more : m->p->cpu_throttle_initial;
        m->throttle = m->v < V(2, 5) ? 75 : (unsigned)more;
    }
}

static void sync_log(Sim *m, bool counts)
{
    uint64_t fresh = 0;
    bool manual = m->s->tracking == MIG_TRACKING_KVM_MANUAL && m->v >= V(4, 2);
    m->last_rate = m->last_rate ? m->last_rate : MAX(MS, 1);
    if (over(m)) {
        return;
    }
    m->now += m->s->host.sync_base + (int64_t)(m->s->host.sync_gib * m->count * PAGE >> 30);
    guest_at(m);
    for (uint8_t *p = m->pages; p < m->pages + m->count; p++) {
        fresh += *p & LOGGED && !(*p & DIRTY);
        *p |= *p & LOGGED ? DIRTY | REPORTED : 0;
        *p &= (uint8_t) ~(manual ? 0 : LOGGED | REPORTED);
    }
    m->uncleared = manual ? ~0ull : 0;
    m->dirty += fresh;
    m->new_dirty += fresh;
    if (MS > m->last_rate + 1000) {
        converge(m);
        m->rate = m->new_dirty * 1000 / (uint64_t)(MS - m->last_rate);
        m->last_rate = MS;
        m->new_dirty = 0;
        m->period_bytes = shown(m);
    }
    m->r->syncs += counts;
    ReferencePass p = { m->now, m->r->syncs, fresh, m->dirty * PAGE, shown(m), m->throttle };
    g_array_append_val(m->r->passes, p);
}

static uint64_t end_of(const Sim *m, uint64_t block)
{
    uint64_t end = 0;
    for (uint64_t b = 0; b <= block; b++) {
        end += block_at(m, b)->size / PAGE;
    }
    return end;
}

/* The block of the page at the position. */
static uint64_t block_here(const Sim *m)
{
    uint64_t b = 0;
    while (end_of(m, b) <= m->position) {
        b++;
    }
    return b;
}

static void send_page(Sim *m)
{
    const MigCosts *c = &m->s->host, *rc = &m->s->destination_host;
    uint64_t block = block_here(m);
    uint64_t name = block == m->block ? 0 : 1 + strlen(block_at(m, block)->name);
    uint64_t queued = m->r->queued;
    uint8_t *p = &m->pages[m->position++];
    guest_at(m);
    bool zero = *p & ZERO;
    int64_t page = rc->receive_page + (*p & TOUCHED ? 0 : rc->first_touch);
    m->work += (uint64_t)(zero ? rc->receive_zero : page);
    m->cost += (uint64_t)(zero ? c->zero_page : c->normal_page);
    m->now += (int64_t)(m->cost / 1000 - m->charged);
    m->charged = m->cost / 1000;
    put(m, 8 + name + zero, zero ? 0 : PAGE, false);
    *p = (uint8_t)((*p & ~DIRTY) | (zero ? 0 : TOUCHED));
    m->dirty--;
    *(zero ? &m->r->duplicate : &m->r->normal) += 1;
    m->ram_bytes += m->r->queued - queued;
    m->block = block;
}

/* The log of a block is one chunk, which is cleared in front of its first page. */
static void clear_log(Sim *m)
{
    uint64_t block = block_here(m);
    uint8_t *end = m->pages + end_of(m, block), *p = end - block_at(m, block)->size / PAGE;
    if (m->uncleared >> block & 1) {
        m->uncleared &= ~(1ull << block);
        m->now += m->s->host.clear_chunk;
        guest_at(m);
        for (; p < end; p++) {
            *p &= (uint8_t) ~(*p & REPORTED ? LOGGED | REPORTED : 0);
        }
    }
}

static void section(Sim *m, bool final)
{
    int64_t began = m->now;
    bool late = false;
    send(m, 5, false);
    final ? sync_log(m, m->v < V(11, 0)) : (void)0;
    for (uint64_t i = 0; m->dirty && !late && !exceeded(m); i++) {
        while (m->position == m->count || !(m->pages[m->position] & DIRTY)) {
            m->position = m->position == m->count ? 0 : m->position + 1;
        }
        over(m) ? (void)0 : clear_log(m);
        if (over(m)) {
            return;
        }
        send_page(m);
        late = !final && i % 64 == 0 && (m->now - began) / 1000000 > 50;
    }
    bool searched = !m->dirty && !late && !exceeded(m); /* to the end of the block, in vain */
    m->position = searched ? end_of(m, m->block) : m->position;
    m->ram_bytes += final ? 0 : 8;
    send(m, 8, true);
    send(m, m->v >= V(2, 4) ? 5 : 0, false);
}

static void close_window(Sim *m, int64_t at)
{
    uint64_t bytes = used(m), span = (uint64_t)(at - m->window);
    double rate = m->v < V(2, 5) ? (double)(bytes / span) : (double)bytes / (double)span;
    m->threshold = (uint64_t)(rate * (double)m->p->downtime_limit);
    m->window = at;
    m->window_bytes += bytes;
}

/* The rate limit, and the timer of auto-converge. */
static void wait_window(Sim *m)
{
    for (bool waits = true; waits; waits = !over(m) && exceeded(m)) {
        bool due = m->forced && MS >= m->forced;
        bool syncs = due && m->r->syncs > 1 && m->idle == m->r->syncs;
        m->idle = due ? m->r->syncs + syncs : m->idle;
        m->forced = due ? MS + 5000 : m->forced;
        syncs ? sync_log(m, true) : (void)0;
        MS >= m->window + 100 ? close_window(m, MS) : (void)0;
        int64_t tick = m->forced ? MAX(m->forced, MS) : INT64_MAX;
        bool sleeps = !over(m) && exceeded(m);
        int64_t span = (MIN(m->window + 100, tick) - MS) * 1000000 + m->s->host.wake;
        m->now += sleeps ? span : 0;
    }
}

/* Until 1.5: behind each turn, which began at |head|, what the window leaves is written. */
static void write_buffer(Sim *m, int64_t head)
{
    head >= m->window + 100 ? close_window(m, head) : (void)0;
    int64_t span = (m->window + 100 - head) * 1000000 + m->s->host.wake;
    m->now += exceeded(m) && !over(m) ? span : 0;
    uint64_t quota = m->p->max_bandwidth / 10;
    over(m) ? (void)0 : write_out(m, quota ? MAX(quota, used(m)) - used(m) : UINT64_MAX);
}

/* A turn of the loop; false: it is time to complete. */
static bool turn(Sim *m)
{
    int64_t head = MS;
    uint64_t at = m->v >= V(10, 2); /* at the threshold, too */
    if (!exceeded(m)) {
        bool always = m->v >= V(11, 0) && (HAS(POSTCOPY_RAM) || m->dirty * PAGE == m->threshold);
        always || m->dirty *PAGE < m->threshold ? sync_log(m, true) : (void)0;
        if (m->dirty == 0 || m->dirty * PAGE < m->threshold + at) {
            return false;
        }
        section(m, false);
    }
    (m->v < V(1, 6)) ? write_buffer(m, head) : wait_window(m);
    return true;
}

static void setup(Sim *m, bool returns)
{
    uint64_t names = 0;
    for (guint b = 0; b < m->s->blocks->len; b++) {
        names += 9 + strlen(block_at(m, b)->name);
    }
    m->now = m->s->host.connect + 2 * m->s->link.latency;
    m->window = MS;
    m->forced = HAS(AUTO_CONVERGE) && m->v >= V(10, 0) ? MS + 5000 : 0;
    uint64_t commands = (returns ? 14 : 0) + (HAS(POSTCOPY_RAM) ? 21 : 0);
    send(m, 8 + (m->v >= V(2, 4) ? 9 : 0) + commands + 17, false);
    m->now += m->s->host.setup;
    guest_at(m);
    for (uint64_t i = 0; i < m->count; i++) {
        m->pages[i] = (m->pages[i] & ZERO) | DIRTY;
    }
    m->dirty = m->count;
    sync_log(m, true);
    send(m, 8 + names + 8, true);
    send(m, m->v >= V(2, 4) ? 5 : 0, false);
}

static void complete(Sim *m, uint64_t tail, bool returns)
{
    int64_t began = MS;
    m->now += m->s->host.stop;
    guest_at(m);
    m->stopped = m->unlimited = true;
    send(m, m->v >= V(10, 0) ? 5 : 0, false);
    section(m, true);
    m->now += over(m) ? 0 : m->s->host.devices;
    send(m, tail, true);
    over(m) ? (void)0 : write_out(m, UINT64_MAX);
    int64_t answer = m->receiver + m->s->link.latency + departs(m, 8) - m->busy_since;
    answer = MAX(m->now, answer + m->s->destination_host.load_devices);
    m->now = returns && !over(m) ? answer : m->now;
    m->r->total = MS;
    m->r->downtime = MS - began;
}

/* Blocks with one range of random content, others zero. */
static void begin(Sim *m)
{
    for (guint i = 0; i < m->s->blocks->len; i++) {
        uint64_t pages = block_at(m, i)->size / PAGE, key = mig_prng_key(m->s->seed, "content", i);
        const MigContent *c = &g_array_index(block_at(m, i)->content, MigContent, 0);
        for (guint w = 0; w < m->s->workloads->len; w++) {
            const MigWorkload *load = &g_array_index(m->s->workloads, MigWorkload, w);
            if (load->block == i) {
                m->writers[w] = (Writer){ .w = load, .first = m->count + load->first };
                m->writers[w].key = mig_prng_key(m->s->seed, "workload-page", w);
            }
        }
        m->pages = g_realloc(m->pages, m->count + pages);
        for (uint64_t p = 0; p < pages; p++) {
            bool left = mig_content_zeros(key, p / 64, c->zeros) >> p % 64 & 1;
            bool zero = left || p < c->first || p >= c->first + c->pages;
            m->pages[m->count++] = zero ? ZERO : 0;
        }
    }
}

void reference_run(const MigScenario *s, const MigParameters *p, uint64_t tail, Reference *r)
{
    Sim sim = { .s = s, .p = p, .r = r, .v = s->version, .block = UINT64_MAX }, *m = &sim;
    bool returns = HAS(POSTCOPY_RAM) || HAS(RETURN_PATH);
    *r = (Reference){ .passes = g_array_new(FALSE, FALSE, sizeof(ReferencePass)) };
    m->written = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    m->writers = g_new0(Writer, s->workloads->len);
    begin(m);
    setup(m, returns);
    while (!over(m) && turn(m)) {
    }
    over(m) ? (void)0 : complete(m, tail, returns);
    r->limit = over(m);
    r->now = m->now;
    r->transferred = shown(m);
    g_array_unref(m->written);
    g_free(m->writers);
    g_free(m->pages);
}
