/* finder.h - many patterns looked for at once, in time that is linear in the text whatever they are. */
#ifndef XL_FINDER_H
#define XL_FINDER_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *text;
    size_t length;   /* at least 1 */
    int32_t meaning; /* at least 0; of equal patterns the lowest counts */
} xl_pattern;

typedef struct xl_finder_node xl_finder_node;
typedef struct {
    xl_finder_node *nodes; /* NULL: there are no patterns */
    int32_t root[256];     /* the nodes of one byte; 0: none */
} xl_finder;

/* Where patterns begin, at each place the longest of them; from the text's end to its beginning. Begins as
 * {0}; xl_free(at) ends it. */
typedef struct {
    struct xl_found {
        uint32_t at;
        int32_t meaning;
    } * at;
    size_t count, room;
} xl_findings;

/* The patterns are sorted, and not needed afterwards. 0: no memory. */
int xl_finder_make(xl_finder *f, xl_pattern *patterns, size_t count);
void xl_finder_free(xl_finder *f);
/* In less than 4 GiB. 0: no memory. */
int xl_finder_look(const xl_finder *f, const char *text, size_t bytes, xl_findings *to);

#endif
