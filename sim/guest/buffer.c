/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory in mappings, see buffer.h. Reservations are not backed (MAP_NORESERVE): a block larger
 * than the host's memory is fine as long as its written pages fit.
 */
#include "sim/guest/buffer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream/zero.h"

typedef struct BufferBlock {
    MigMemoryBlock memory;
    char *name;
    uint8_t *at;
    bool shared, borrowed;
} BufferBlock;

struct MigBuffer {
    MigMemory memory;
    BufferBlock *blocks;
    uint32_t count;
};

static const BufferBlock *block_of(const MigMemory *m, uint32_t index)
{
    const MigBuffer *b = (const MigBuffer *)m;
    assert(index < b->count);
    return &b->blocks[index];
}

static uint32_t buffer_count(const MigMemory *m)
{
    return ((const MigBuffer *)m)->count;
}

static const MigMemoryBlock *buffer_block(const MigMemory *m, uint32_t index)
{
    return &block_of(m, index)->memory;
}

static void buffer_log(MigMemory *m)
{
    (void)m;
}

static uint64_t buffer_sync(MigMemory *m, uint32_t block, MigBitmap *dirty)
{
    (void)m, (void)block, (void)dirty;
    return 0;
}

static void buffer_clear(MigMemory *m, uint32_t block, uint64_t first, uint64_t count)
{
    (void)m, (void)block, (void)first, (void)count;
}

static uint8_t *buffer_map(MigMemory *m, uint32_t block, uint64_t page)
{
    const BufferBlock *b = block_of(m, block);
    assert(page < b->memory.used_length / m->page_size);
    return b->at + page * m->page_size;
}

static bool buffer_is_zero(MigMemory *m, uint32_t block, uint64_t page)
{
    return mig_is_zero(buffer_map(m, block, page), m->page_size);
}

static const uint8_t *buffer_read(MigMemory *m, uint32_t block, uint64_t page, uint8_t *scratch)
{
    (void)scratch;
    return buffer_map(m, block, page);
}

static void buffer_write(MigMemory *m, uint32_t block, uint64_t page, const uint8_t *bytes)
{
    memcpy(buffer_map(m, block, page), bytes, m->page_size);
}

/* As ram_handle_zero() does: a page that is zero already is not touched. */
static void buffer_fill(MigMemory *m, uint32_t block, uint64_t page, uint8_t byte)
{
    uint8_t *at = buffer_map(m, block, page);
    if (byte != 0 || !mig_is_zero(at, m->page_size)) {
        memset(at, byte, m->page_size);
    }
}

/* Anonymous memory only. */
static bool buffer_resize(MigMemory *m, uint32_t index, uint64_t used_length)
{
    BufferBlock *b = &((MigBuffer *)m)->blocks[index];
    if (b->shared || !b->at || used_length == 0 || used_length > b->memory.max_length) {
        return false;
    }
    void *at = mremap(b->at, b->memory.used_length, used_length, MREMAP_MAYMOVE);
    if (at == MAP_FAILED) {
        return false;
    }
    b->at = at;
    b->memory.used_length = used_length;
    return true;
}

int mig_buffer_drop(MigBuffer *b, uint32_t block, uint64_t first, uint64_t count)
{
    const BufferBlock *from = block_of(&b->memory, block);
    uint32_t page = b->memory.page_size;
    /* Of a shared mapping MADV_DONTNEED would only drop our view of the page. */
    int advice = from->shared ? MADV_REMOVE : MADV_DONTNEED;
    return madvise(from->at + first * page, count * page, advice) == 0 ? 0 : errno;
}

static const MigMemoryOps buffer_ops = {
    .count = buffer_count,
    .block = buffer_block,
    .log_start = buffer_log,
    .log_stop = buffer_log,
    .sync = buffer_sync,
    .clear = buffer_clear,
    .is_zero = buffer_is_zero,
    .read = buffer_read,
    .resize = buffer_resize,
    .map = buffer_map,
    .write = buffer_write,
    .fill = buffer_fill,
};

MigMemory *mig_buffer_memory(MigBuffer *b)
{
    return &b->memory;
}

