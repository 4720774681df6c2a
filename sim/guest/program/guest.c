/* SPDX-License-Identifier: Apache-2.0
 *
 * The dirtying guest: one processor, no interrupts, no devices but a serial port to say "ready" on.
 * It fills memory, then writes pages of its regions when they are due.
 *
 * Model. Every region has a due time, in time stamp counter ticks since "ready"; a write moves it
 * by 1/rate seconds. The guest looks at the clock before every write. A gap longer than stall_us
 * between two looks is a stall; with pace "cpu" the due time moves by it, with "clock" the missed
 * writes are made up for, up to catch_up_us. Which page write n goes to is a pure function
 * (guest-abi.h).
 *
 * Limits. Stopping the virtual machine is no stall where the time stamp counter stops with it
 * (TCG). A stall shorter than stall_us counts as run time. Regions take turns, one write each, so
 * that a region that is always due cannot starve another. The time stamp counter must be constant
 * and be carried over a migration (it is, by TCG and KVM). Intervals are kept in 1/4096 tick: 2^52
 * ticks, about 17 days at 3 GHz.
 */
#include "guest-abi.h"

enum {
    FRACTION = 12,
    PIT_HZ = 1193182,
    PIT_TICKS = 47727, /* 40 ms */
};

struct region_state {
    uint64_t due;      /* ticks << FRACTION */
    uint64_t interval; /* ticks << FRACTION */
    uint64_t catch_up; /* ticks << FRACTION */
    uint64_t period;   /* ticks << FRACTION */
    uint64_t round;    /* when this period began, ticks << FRACTION */
    uint32_t cost;     /* ticks */
    uint32_t turn;     /* n mod pages */
    uint32_t finished;
};

__attribute__((section(".parameters"), used))
const volatile struct mig_guest_parameters mig_guest_parameters = {
    .magic = MIG_GUEST_MAGIC,
    .version = MIG_GUEST_VERSION,
    .bytes = sizeof(struct mig_guest_parameters),
};

/* All mutable state: the linker puts the counters first, and all of it below the stack in one page.
 */
__attribute__((section(".counters"))) static struct mig_guest_counters counters;
static struct mig_guest_region region[MIG_GUEST_MAX_REGIONS]; /* out of the ROM */
static struct region_state state[MIG_GUEST_MAX_REGIONS];
static uint32_t region_count;
static uint64_t last_look; /* tsc */
static uint64_t next_beat; /* ticks << FRACTION */
static uint64_t stall_limit;

void mig_guest_main(void);

