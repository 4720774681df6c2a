/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page faults through userfaultfd, see faults.h.
 *
 * Model. Three doors lead to it: /dev/userfaultfd (Linux 6.1), which is as open as its file mode;
 * the system call, which needs CAP_SYS_PTRACE or vm.unprivileged_userfaultfd; and the call for
 * faults of user code alone (5.11), which anybody has. Placing is one ioctl for a whole page of the
 * mapping, so no thread ever sees half a page. Hugetlb can't be placed as zeros: zeros are copied.
 *
 * Limits. Missing pages only (no write protection, no minor faults). The zeros for hugetlb cost one
 * page of address space, which the kernel backs with its zero page.
 */
#include "sim/world/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of Linux 5.11 and 6.1; a build on older headers still runs on a newer kernel. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#define READ_AT_ONCE 64

typedef struct Range {
    uint8_t *at;
    size_t length, page;
    bool zeroes; /* UFFDIO_ZEROPAGE works */
} Range;

struct MigFaults {
    int fd;
    bool threads;
    GArray *ranges; /* Range */
    void *zeros;    /* one page of the largest range that can't be zeroed, or NULL */
    size_t zeros_length;
};

static bool fail(GError **error, int code, const char *what)
{
    g_set_error(error, MIG_FAULTS_ERROR, code, "userfaultfd: %s: %s", what, g_strerror(code));
    return false;
}

/* Opening ---------------------------------------------------------------------------------- */

static int open_device(void)
{
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        return -1;
    }
    int fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK), code = errno;
    close(device);
    errno = code;
    return fd;
}

static int open_call(int flags)
{
    return (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);
}

static int open_any(MigFaultsOf of, GError **error)
{
    int fd = open_device(), device = errno, call = 0, user = 0;
    if (fd < 0) {
        fd = open_call(0);
        call = errno;
    }
    if (fd < 0 && of == MIG_FAULTS_OF_USERS) {
        fd = open_call(UFFD_USER_MODE_ONLY);
        user = errno;
    }
    if (fd >= 0) {
        return fd;
    }
    g_autofree char *only =
        of == MIG_FAULTS_OF_USERS ? g_strdup_printf("; of user code: %s", g_strerror(user)) : NULL;
    g_set_error(error, MIG_FAULTS_ERROR, call,
                "userfaultfd is not available, and postcopy needs it to catch the guest's accesses "
                "to pages that have not come (/dev/userfaultfd: %s; system call: %s%s). Any of "
                "these helps: read and write permission for /dev/userfaultfd (Linux 6.1 on); "
                "sysctl vm.unprivileged_userfaultfd=1; CAP_SYS_PTRACE (in a container also a "
                "seccomp profile that lets userfaultfd through). Or turn the capability "
                "postcopy-ram off. migbench sim does without.",
                g_strerror(device), g_strerror(call), only ? only : "");
    return -1;
}

/* Which features there are is told by a descriptor that is no good for anything else then. */
static bool shake_hands(int fd, uint64_t features, uint64_t *offered)
{
    struct uffdio_api api = { .api = UFFD_API, .features = features };
    bool fine = ioctl(fd, UFFDIO_API, &api) == 0;
    *offered = api.features;
    return fine;
}

MigFaults *mig_faults_open(MigFaultsOf of, GError **error)
{
    uint64_t offered = 0;
    int asking = open_any(of, error), fd = asking >= 0 ? open_any(of, error) : -1;
    if (asking >= 0 && !shake_hands(asking, 0, &offered)) {
        fail(error, errno, "the kernel speaks another version of it");
        close(asking);
        close(fd);
        return NULL;
    }
    if (asking >= 0) {
        close(asking);
    }
    if (fd < 0) {
        return NULL;
    }
    uint64_t wanted =
        UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_THREAD_ID;
    if (!shake_hands(fd, wanted & offered, &offered)) {
        fail(error, errno, "cannot agree on features");
        close(fd);
        return NULL;
    }
    MigFaults *f = g_new0(MigFaults, 1);
    f->fd = fd;
    f->threads = offered & UFFD_FEATURE_THREAD_ID;
    f->ranges = g_array_new(FALSE, FALSE, sizeof(Range));
    return f;
}

void mig_faults_free(MigFaults *f)
{
    if (f) {
        close(f->fd);
        g_array_unref(f->ranges);
        if (f->zeros) {
            munmap(f->zeros, f->zeros_length);
        }
        g_free(f);
    }
}

int mig_faults_fd(const MigFaults *f)
{
    return f->fd;
}

bool mig_faults_has_threads(const MigFaults *f)
{
    return f->threads;
}

/* Ranges ----------------------------------------------------------------------------------- */

/* Zeros to copy from where the kernel can't place them by itself. Never written: costs nothing. */
static bool make_zeros(MigFaults *f, size_t page, GError **error)
{
    if (f->zeros_length >= page) {
        return true;
    }
    void *zeros = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) {
        return fail(error, errno, "no memory for a page of zeros");
    }
    if (f->zeros) {
        munmap(f->zeros, f->zeros_length);
    }
    f->zeros = zeros;
    f->zeros_length = page;
    return true;
}

