/* The automaton of Aho and Corasick over patterns read backwards. A text is read from its end, so what the
 * automaton knows at a place is what begins there: the node is the longest text from there on that ends a
 * pattern, and `best` the longest pattern among its beginnings.
 *
 * Nodes are made level by level, in the order of the sorted patterns. So a node's children lie side by side,
 * and all that is shorter is there when a node looks for its `fail`. No hash: nobody can choose patterns that
 * make it slow. */
#include "text/finder.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

struct xl_finder_node {
    int32_t first; /* child */
    int32_t fail;  /* the longest other node that this one's text begins with */
    int32_t best;  /* meaning of the longest pattern that it begins with; -1: none */
    uint16_t children;
    unsigned char byte; /* in which it differs from its parent */
};

static int32_t child(const xl_finder *f, int32_t node, unsigned char byte) {
    int32_t low = f->nodes[node].first, high = low + f->nodes[node].children;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (f->nodes[middle].byte == byte)
            return middle;
        if (f->nodes[middle].byte < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* The node after one more byte; 0, the root, where nothing ends so. */
static int32_t step(const xl_finder *f, int32_t node, unsigned char byte) {
    for (; node; node = f->nodes[node].fail) {
        int32_t next = child(f, node, byte);
        if (next >= 0)
            return next;
    }
    return f->root[byte];
}

static unsigned char from_end(const xl_pattern *p, size_t depth) {
    return (unsigned char)p->text[p->length - 1 - depth];
}

static int backwards(const void *a, const void *b) {
    const xl_pattern *x = a, *y = b;
    size_t shorter = x->length < y->length ? x->length : y->length;
    for (size_t i = 0; i < shorter; i++)
        if (from_end(x, i) != from_end(y, i))
            return from_end(x, i) - from_end(y, i);
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return (x->meaning < y->meaning) - (x->meaning > y->meaning); /* the last of equal ones stays */
}

typedef struct {
    xl_finder *f;
    xl_pattern *patterns;
    int32_t *reached; /* [patterns] nodes */
    int32_t count;    /* nodes */
} making;

/* The child of a node by this byte; a new one comes behind all others. */
static int32_t grown(making *m, int32_t parent, unsigned char byte) {
    xl_finder_node *p = &m->f->nodes[parent], *last = p->children ? &m->f->nodes[m->count - 1] : NULL;
    if (last && last->byte == byte)
        return m->count - 1;
    int32_t fail = parent ? step(m->f, p->fail, byte) : 0;
    if (!p->children++)
        p->first = m->count;
    m->f->nodes[m->count] = (xl_finder_node){0, fail, m->f->nodes[fail].best, 0, byte};
    return m->count++;
}

/* One level; patterns that have ended leave the list. Returns how many are left. */
static size_t grow(making *m, size_t count, size_t depth) {
    size_t left = 0;
    int32_t before = m->count;
    for (size_t i = 0; i < count; i++) {
        const xl_pattern p = m->patterns[i];
        int32_t node = grown(m, m->reached[i], from_end(&p, depth));
        if (p.length == depth + 1) {
            m->f->nodes[node].best = p.meaning;
            continue;
        }
        m->patterns[left] = p;
        m->reached[left++] = node;
    }
    for (int32_t i = before; depth == 0 && i < m->count; i++)
        m->f->root[m->f->nodes[i].byte] = i;
    return left;
}

int xl_finder_make(xl_finder *f, xl_pattern *patterns, size_t count) {
    size_t bytes = 1;
    *f = (xl_finder){0};
    for (size_t i = 0; i < count; i++)
        bytes += patterns[i].length;
    if (!count)
        return 1;
    making m = {f, patterns, xl_alloc(count * sizeof *m.reached), 1};
    f->nodes = bytes < INT32_MAX ? xl_alloc(bytes * sizeof *f->nodes) : NULL;
    if (m.reached && f->nodes) {
        f->nodes[0].best = -1;
        qsort(patterns, count, sizeof *patterns, backwards);
        for (size_t depth = 0; count; depth++)
            count = grow(&m, count, depth);
    }
    xl_free(m.reached);
    if (!count)
        return 1;
    xl_finder_free(f);
    return 0;
}

void xl_finder_free(xl_finder *f) {
    xl_free(f->nodes);
    *f = (xl_finder){0};
}

static int add(xl_findings *to, uint32_t at, int32_t meaning) {
    if (to->count == to->room) {
        size_t room = 2 * to->room + 64;
        struct xl_found *more = xl_alloc(room * sizeof *more);
        if (!more)
            return 0;
        if (to->count)
            memcpy(more, to->at, to->count * sizeof *more);
        xl_free(to->at);
        to->at = more;
        to->room = room;
    }
    to->at[to->count++] = (struct xl_found){at, meaning};
    return 1;
}

int xl_finder_look(const xl_finder *f, const char *text, size_t bytes, xl_findings *to) {
    int32_t node = 0;
    if (!f->nodes)
        return 1;
    for (size_t at = bytes; at-- > 0;) {
        node = step(f, node, (unsigned char)text[at]);
        if (node && f->nodes[node].best >= 0 && !add(to, (uint32_t)at, f->nodes[node].best))
            return 0;
    }
    return 1;
}
