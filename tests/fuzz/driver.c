/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target once over every file of the folders and files named, as TAP. Each input runs
 * in a child, so that one that crashes fails alone; it also runs cut short at every eighth of its
 * length.
 */
#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define PIECES  8
#define SECONDS 60 /* until an input counts as endless */

static int tests;
static int failures;

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    uint8_t *data = NULL;
    if (file && fstat(fileno(file), &st) == 0) {
        *size = (size_t)st.st_size;
        data = malloc(*size + 1);
        if (data && fread(data, 1, *size, file) != *size) {
            free(data);
            data = NULL;
        }
    }
    if (file) {
        fclose(file);
    }
    return data;
}

/* Each call gets a copy of exactly its size, so that a sanitizer sees a read past the end. */
static void run_in_child(const uint8_t *data, size_t size)
{
    alarm(SECONDS);
    for (size_t n = 0; n <= PIECES; n++) {
        size_t length = size * n / PIECES;
        uint8_t *copy = malloc(length ? length : 1);
        if (!copy) {
            _exit(1);
        }
        memcpy(copy, data, length);
        LLVMFuzzerTestOneInput(copy, length);
        free(copy);
    }
    exit(0);
}

static void run_file(const char *path)
{
    size_t size = 0;
    uint8_t *data = read_file(path, &size);
    int status = -1;
    fflush(stdout);
    pid_t child = data ? fork() : -1;
    if (child == 0) {
        run_in_child(data, size);
    }
    if (child > 0) {
        waitpid(child, &status, 0);
    }
    free(data);
    if (status != 0) {
        failures++;
        printf("# %s: wait status %#x\n", path, (unsigned)status);
    }
    printf("%s %d - %s\n", status == 0 ? "ok" : "not ok", ++tests, strrchr(path, '/') + 1);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void run_folder(const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, visible, alphasort);
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
        run_file(file);
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        run_folder(argv[i]);
    }
    printf("1..%d\n", tests);
    return failures || tests == 0;
}
