/* SPDX-License-Identifier: Apache-2.0 */
/* Signals through a pipe, see wake.h. A handler can reach nothing but what stands here. */
#include "sim/live/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static int wake_pipe[2] = { -1, -1 };

static void on_signal(int number)
{
    int saved = errno;
    (void)number;
    if (write(wake_pipe[1], "", 1) < 0) {
        errno = saved; /* full: enough was said */
    }
    errno = saved;
}

int mig_wake_on_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -1;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    return wake_pipe[0];
}
