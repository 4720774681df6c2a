/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that commands write, see output.h. Temporary names also stand in a table, because a
 * signal's handler can reach nothing else: it removes them and lets the signal end the program.
 */
#include "sim/world/output.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Signals ---------------------------------------------------------------------------------- */

/* More than a command has open at once; what comes on top would be left behind. */
#define TEMPORARIES 8u

static char *volatile temporaries[TEMPORARIES]; /* NULL: free */
static volatile pid_t owner;                    /* not a child that has not called exec() yet */

static void on_signal(int number)
{
    for (unsigned i = 0; i < TEMPORARIES && getpid() == owner; i++) {
        if (temporaries[i]) {
            unlink(temporaries[i]);
        }
    }
    raise(number); /* comes when this returns: SA_RESETHAND has set the default */
}

/* Of the signals that end a program those for which nobody else has a plan. */
static void catch_signals(void)
{
    static const int numbers[] = { SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU, SIGXFSZ };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND }, now;
    owner = getpid();
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
            sigaction(numbers[i], &action, NULL);
        }
    }
}

static void replace_temporary(const char *from, char *to)
{
    for (unsigned i = 0; i < TEMPORARIES; i++) {
        if (temporaries[i] == from) {
            temporaries[i] = to;
            return;
        }
    }
}

/* g_mkstemp_full() of |name|, without a moment at which the file is there and not in the table. */
static int make_temporary(char *name)
{
    sigset_t all, before;
    catch_signals();
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int fd = g_mkstemp_full(name, O_RDWR | O_CLOEXEC, 0666);
    int code = errno;
    if (fd >= 0) {
        replace_temporary(NULL, name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return fd;
}

static void forget_temporary(MigOutput *out)
{
    replace_temporary(out->temporary, NULL);
    g_clear_pointer(&out->temporary, g_free);
}

/* Files ------------------------------------------------------------------------------------ */

/* |code| 0: an earlier write failed, and nobody kept why. */
static bool fail(GError **error, const char *name, int code)
{
    g_set_error(error, G_FILE_ERROR, code ? g_file_error_from_errno(code) : G_FILE_ERROR_FAILED,
                "cannot write %s: %s", name,
                code ? g_strerror(code) : "not all of it (no space, or nobody reads it any more)");
    return false;
}

static bool is_stdout(const char *path)
{
    return strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0;
}

/* What can't be replaced. A directory neither, but rename() would only say so in the end. */
static bool open_in_place(MigOutput *out, GError **error)
{
    int fd = g_open(out->path, O_WRONLY | O_CLOEXEC | O_NOCTTY, 0);
    out->file = fd < 0 ? NULL : fdopen(fd, "wb");
    return out->file || fail(error, out->name, errno);
}

static bool open_beside(MigOutput *out, GError **error)
{
    out->temporary = g_strconcat(out->path, ".XXXXXX", NULL);
    int fd = make_temporary(out->temporary);
    if (fd < 0) {
        g_clear_pointer(&out->temporary, g_free);
        return fail(error, out->name, errno);
    }
    out->file = fdopen(fd, "w+b");
    return true;
}

/* The file that |path| leads to, if there is one; |path| itself otherwise. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    char *copy = g_strdup(real ? real : path);
    free(real);
    return copy;
}

MigOutput *mig_output_open(const char *path, GError **error)
{
    g_autoptr(MigOutput) out = g_new0(MigOutput, 1);
    struct stat there;
    if (is_stdout(path)) {
        out->file = stdout;
        out->name = g_strdup("standard output");
        return g_steal_pointer(&out);
    }
    out->name = g_strdup(path);
    bool special =
        g_str_has_prefix(path, "/dev/fd/") || (stat(path, &there) == 0 && !S_ISREG(there.st_mode));
    out->path = special ? g_strdup(path) : resolve(path);
    if (!(special ? open_in_place(out, error) : open_beside(out, error))) {
        return NULL;
    }
    return g_steal_pointer(&out);
}

bool mig_output_commit(MigOutput *out, GError **error)
{
    errno = 0;
    if (fflush(out->file) != 0 || ferror(out->file)) {
        return fail(error, out->name, errno);
    }
    if (!out->path) {
        return true;
    }
    if (fclose(g_steal_pointer(&out->file)) != 0 ||
        (out->temporary && g_rename(out->temporary, out->path) != 0)) {
        return fail(error, out->name, errno);
    }
    forget_temporary(out);
    return true;
}

void mig_output_free(MigOutput *out)
{
    if (!out) {
        return;
    }
    if (out->file && out->path) {
        fclose(out->file);
    }
    if (out->temporary) {
        g_unlink(out->temporary);
        forget_temporary(out);
    }
    g_free(out->path);
    g_free(out->name);
    g_free(out);
}

bool mig_output_save(const char *path, const char *data, gssize n, GError **error)
{
    g_autoptr(MigOutput) out = mig_output_open(path, error);
    if (!out) {
        return false;
    }
    fwrite(data, 1, n < 0 ? strlen(data) : (size_t)n, out->file); /* commit() looks at ferror() */
    return mig_output_commit(out, error);
}

/* Names -------------------------------------------------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
    if (is_stdout(a) || is_stdout(b)) {
        return is_stdout(a) && is_stdout(b);
    }
    struct stat x, y;
    bool has_a = stat(a, &x) == 0, has_b = stat(b, &y) == 0;
    if (has_a && has_b) {
        return x.st_dev == y.st_dev && x.st_ino == y.st_ino && S_ISREG(x.st_mode);
    }
    g_autofree char *whole_a = g_canonicalize_filename(a, NULL);
    g_autofree char *whole_b = g_canonicalize_filename(b, NULL);
    return !has_a && !has_b && strcmp(whole_a, whole_b) == 0;
}

/* "-" as an input is another one than "-" as an output. */
static bool is_lost(const MigOutputName *a, const MigOutputName *b)
{
    if (!a->path || !b->path || (a->read && b->read)) {
        return false;
    }
    return !((a->read || b->read) && is_stdout(a->path)) && same_file(a->path, b->path);
}

bool mig_output_apart(const MigOutputName *names, unsigned n, GError **error)
{
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < i; k++) {
            const MigOutputName *a = &names[k], *b = &names[i];
            if (!is_lost(a, b)) {
                continue;
            }
            g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                        "%s and %s are the same file, %s: one would replace the other", a->option,
                        b->option, b->path);
            return false;
        }
    }
    return true;
}

FILE *mig_output_remarks(const MigOutputName *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (names[i].path && !names[i].read && is_stdout(names[i].path)) {
            return stderr;
        }
    }
    return stdout;
}
