/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page faults caught for real: threads that touch missing pages, and the guest of threads that does
 * it all the time. Where the machine doesn't allow it the tests skip, but for the one of what is
 * said then.
 */
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/guest/guest.h"
#include "sim/guest/touch.h"
#include "sim/world/fault-memory.h"

#define PAGE     4096u
#define HUGE_    (2u << 20)
#define HUGE_2MB (21u << 26) /* MFD_HUGE_2MB, of linux/memfd.h */

typedef enum Kind { ANONYMOUS, SHARED, HUGETLB, KINDS } Kind;
static const char *const kind_names[] = { "anonymous", "shared", "hugetlb" };

typedef struct Area {
    uint8_t *at;
    size_t page, length;
} Area;

/* Eight pages (hugetlb: two) of memory, or false: there is no such memory here. */
static bool map_area(Area *a, Kind kind)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
    a->page = kind == HUGETLB ? HUGE_ : PAGE;
    a->length = kind == HUGETLB ? 2 * a->page : 8 * a->page;
    if (kind != ANONYMOUS) {
        fd = memfd_create("test", kind == HUGETLB ? MFD_HUGETLB | HUGE_2MB : 0);
        flags = MAP_SHARED;
        if (fd < 0 || ftruncate(fd, (off_t)a->length) < 0) {
            close(fd);
            return false;
        }
    }
    a->at = mmap(NULL, a->length, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    return a->at != MAP_FAILED;
}

/* With |kind|'s area registered; NULL after a skip. */
static MigFaults *open_area(Area *a, Kind kind)
{
    g_autoptr(GError) error = NULL;
    MigFaults *f = mig_faults_open(MIG_FAULTS_OF_USERS, &error);
    if (!f) {
        g_test_skip(error->message);
        return NULL;
    }
    if (!map_area(a, kind)) {
        mig_faults_free(f);
        g_test_skip("no huge pages (/proc/sys/vm/nr_hugepages)");
        return NULL;
    }
    g_assert_true(mig_faults_register(f, a->at, a->length, a->page, &error));
    return f;
}

static void close_area(MigFaults *f, Area *a)
{
    mig_faults_free(f);
    munmap(a->at, a->length);
}

/* One fault ---------------------------------------------------------------------------------- */

typedef struct Looker {
    volatile uint8_t *at;
    bool write;
    int tid;
    uint8_t seen;
} Looker;

static void *look(void *opaque)
{
    Looker *l = opaque;
    __atomic_store_n(&l->tid, (int)gettid(), __ATOMIC_RELEASE);
    if (l->write) {
        *l->at = 8; /* not += 1, which reads first */
    }
    l->seen = *l->at;
    return NULL;
}

static MigPageFault wait_fault(MigFaults *f)
{
    MigPageFault fault = { 0 };
    struct pollfd p = { mig_faults_fd(f), POLLIN, 0 };
    while (mig_faults_read(f, &fault, 1, NULL) == 0) {
        g_assert_cmpint(poll(&p, 1, 60000), ==, 1);
    }
    return fault;
}

static void test_one_fault(gconstpointer data)
{
    Kind kind = GPOINTER_TO_UINT(data);
    Area a;
    MigFaults *f = open_area(&a, kind);
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *page = NULL;
    if (!f) {
        return;
    }
    page = g_malloc(a.page);
    memset(page, 7, a.page);
    for (int write = 0; write < 2; write++) {
        Looker l = { .at = a.at + (size_t)write * a.page + 77, .write = write };
        GThread *thread = g_thread_new("look", look, &l);
        MigPageFault fault = wait_fault(f);
        g_assert_true(fault.at == a.at + (size_t)write * a.page);
        g_assert_cmpint(fault.write, ==, write);
        if (mig_faults_has_threads(f)) {
            g_assert_cmpint(fault.thread, ==, __atomic_load_n(&l.tid, __ATOMIC_ACQUIRE));
        }
        g_assert_cmpint(mig_faults_copy(f, fault.at, page, &error), ==, MIG_PLACE_DONE);
        g_thread_join(thread);
        g_assert_cmpuint(l.seen, ==, 7 + write);
        g_assert_cmpint(mig_faults_copy(f, fault.at, page, &error), ==, MIG_PLACE_EXISTS);
        g_assert_cmpint(mig_faults_zero(f, fault.at, &error), ==, MIG_PLACE_EXISTS);
        g_assert_cmpuint(*l.at, ==, 7 + write); /* it was left alone */
        g_assert_true(mig_faults_wake(f, fault.at, &error));
        g_assert_no_error(error);
    }
    close_area(f, &a);
}

