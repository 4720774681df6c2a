/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and ending programs; see process.h. Linux: PR_SET_PDEATHSIG ends what we leave. */
#include "conformance/peers/process.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_US 2000 /* between two looks at whether it has ended */

/* In the child, between fork and exec: async-signal-safe calls only. */
static void set_up(gpointer data)
{
    (void)data;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

MigChild *mig_child_spawn(const char *name, char **argv, const char *log, GError **error)
{
    g_autoptr(MigChild) child = g_new0(MigChild, 1);
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);

    child->name = g_strdup(name);
    child->log = g_strdup(log);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "%s: %s", log,
                    g_strerror(errno));
        return NULL;
    }
    bool fine =
        g_spawn_async_with_fds(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                               set_up, NULL, &child->pid, -1, fd, fd, error);
    close(fd);
    if (!fine) {
        child->pid = 0;
        return NULL;
    }
    return g_steal_pointer(&child);
}

bool mig_child_ended(MigChild *child)
{
    if (child->pid && waitpid(child->pid, &child->status, WNOHANG) != 0) {
        child->pid = 0;
    }
    return !child->pid;
}

bool mig_child_wait(MigChild *child, int ms)
{
    gint64 end = g_get_monotonic_time() + (gint64)ms * 1000;

    while (!mig_child_ended(child)) {
        if (g_get_monotonic_time() >= end) {
            return false;
        }
        g_usleep(LOOK_US);
    }
    return true;
}

void mig_child_free(MigChild *child)
{
    if (!child) {
        return;
    }
    if (!mig_child_ended(child)) {
        kill(-child->pid, SIGKILL);
        kill(child->pid, SIGKILL); /* where it had no time to make its group */
        waitpid(child->pid, &child->status, 0);
    }
    g_free(child->name);
    g_free(child->log);
    g_free(child);
}

void mig_child_interrupt(MigChild *child)
{
    if (!mig_child_ended(child)) {
        kill(child->pid, SIGINT);
    }
}

char *mig_child_end_text(MigChild *child)
{
    if (!mig_child_ended(child)) {
        return g_strdup("still running");
    }
    if (WIFSIGNALED(child->status)) {
        int number = WTERMSIG(child->status);
        return g_strdup_printf("signal %d (%s)", number, g_strsignal(number));
    }
    return g_strdup_printf("exit status %d", WEXITSTATUS(child->status));
}

bool mig_child_crashed(MigChild *child)
{
    return mig_child_ended(child) && WIFSIGNALED(child->status);
}

unsigned mig_child_sockets(MigChild *child)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", mig_child_ended(child) ? 0 : child->pid);
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;
    unsigned n = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *link = g_build_filename(path, name, NULL);
        g_autofree char *target = g_file_read_link(link, NULL);
        n += target && g_str_has_prefix(target, "socket:");
    }
    g_clear_pointer(&dir, g_dir_close);
    return n;
}

gsize mig_child_said(const MigChild *child)
{
    struct stat st;
    return stat(child->log, &st) == 0 ? (gsize)st.st_size : 0;
}

char *mig_child_words(const MigChild *child, gsize from)
{
    g_autofree char *text = NULL;
    gsize n = 0;

    if (!g_file_get_contents(child->log, &text, &n, NULL) || n <= from) {
        return g_strdup("");
    }
    return g_strstrip(g_strdup(text + from));
}
