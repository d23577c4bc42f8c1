/* folder.h - the folder of a test's own, and paths in it. */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include <stdio.h>

static char dir[64]; /* named and made by the test */

/* Of the last four names that were asked for. */
static const char *in_dir(const char *name) {
    static char path[4][160];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

#endif