/* A page of zeros, dropped again, and placed with something else. */
static void test_zero_and_drop(gconstpointer data)
{
    Kind kind = GPOINTER_TO_UINT(data);
    Area a;
    MigFaults *f = open_area(&a, kind);
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *page = NULL;
    if (!f) {
        return;
    }
    page = g_malloc(a.page);
    memset(page, 9, a.page);
    g_assert_cmpint(mig_faults_zero(f, a.at + a.page, &error), ==, MIG_PLACE_DONE);
    for (size_t i = 0; i < a.page; i++) {
        g_assert_cmpuint(a.at[a.page + i], ==, 0);
    }
    a.at[a.page] = 1; /* it is an ordinary page now */
    g_assert_cmpint(madvise(a.at + a.page, a.page, kind == ANONYMOUS ? MADV_DONTNEED : MADV_REMOVE),
                    ==, 0);
    Looker l = { .at = a.at + a.page };
    GThread *thread = g_thread_new("look", look, &l);
    g_assert_true(wait_fault(f).at == a.at + a.page);
    g_assert_cmpint(mig_faults_copy(f, a.at + a.page, page, &error), ==, MIG_PLACE_DONE);
    g_thread_join(thread);
    g_assert_cmpuint(l.seen, ==, 9);
    g_assert_no_error(error);
    close_area(f, &a);
}

/* Who waits when the range is given up goes on with zeros. */
static void test_unregister(void)
{
    Area a;
    MigFaults *f = open_area(&a, ANONYMOUS);
    g_autoptr(GError) error = NULL;
    if (!f) {
        return;
    }
    Looker l = { .at = a.at };
    GThread *thread = g_thread_new("look", look, &l);
    wait_fault(f);
    g_assert_true(mig_faults_unregister(f, a.at, &error));
    g_thread_join(thread);
    g_assert_cmpuint(l.seen, ==, 0);
    g_assert_false(mig_faults_unregister(f, a.at, &error));
    g_assert_error(error, MIG_FAULTS_ERROR, ENOENT);
    g_clear_error(&error);
    g_assert_cmpint(mig_faults_copy(f, a.at, a.at + PAGE, &error), ==, MIG_PLACE_FAILED);
    g_assert_error(error, MIG_FAULTS_ERROR, ENOENT);
    close_area(f, &a);
}

/* Without permission ------------------------------------------------------------------------- */

/* In a child that is nobody: the privileged kind must be refused in words that help. */
static int nobody(void)
{
    g_autoptr(GError) error = NULL;
    if (setgid(65534) != 0 || setuid(65534) != 0) {
        return 77;
    }
    g_autoptr(MigFaults) f = mig_faults_open(MIG_FAULTS_OF_KERNEL, &error);
    if (f) {
        return 77; /* this machine lets everybody */
    }
    const char *said[] = { "/dev/userfaultfd", "vm.unprivileged_userfaultfd", "CAP_SYS_PTRACE",
                           "postcopy-ram", "migbench sim" };
    for (size_t i = 0; i < G_N_ELEMENTS(said); i++) {
        if (!strstr(error->message, said[i])) {
            return 1;
        }
    }
    return 0;
}

static void test_refused(void)
{
    pid_t child = fork();
    if (child == 0) {
        _exit(nobody());
    }
    int status = 0;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        g_test_skip("cannot become a user without the privilege here");
        return;
    }
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

/* The guest of threads ----------------------------------------------------------------------- */

