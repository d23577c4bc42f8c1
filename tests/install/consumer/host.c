/* A program with plugins: opens one, calls its xlstm_use(), which computes on several threads, closes it;
 * three times. usage: host PLUGIN.so, which is use.c with that name for main */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(int argc, char **argv) {
    const struct timespec while_threads_wake = {0, 200000000};
    for (int round = 0; round < 3; round++) {
        void *plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
        void *address = plugin ? dlsym(plugin, "xlstm_use") : NULL;
        int (*use)(void);
        if (!address)
            return fprintf(stderr, "%s\n", argc == 2 ? dlerror() : "usage: host PLUGIN.so"), 2;
        memcpy(&use, &address, sizeof use); /* ISO C has no cast for this */
        if (use())
            return fprintf(stderr, "the plugin failed in round %d\n", round), 1;
        if (dlclose(plugin))
            return fprintf(stderr, "%s\n", dlerror()), 2;
        nanosleep(&while_threads_wake, NULL);
    }
    puts("closed three times");
    return 0;
}
