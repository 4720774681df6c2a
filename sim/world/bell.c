/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that wake each other, see bell.h. */
#include "sim/world/bell.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mig_bell_new(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void mig_bell_ring(int bell)
{
    uint64_t one = 1;
    while (write(bell, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

void mig_bell_heard(int bell)
{
    uint64_t count;
    while (read(bell, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
}