#define GUEST_PAGES 512u

static MigTouch *make_guest(const Area *a, uint32_t vcpus)
{
    static const MigPattern patterns[] = { MIG_PATTERN_RANDOM, MIG_PATTERN_ONCE,
                                           MIG_PATTERN_SEQUENTIAL };
    MigTouchBlock block = { a->at, a->length / PAGE };
    MigWorkload w[3] = { 0 };
    for (uint32_t i = 0; i < vcpus; i++) {
        w[i] = (MigWorkload){
            .pages = block.pages, .pattern = patterns[i], .rate = 1000000, .pace = MIG_PACE_CPU
        };
    }
    MigTouchConfig config = { .seed = 1,
                              .page_size = PAGE,
                              .blocks = &block,
                              .block_count = 1,
                              .workloads = w,
                              .workload_count = vcpus };
    return mig_touch_new(&config);
}

static uint64_t came_with(uint64_t page)
{
    return page % 3 == 0 ? 0 : page * 1000003;
}

/* Places every page that is asked for, once, until |pages| have been. */
static void serve(MigFaults *f, const Area *a, uint64_t pages)
{
    uint64_t page[PAGE / 8] = { 0 }, placed = 0;
    while (placed < pages) {
        MigPageFault fault = wait_fault(f);
        uint64_t number = (uint64_t)((uint8_t *)fault.at - a->at) / PAGE;
        page[0] = came_with(number);
        MigPlace p =
            page[0] ? mig_faults_copy(f, fault.at, page, NULL) : mig_faults_zero(f, fault.at, NULL);
        g_assert_cmpint(p, !=, MIG_PLACE_FAILED);
        placed += p == MIG_PLACE_DONE;
    }
}

