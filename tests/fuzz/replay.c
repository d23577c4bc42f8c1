/* replay FOLDER...: calls a fuzz target with every file of the corpus, in any build and by any compiler. */
#include "fuzz/fuzz.h"
#include <dirent.h>

static int replay(const char *folder) {
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[512];
        size_t size;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        char *bytes = fuzz_read(path, &size), *exact = malloc(size + !size);
        memcpy(exact, bytes, size);    /* of exactly this size, so that ASAN sees a read behind it */
        fprintf(stderr, "%s\n", path); /* the last line names the one that crashes */
        LLVMFuzzerTestOneInput((const uint8_t *)exact, size);
        free(exact);
        free(bytes);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        int count = replay(argv[i]);
        printf("%s: %d files\n", argv[i], count);
        if (count < 5) {
            fprintf(stderr, "%s: where is the corpus?\n", argv[i]);
            return 1;
        }
    }
    return argc < 2;
}