bool mig_faults_register(MigFaults *f, void *at, size_t length, size_t page, GError **error)
{
    struct uffdio_register r = { .range = { .start = (uintptr_t)at, .len = length },
                                 .mode = UFFDIO_REGISTER_MODE_MISSING };
    g_assert(length % page == 0 && (uintptr_t)at % page == 0);
    if (ioctl(f->fd, UFFDIO_REGISTER, &r) < 0) {
        return fail(error, errno, "cannot watch the memory of a block");
    }
    Range range = { at, length, page, r.ioctls & 1ull << _UFFDIO_ZEROPAGE };
    if (!(r.ioctls & 1ull << _UFFDIO_COPY) || (!range.zeroes && !make_zeros(f, page, error))) {
        return (error && *error) || fail(error, EOPNOTSUPP, "cannot place pages in a block");
    }
    g_array_append_val(f->ranges, range);
    return true;
}

bool mig_faults_unregister(MigFaults *f, void *at, GError **error)
{
    for (guint i = 0; i < f->ranges->len; i++) {
        const Range *range = &g_array_index(f->ranges, Range, i);
        struct uffdio_range r = { .start = (uintptr_t)range->at, .len = range->length };
        if (range->at == at) {
            g_array_remove_index_fast(f->ranges, i);
            return ioctl(f->fd, UFFDIO_UNREGISTER, &r) == 0 ||
                   fail(error, errno, "cannot stop watching the memory of a block");
        }
    }
    return fail(error, ENOENT, "cannot stop watching what is not watched");
}

static const Range *range_of(const MigFaults *f, const void *at)
{
    for (guint i = 0; i < f->ranges->len; i++) {
        const Range *range = &g_array_index(f->ranges, Range, i);
        if ((uintptr_t)at - (uintptr_t)range->at < range->length) {
            return range;
        }
    }
    return NULL;
}

/* Faults ----------------------------------------------------------------------------------- */

int mig_faults_read(MigFaults *f, MigPageFault *faults, int max, GError **error)
{
    struct uffd_msg messages[READ_AT_ONCE];
    int count = 0;
    ssize_t n = read(f->fd, messages, sizeof(messages[0]) * (size_t)MIN(max, READ_AT_ONCE));
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0
                                                 : (fail(error, errno, "cannot read faults"), -1);
    }
    for (size_t i = 0; i < (size_t)n / sizeof(messages[0]); i++) {
        const struct uffd_msg *m = &messages[i];
        uint8_t *at = (uint8_t *)(uintptr_t)m->arg.pagefault.address;
        const Range *range = m->event == UFFD_EVENT_PAGEFAULT ? range_of(f, at) : NULL;
        if (range) { /* else unregistered meanwhile, which has woken the thread */
            faults[count++] = (MigPageFault){
                .at = range->at + (size_t)(at - range->at) / range->page * range->page,
                .thread = f->threads ? (pid_t)m->arg.pagefault.feat.ptid : 0,
                .write = m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE,
            };
        }
    }
    return count;
}

/* The kernel had to give up in the middle (the address space was changing): again from there. */
static MigPlace copy_page(MigFaults *f, uint8_t *at, const uint8_t *from, size_t page,
                          GError **error)
{
    size_t done = 0;
    while (done < page) {
        struct uffdio_copy c = { .dst = (uintptr_t)at + done,
                                 .src = (uintptr_t)from + done,
                                 .len = page - done };
        if (ioctl(f->fd, UFFDIO_COPY, &c) == 0) {
            return MIG_PLACE_DONE;
        }
        if (errno == EEXIST) {
            return MIG_PLACE_EXISTS;
        }
        if (errno != EAGAIN) {
            fail(error, errno, "cannot place a page");
            return MIG_PLACE_FAILED;
        }
        done += c.copy > 0 ? (size_t)c.copy : 0;
    }
    return MIG_PLACE_DONE;
}

static MigPlace fail_range(GError **error)
{
    fail(error, ENOENT, "cannot place a page outside of what is watched");
    return MIG_PLACE_FAILED;
}

MigPlace mig_faults_copy(MigFaults *f, void *at, const void *from, GError **error)
{
    const Range *range = range_of(f, at);
    return range ? copy_page(f, at, from, range->page, error) : fail_range(error);
}

MigPlace mig_faults_zero(MigFaults *f, void *at, GError **error)
{
    const Range *range = range_of(f, at);
    if (!range || !range->zeroes) {
        return range ? copy_page(f, at, f->zeros, range->page, error) : fail_range(error);
    }
    for (;;) {
        struct uffdio_zeropage z = { .range = { .start = (uintptr_t)at, .len = range->page } };
        if (ioctl(f->fd, UFFDIO_ZEROPAGE, &z) == 0) {
            return MIG_PLACE_DONE;
        }
        if (errno == EEXIST) {
            return MIG_PLACE_EXISTS;
        }
        if (errno != EAGAIN) {
            fail(error, errno, "cannot place a zero page");
            return MIG_PLACE_FAILED;
        }
    }
}

bool mig_faults_wake(MigFaults *f, void *at, GError **error)
{
    const Range *range = range_of(f, at);
    struct uffdio_range r = { .start = (uintptr_t)at, .len = range ? range->page : 0 };
    return (range && ioctl(f->fd, UFFDIO_WAKE, &r) == 0) ||
           fail(error, range ? errno : ENOENT, "cannot wake who waits for a page");
}