static void test_touch(void)
{
    MigFaults *f = mig_faults_open(MIG_FAULTS_OF_USERS, NULL);
    Area a = { .page = PAGE, .length = GUEST_PAGES * PAGE };
    g_autoptr(GError) error = NULL;
    if (!f) {
        g_test_skip("userfaultfd is not available");
        return;
    }
    a.at = mmap(NULL, a.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(mig_faults_register(f, a.at, a.length, PAGE, &error));
    g_autoptr(MigTouch) t = make_guest(&a, 3);
    g_assert_true(mig_touch_start(t, &error));
    serve(f, &a, GUEST_PAGES); /* the threads that go in order want them all */
    g_assert_true(mig_touch_stop(t, -1));
    MigTouchCounts c = mig_touch_counts(t);
    g_assert_cmpuint(c.pages, ==, GUEST_PAGES);
    g_assert_cmpuint(c.touches, >=, GUEST_PAGES);
    g_assert_cmpuint(c.wrong, ==, 0);
    g_assert_cmpuint(mig_touch_check(t), ==, 0);
    g_assert_cmpuint(mig_touch_vcpu(t, mig_touch_thread(t, 2)), ==, 2);
    g_assert_cmpuint(mig_touch_vcpu(t, 0), ==, UINT32_MAX);
    mig_touch_undo(t);
    for (uint64_t page = 0; page < GUEST_PAGES; page++) {
        g_assert_cmpuint(*(uint64_t *)(void *)(a.at + page * PAGE), ==, came_with(page));
    }
    close_area(f, &a);
}

/* The guest notices a page that falls back behind it, and one that changes by itself. */
static void test_touch_notices(void)
{
    Area a = { .page = PAGE, .length = 8 * PAGE };
    g_autoptr(GError) error = NULL;
    a.at = mmap(NULL, a.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_autoptr(MigTouch) t = make_guest(&a, 1);
    g_assert_true(mig_touch_start(t, &error));
    while (*(volatile uint64_t *)(void *)(a.at + 3 * PAGE) < 2) {
        g_usleep(100);
    }
    g_assert_true(mig_touch_stop(t, -1));
    g_assert_cmpuint(mig_touch_check(t), ==, 0);
    memset(a.at + 3 * PAGE, 0, PAGE);
    g_assert_cmpuint(mig_touch_check(t), ==, 1);
    munmap(a.at, a.length);
}

/* Memory that listens ------------------------------------------------------------------------ */

static MigBuffer *make_buffer(uint32_t second_page, GError **error)
{
    MigGuestBlock blocks[2] = {
        { .memory = { .name = "small", .used_length = 8 * PAGE, .host_page = PAGE } },
        { .memory = { .name = "large", .used_length = 2 * HUGE_, .host_page = second_page } },
    };
    MigGuestConfig config = { .blocks = blocks, .block_count = 2 };
    MigGuest *like = mig_guest_new(&config);
    MigBuffer *b = mig_buffer_new_paged(mig_guest_memory(like), error);
    mig_guest_free(like);
    return b;
}

/* Both blocks: loaded, partly discarded, listened to, placed, and given back. */
static void test_memory(gconstpointer data)
{
    uint32_t host = GPOINTER_TO_UINT(data), block = 9;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigBuffer) buffer = make_buffer(host, &error);
    g_autoptr(MigFaultMemory) fm =
        buffer ? mig_fault_memory_new(buffer, MIG_FAULTS_OF_USERS, &error) : NULL;
    g_autofree uint8_t *bytes = g_malloc(host);
    uint64_t page = 9, step = host / PAGE;
    if (!fm) {
        g_test_skip(error->message);
        return;
    }
    MigMemory *m = mig_fault_memory_memory(fm);
    memset(bytes, 5, host);
    m->ops->fill(m, 1, 0, 3);
    m->ops->fill(m, 1, step, 4);
    m->ops->discard(m, 1, step, step);
    g_assert_null(mig_fault_memory_faults(fm));
    g_assert_null(m->ops->listen(m));
    Looker l = { .at = m->ops->map(m, 1, 2 * step - 1) + 17 };
    GThread *thread = g_thread_new("look", look, &l);
    MigPageFault fault = wait_fault(mig_fault_memory_faults(fm));
    g_assert_true(mig_fault_memory_find(fm, fault.at, &block, &page));
    g_assert_cmpuint(block, ==, 1);
    g_assert_cmpuint(page, ==, step); /* the first of its host page */
    g_assert_cmpint(m->ops->place(m, 1, 0, step, bytes), ==, MIG_PLACE_EXISTS);
    g_assert_cmpint(m->ops->place(m, block, page, step, bytes), ==, MIG_PLACE_DONE);
    g_thread_join(thread);
    g_assert_cmpuint(l.seen, ==, 5);
    g_assert_cmpint(m->ops->place(m, 0, 7, 1, NULL), ==, MIG_PLACE_DONE);
    m->ops->unlisten(m);
    g_assert_cmpuint(*m->ops->map(m, 1, 0), ==, 3);
    g_assert_true(m->ops->is_zero(m, 0, 7));
    g_assert_true(m->ops->is_zero(m, 0, 6)); /* it never came, and nobody waits any more */
    g_assert_false(mig_fault_memory_find(fm, &l, &block, &page));
    g_assert_null(mig_fault_memory_error(fm));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (Kind k = 0; k < KINDS; k++) {
        g_autofree char *one = g_strdup_printf("/faults/one/%s", kind_names[k]);
        g_autofree char *zero = g_strdup_printf("/faults/zero-and-drop/%s", kind_names[k]);
        g_test_add_data_func(one, GUINT_TO_POINTER(k), test_one_fault);
        g_test_add_data_func(zero, GUINT_TO_POINTER(k), test_zero_and_drop);
    }
    g_test_add_func("/faults/unregister", test_unregister);
    g_test_add_func("/faults/refused", test_refused);
    g_test_add_data_func("/faults/memory/4k", GUINT_TO_POINTER(PAGE), test_memory);
    g_test_add_data_func("/faults/memory/2m", GUINT_TO_POINTER(HUGE_), test_memory);
    g_test_add_func("/touch/served", test_touch);
    g_test_add_func("/touch/notices", test_touch_notices);
    return g_test_run();
}