static bool fail_errno(GError **error, int code, const char *what, const char *name)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code), "%s '%s': %s", what, name,
                g_strerror(code));
    return false;
}

static int open_sized(const char *path, uint64_t length, GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        fail_errno(error, errno, "cannot make the memory file", path);
        return -1;
    }
    if (ftruncate(fd, (off_t)length) < 0) {
        fail_errno(error, errno, "cannot give its length to", path);
        close(fd);
        return -1;
    }
    return fd;
}

/* Memory of the host's pool of huge pages, or -1. */
static int open_huge(const BufferBlock *b, GError **error)
{
    uint32_t page = b->memory.host_page;
    if (page & (page - 1) || b->memory.used_length % page) {
        fail_errno(error, EINVAL, "page-size does not divide the length of block", b->name);
        return -1;
    }
    unsigned bits = (unsigned)__builtin_ctz(page) << 26; /* MFD_HUGE_SHIFT */
    int fd = memfd_create(b->name, MFD_CLOEXEC | MFD_HUGETLB | bits);
    if (fd < 0 || ftruncate(fd, (off_t)b->memory.used_length) < 0) {
        fail_errno(error, errno, "the kernel has no pages of this page-size for block", b->name);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* |fd| is closed; -1: anonymous. */
static bool map_fd(BufferBlock *b, int fd, GError **error)
{
    int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *at = mmap(NULL, b->memory.used_length, PROT_READ | PROT_WRITE, flags, fd, 0);
    int code = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (at == MAP_FAILED) {
        return fail_errno(error, code, "cannot map the memory of block", b->name);
    }
    b->at = at;
    b->shared = fd >= 0;
    return true;
}

static bool map_block(BufferBlock *b, const char *path, GError **error)
{
    int fd = path ? open_sized(path, b->memory.used_length, error) : -1;
    return (!path || fd >= 0) && map_fd(b, fd, error);
}

static bool map_pages(BufferBlock *b, GError **error)
{
    if (b->memory.host_page <= 4096) {
        return map_fd(b, -1, error);
    }
    int fd = open_huge(b, error);
    if (fd < 0) {
        return false;
    }
    if (map_fd(b, fd, error)) {
        return true;
    }
    g_prefix_error(error,
                   "%" G_GUINT64_FORMAT " free pages of %u bytes are needed "
                   "(/proc/sys/vm/nr_hugepages): ",
                   b->memory.used_length / b->memory.host_page, b->memory.host_page);
    return false;
}

/* Blocks without memory. */
static MigBuffer *copy_blocks(const MigMemory *like)
{
    MigBuffer *b = g_new0(MigBuffer, 1);
    b->memory.ops = &buffer_ops;
    b->memory.page_size = like->page_size;
    b->count = like->ops->count(like);
    b->blocks = g_new0(BufferBlock, b->count);
    for (uint32_t i = 0; i < b->count; i++) {
        b->blocks[i].memory = *like->ops->block(like, i);
        b->blocks[i].name = g_strdup(b->blocks[i].memory.name);
        b->blocks[i].memory.name = b->blocks[i].name;
    }
    return b;
}

MigBuffer *mig_buffer_new(const MigMemory *like, const char *const *files, GError **error)
{
    g_autoptr(MigBuffer) b = copy_blocks(like);
    for (uint32_t i = 0; i < b->count; i++) {
        if (!map_block(&b->blocks[i], files ? files[i] : NULL, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&b);
}

MigBuffer *mig_buffer_new_paged(const MigMemory *like, GError **error)
{
    g_autoptr(MigBuffer) b = copy_blocks(like);
    for (uint32_t i = 0; i < b->count; i++) {
        if (!map_pages(&b->blocks[i], error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&b);
}

MigBuffer *mig_buffer_borrow(const MigMemory *like, uint8_t *const *at)
{
    MigBuffer *b = copy_blocks(like);
    for (uint32_t i = 0; i < b->count; i++) {
        b->blocks[i].at = at[i];
        b->blocks[i].shared = b->blocks[i].borrowed = true;
    }
    return b;
}

bool mig_buffer_is_shared(const MigBuffer *b, uint32_t block)
{
    return block_of(&b->memory, block)->shared;
}

void mig_buffer_huge_pages(MigBuffer *b, bool wanted)
{
    int advice = wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    for (uint32_t i = 0; i < b->count; i++) {
        madvise(b->blocks[i].at, b->blocks[i].memory.used_length, advice); /* a wish */
    }
}

bool mig_buffer_no_huge_pages(MigBuffer *b, GError **error)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const MigMemoryBlock *m = &b->blocks[i].memory;
        if (m->host_page > 4096 && !b->blocks[i].shared) {
            return fail_errno(error, EINVAL, "its page-size is not what the host gave to block",
                              m->name);
        }
        /* EINVAL: a kernel without transparent huge pages, or hugetlb */
        if (madvise(b->blocks[i].at, m->used_length, MADV_NOHUGEPAGE) < 0 && errno != EINVAL) {
            return fail_errno(error, errno, "cannot keep huge pages out of block", m->name);
        }
    }
    return true;
}

uint8_t *mig_buffer_at(const MigBuffer *b, uint32_t block)
{
    return block_of(&b->memory, block)->at;
}

void mig_buffer_free(MigBuffer *b)
{
    if (!b) {
        return;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->blocks[i].at && !b->blocks[i].borrowed) {
            munmap(b->blocks[i].at, b->blocks[i].memory.used_length);
        }
        g_free(b->blocks[i].name);
    }
    g_free(b->blocks);
    g_free(b);
}

static bool page_equal(MigMemory *a, MigMemory *b, uint32_t block, uint64_t page, uint8_t *scratch)
{
    bool zero = a->ops->is_zero(a, block, page);
    if (zero != b->ops->is_zero(b, block, page)) {
        return false;
    }
    return zero || memcmp(a->ops->read(a, block, page, scratch),
                          b->ops->read(b, block, page, scratch + a->page_size), a->page_size) == 0;
}

static bool none_left_out(const void *opaque, uint32_t block, uint64_t page)
{
    (void)opaque, (void)block, (void)page;
    return false;
}

bool mig_memory_equal_but(MigMemory *a, MigMemory *b,
                          bool (*left_out)(const void *opaque, uint32_t block, uint64_t page),
                          const void *opaque, MigMemoryDifference *difference)
{
    g_autofree uint8_t *scratch = g_malloc(2 * a->page_size);
    *difference = (MigMemoryDifference){ 0 };
    for (uint32_t i = 0; i < a->ops->count(a); i++) {
        uint64_t pages = a->ops->block(a, i)->used_length / a->page_size;
        for (uint64_t page = 0; page < pages; page++) {
            bool there = page < b->ops->block(b, i)->used_length / a->page_size;
            if (left_out(opaque, i, page)) {
                difference->left_out++;
            } else if ((!there || !page_equal(a, b, i, page, scratch)) &&
                       difference->pages++ == 0) {
                difference->block = i;
                difference->page = page;
            }
        }
    }
    return difference->pages == 0;
}

bool mig_memory_equal(MigMemory *a, MigMemory *b, MigMemoryDifference *difference)
{
    return mig_memory_equal_but(a, b, none_left_out, NULL, difference);
}

static bool write_page(int fd, bool seeks, uint64_t at, const uint8_t *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = seeks ? pwrite(fd, bytes + done, n - done, (off_t)(at + done))
                          : write(fd, bytes + done, n - done);
        if (w < 0 && errno != EINTR) {
            return false;
        }
        done += w > 0 ? (size_t)w : 0;
    }
    return true;
}

bool mig_memory_dump(MigMemory *m, uint32_t block, int fd)
{
    g_autofree uint8_t *scratch = g_malloc(m->page_size);
    uint64_t length = m->ops->block(m, block)->used_length;
    bool seeks = ftruncate(fd, (off_t)length) == 0; /* a file; a device or FIFO has no holes */
    for (uint64_t page = 0; page < length / m->page_size; page++) {
        if (seeks && m->ops->is_zero(m, block, page)) {
            continue;
        }
        const uint8_t *bytes = m->ops->read(m, block, page, scratch);
        if (!write_page(fd, seeks, page * m->page_size, bytes, m->page_size)) {
            return false;
        }
    }
    return true;
}