static inline void port_out(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t port_in(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* 64 by 32 bits in two steps of the processor's 64:32 division; there is no compiler library here.
 */
static uint64_t divide(uint64_t value, uint32_t by)
{
    uint32_t high = (uint32_t)(value >> 32), low = (uint32_t)value;
    uint32_t quotient_high = high / by, rest = high % by;
    __asm__("divl %2" : "+a"(low), "+d"(rest) : "r"(by) : "cc");
    return (uint64_t)quotient_high << 32 | low;
}

static void put_char(char c)
{
    for (int tries = 0; tries < 100000 && !(port_in(MIG_GUEST_SERIAL_PORT + 5) & 0x20); tries++) {
    }
    port_out(MIG_GUEST_SERIAL_PORT, (uint8_t)c);
}

static void put_text(const char *text)
{
    while (*text) {
        put_char(*text++);
    }
}

static void put_number(uint64_t value)
{
    char digits[20];
    int n = 0;
    do {
        uint64_t rest = divide(value, 10);
        digits[n++] = (char)('0' + (uint32_t)(value - rest * 10));
        value = rest;
    } while (value);
    while (n) {
        put_char(digits[--n]);
    }
}

/* Ticks per second, from the PIT's second channel in one-shot mode; 1 GHz where there is no PIT. */
static uint64_t measure_tsc(void)
{
    port_out(0x61, (uint8_t)((port_in(0x61) & ~2) | 1));
    port_out(0x43, 0xb0);
    port_out(0x42, PIT_TICKS & 0xff);
    port_out(0x42, PIT_TICKS >> 8);
    uint64_t start = tsc();
    uint32_t polls = 0;
    while (!(port_in(0x61) & 0x20)) {
        if (++polls == 100000000) {
            return 1000000000;
        }
    }
    uint64_t ticks = tsc() - start;
    return polls < 2 ? 1000000000 : divide(ticks * PIT_HZ, PIT_TICKS);
}

/* Microseconds as ticks. Bounded: 2^32 us times 2^32 Hz fits. */
static uint64_t from_us(uint32_t us)
{
    return divide((uint64_t)us * (uint32_t)divide(counters.tsc_hz, 1000), 1000);
}

static void fill(const volatile struct mig_guest_fill *f)
{
    volatile uint64_t *at = (volatile uint64_t *)(uintptr_t)f->offset;
    uint32_t words = (uint32_t)(f->length / 8), seed = f->seed, kind = f->kind;
    uint64_t repeat = (seed & 0xff) * UINT64_C(0x0101010101010101);
    for (uint32_t i = 0; i < words; i++) {
        at[i] = kind == MIG_GUEST_FILL_RANDOM ? mig_guest_mix(seed, i) : repeat;
    }
}

static void write_page(const struct mig_guest_region *r, uint32_t page, uint64_t number)
{
    uint8_t *at = (uint8_t *)(uintptr_t)(r->offset + (uint64_t)page * MIG_GUEST_PAGE_BYTES);
    if (r->write == MIG_GUEST_PAGE) {
        uint32_t word = (uint32_t)mig_guest_mix(number, 0);
        for (uint32_t i = 0; i < MIG_GUEST_PAGE_BYTES / 4; i++) {
            ((volatile uint32_t *)at)[i] = word;
            word = word * 1664525u + 1013904223u;
        }
    } else if (r->write == MIG_GUEST_BYTES) {
        uint32_t n = r->write_bytes;
        for (uint32_t i = 0; i < n; i++) {
            at[(i * MIG_GUEST_PAGE_BYTES) / n] += 1;
        }
    } else if (r->write == MIG_GUEST_ZERO) {
        for (uint32_t i = 0; i < MIG_GUEST_PAGE_BYTES / 8; i++) {
            ((volatile uint64_t *)at)[i] = 0;
        }
    } else if (r->write == MIG_GUEST_READ) {
        (void)*(volatile uint64_t *)at;
    } else {
        *(volatile uint64_t *)at = number;
    }
}

/* What write number n, to be made next, should find: what the round before left. */
static int is_wrong(const struct mig_guest_region *r, uint32_t page, uint64_t n)
{
    uint32_t pages = (uint32_t)(r->length / MIG_GUEST_PAGE_BYTES);
    uint64_t at = r->offset + (uint64_t)page * MIG_GUEST_PAGE_BYTES;
    int in_turn = r->pattern != MIG_GUEST_RANDOM && r->pattern != MIG_GUEST_HOT_COLD;
    return in_turn && r->write == MIG_GUEST_COUNTER && n >= pages &&
           *(volatile uint64_t *)(uintptr_t)at != n + 1 - pages;
}

/* Looks at the clock; returns the time since "ready" and books a stall if it was long ago. */
static uint64_t look(void)
{
    uint64_t now = tsc(), gap = now - last_look;
    last_look = now;
    if (gap > stall_limit) {
        counters.stalls++;
        counters.stall_ticks += gap;
        if (gap > counters.longest_stall) {
            counters.longest_stall = gap;
        }
        for (uint32_t i = 0; i < region_count; i++) {
            if (region[i].pace == MIG_GUEST_CPU) {
                state[i].due += gap << FRACTION;
                state[i].round += gap << FRACTION;
            }
        }
    }
    return (now - counters.ready_tsc) << FRACTION;
}

/* Gives up what is due for longer than the region may catch up. */
static void forget(struct region_state *s, uint64_t *lost, uint64_t now)
{
    while (s->interval && now - s->due > s->catch_up + s->interval) {
        s->due += s->interval;
        *lost += 1;
    }
}

static void after_write(const struct mig_guest_region *r, struct region_state *s)
{
    if (++s->turn == (uint32_t)(r->length / MIG_GUEST_PAGE_BYTES)) {
        s->turn = 0;
        s->finished = r->pattern == MIG_GUEST_ONCE;
        if (r->pattern == MIG_GUEST_PERIODIC) {
            s->round += s->period;
            s->due = s->round;
        }
    }
    for (uint64_t end = tsc() + s->cost; s->cost && tsc() < end;) {
        last_look = tsc();
    }
}

static void step(uint32_t i)
{
    const struct mig_guest_region *r = &region[i];
    struct region_state *s = &state[i];
    uint64_t now = look();
    if (s->finished || now < s->due) {
        return;
    }
    if (r->pace == MIG_GUEST_CLOCK) {
        forget(s, &counters.lost[i], now);
    }
    uint64_t n = counters.written[i];
    s->due = s->interval ? s->due + s->interval : now;
    uint32_t page = mig_guest_page_of(r, n, s->turn);
    counters.wrong[i] += (uint64_t)is_wrong(r, page, n);
    write_page(r, page, n + 1);
    counters.written[i] = n + 1;
    after_write(r, s);
}

static void beat(uint64_t now)
{
    put_text("beat ms=");
    put_number(divide(now >> FRACTION, (uint32_t)divide(counters.tsc_hz, 1000)));
    for (uint32_t i = 0; i < region_count; i++) {
        put_text(" written=");
        put_number(counters.written[i]);
        put_text(" lost=");
        put_number(counters.lost[i]);
        put_text(" wrong=");
        put_number(counters.wrong[i]);
    }
    put_text(" stalls=");
    put_number(counters.stalls);
    put_text(" longest-us=");
    put_number(divide(counters.longest_stall, (uint32_t)divide(counters.tsc_hz, 1000000)));
    put_text("\n");
    last_look = tsc(); /* the serial port's slowness is no stall */
}

static void prepare(void)
{
    for (uint32_t i = 0; i < mig_guest_parameters.fill_count; i++) {
        fill(&mig_guest_parameters.fill[i]);
    }
    uint64_t hz = mig_guest_parameters.tsc_hz;
    counters.tsc_hz = hz ? hz : measure_tsc();
    stall_limit = from_us(mig_guest_parameters.stall_us ? mig_guest_parameters.stall_us : 1000);
    region_count = mig_guest_parameters.region_count;
    const volatile uint32_t *from = (const volatile uint32_t *)mig_guest_parameters.region;
    for (uint32_t w = 0; w < region_count * sizeof(region[0]) / 4; w++) {
        ((volatile uint32_t *)region)[w] = from[w];
    }
    for (uint32_t i = 0; i < region_count; i++) {
        const struct mig_guest_region *r = &region[i];
        state[i].interval = r->rate ? divide(counters.tsc_hz << FRACTION, r->rate) : 0;
        state[i].catch_up = from_us(r->catch_up_us) << FRACTION;
        state[i].period = from_us(r->period_us) << FRACTION;
        state[i].cost = (uint32_t)divide(
            (uint64_t)r->write_cost_ns * (uint32_t)divide(counters.tsc_hz, 1000), 1000000);
    }
}

void mig_guest_main(void)
{
    extern uint8_t mig_guest_ram_start[], mig_guest_ram_end[];
    for (volatile uint8_t *p = mig_guest_ram_start; p < mig_guest_ram_end; p++) {
        *p = 0;
    }
    prepare();
    counters.magic = MIG_GUEST_COUNTERS_MAGIC;
    put_text("migbench-guest ready tsc-hz=");
    put_number(counters.tsc_hz);
    put_text("\n");
    if (!region_count && !mig_guest_parameters.heartbeat_ms) {
        return;
    }
    uint64_t every = from_us(mig_guest_parameters.heartbeat_ms * 1000) << FRACTION;
    counters.ready_tsc = last_look = tsc();
    next_beat = every;
    for (;;) {
        for (uint32_t i = 0; i < region_count; i++) {
            step(i);
        }
        uint64_t now = look();
        if (every && now >= next_beat) {
            next_beat = now + every;
            beat(now);
        }
    }
}

/* The compiler may call these for copies and fills that it recognises. */
void *memcpy(void *to, const void *from, __SIZE_TYPE__ n);
void *memset(void *to, int value, __SIZE_TYPE__ n);

void *memcpy(void *to, const void *from, __SIZE_TYPE__ n)
{
    void *result = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return result;
}

void *memset(void *to, int value, __SIZE_TYPE__ n)
{
    void *result = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
    return result;
}
