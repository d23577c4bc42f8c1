/* fuzz.h - what the fuzz targets share. A target is one function over bytes that nobody vouches for:
 * libFuzzer calls it with bytes of its own making, replay.c with the files of the corpus. */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include "xlstm.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops the program, so that libFuzzer keeps the bytes and a replay fails. */
#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n  last error: %s\n", __FILE__, __LINE__, #condition,         \
                    xlstm_last_error());                                                                     \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* Every failure has a sentence. Returns whether the call succeeded. */
static inline int went_well(xlstm_status status) {
    MUST(status <= 0 && status >= XLSTM_E_NUMERIC);
    MUST(status == XLSTM_OK || strlen(xlstm_last_error()) > 10);
    return status == XLSTM_OK;
}

enum { FUZZ_PATH = 256 };
static char fuzz_folder[FUZZ_PATH - 64];

static inline void fuzz_path(char path[FUZZ_PATH], const char *name) {
    snprintf(path, FUZZ_PATH, "%s/%s", fuzz_folder, name);
}

static inline void fuzz_remove_folder(void) {
    static const char *const names[] = {"a.safetensors", "b.safetensors", "a.json",
                                        "b.json",        "a.txt",         "a.ckpt"};
    char path[FUZZ_PATH];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fuzz_path(path, names[i]);
        unlink(path);
    }
    rmdir(fuzz_folder);
}

/* In TMPDIR: in a file system in memory, fuzzing is a hundred times as fast, since files are synced. */
static inline void fuzz_make_folder(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(fuzz_folder, sizeof fuzz_folder, "%.160s/xlstm_fuzz_XXXXXX", tmp ? tmp : "/tmp");
    MUST(mkdtemp(fuzz_folder));
    atexit(fuzz_remove_folder);
}

/* The library takes paths: the bytes become a file of this name in a folder of the process's own. */
static inline void fuzz_file(char path[FUZZ_PATH], const char *name, const void *data, size_t size) {
    if (!*fuzz_folder)
        fuzz_make_folder();
    fuzz_path(path, name);
    FILE *f = fopen(path, "wb");
    MUST(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

static inline char *fuzz_read(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    MUST(f && !fseek(f, 0, SEEK_END));
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size + 1);
    MUST(bytes && fread(bytes, 1, *size, f) == *size && !fclose(f));
    bytes[*size] = 0;
    return bytes;
}

#endif
