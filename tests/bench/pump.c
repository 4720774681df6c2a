/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast memory goes through a unix socket when nobody looks at it: what bench-live.py measures
 * migrations against. One process writes a block in the portions in which a migration writes pages,
 * another reads it into a block of its own; both blocks are anonymous, with huge pages wanted, and
 * that of the reader is touched for the first time, as a destination's.
 *
 *     pump BYTES       prints the nanoseconds from the first write to the last byte read
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE   4096u
#define VECTOR 32 /* pages of one writev */
#define READ   (256u << 10)

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static uint8_t *block(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        perror("pump: mmap");
        exit(4);
    }
    madvise(at, bytes, MADV_HUGEPAGE);
    return at;
}

static void fill(uint8_t *at, size_t bytes)
{
    uint64_t x = 88172645463325252ull;
    for (size_t i = 0; i < bytes; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(at + i, &x, 8);
    }
}

static int receive(int fd, size_t bytes)
{
    uint8_t *to = block(bytes);
    for (size_t done = 0; done < bytes;) {
        size_t left = bytes - done;
        struct iovec v = { to + done, left < READ ? left : READ };
        ssize_t n = readv(fd, &v, 1);
        if (n <= 0) {
            return 4;
        }
        done += (size_t)n;
    }
    return write(fd, "", 1) == 1 ? 0 : 4;
}

/* Writes |count| vectors whole. */
static int write_all(int fd, struct iovec *v, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, v, count);
        if (n < 0) {
            return 4;
        }
        while (count > 0 && (size_t)n >= v->iov_len) {
            n -= (ssize_t)v->iov_len;
            v++;
            count--;
        }
        if (count > 0) {
            v->iov_base = (uint8_t *)v->iov_base + n;
            v->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static int send_all(int fd, uint8_t *from, size_t bytes)
{
    char verdict;
    for (size_t done = 0; done < bytes; done += VECTOR * PAGE) {
        struct iovec v[VECTOR];
        for (size_t i = 0; i < VECTOR; i++) {
            v[i] = (struct iovec){ from + done + i * PAGE, PAGE };
        }
        if (write_all(fd, v, VECTOR)) {
            return 4;
        }
    }
    return read(fd, &verdict, 1) == 1 ? 0 : 4;
}

int main(int argc, char **argv)
{
    int fds[2], status = 4;
    size_t bytes = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
    if (bytes == 0 || bytes % (VECTOR * PAGE)) {
        fprintf(stderr, "usage: pump BYTES (a multiple of %u)\n", VECTOR * PAGE);
        return 2;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) {
        perror("pump: socketpair");
        return 4;
    }
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        _exit(receive(fds[1], bytes));
    }
    close(fds[1]);
    uint8_t *from = block(bytes);
    fill(from, bytes);
    int64_t began = now();
    int failed = send_all(fds[0], from, bytes);
    int64_t ns = now() - began;
    waitpid(child, &status, 0);
    if (failed || status) {
        fprintf(stderr, "pump: failed\n");
        return 4;
    }
    printf("%lld\n", (long long)ns);
    return 0;
}
