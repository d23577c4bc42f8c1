/* batch.c - which tokens of which rows one pass computes, and the lists by which ops find them. Padding in
 * front is left out by starting later, and what nobody asks for behind by ending earlier. */
#include "base/error.h"
#include "base/mem.h"
#include "forecast/inside.h"
#include <string.h>

/* ---- room ---- */

/* The lists one behind the other; returns what they take. */
static size_t lay_out(xl_forecast_batch *b, int rows, int tokens) {
    size_t all = (size_t)rows * tokens, at = 0;
    struct {
        int32_t **list;
        size_t count;
    } lists[] = {{&b->lengths, rows}, {&b->first, rows + 1},  {&b->open, rows},    {&b->members, rows},
                 {&b->reversed, all}, {&b->wanted_rows, all}, {&b->head_rows, all}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; at += lists[i++].count)
        if (b->here)
            *lists[i].list = b->here + at;
    return at;
}

xlstm_status xl_forecast_batch_create(xl_forecast_batch *b, xl_memory *memory, int rows, int tokens) {
    b->count = lay_out(b, rows, tokens);
    size_t bytes = b->count * sizeof *b->here;
    b->order = xl_alloc(2 * rows * sizeof *b->order);
    b->here = xl_alloc(bytes);
    b->there = memory->take(memory, bytes);
    if (!b->order || !b->here || !b->there)
        return xl_no_memory(bytes, "the lists of a batch");
    b->from = b->order + rows;
    lay_out(b, rows, tokens);
    return XLSTM_OK;
}

void xl_forecast_batch_free(xl_forecast_batch *b, xl_memory *memory) {
    xl_free(b->order);
    xl_free(b->here);
    memory->give(memory, b->there);
    *b = (xl_forecast_batch){0};
}

void xl_forecast_batch_fill(xl_forecast_batch *b, int rows, int tokens, int wanted) {
    b->rows = b->heads = b->known = b->grouped = b->largest = rows;
    b->tokens = tokens;
    b->wanted = wanted;
    b->groups = 1;
}

/* ---- groups ---- */

int xl_forecast_group_end(const struct xl_forecast_rows *r, int g) {
    int end = g + 1;
    while (end < r->rows && r->group[end] == r->group[g])
        end++;
    return end;
}

/* Known covariates are read from the window's end to its beginning. */
static int has_known(const struct xl_forecast_rows *r, int g) {
    for (int row = g, end = xl_forecast_group_end(r, g); row < end; row++)
        if (r->known[row])
            return 1;
    return 0;
}

int xl_forecast_group_from(const struct xl_forecast_rows *r, int g) {
    int from = r->wanted_first;
    for (int row = g, end = xl_forecast_group_end(r, g); row < end; row++)
        from = r->padding[row] < from ? r->padding[row] : from;
    return has_known(r, g) ? 0 : from;
}

/* Covariates are needed to the end where they meet one that is read from there; targets never are. */
int xl_forecast_row_length(const struct xl_forecast_rows *r, int g, int row) {
    int end = r->wanted_first + r->wanted_count;
    return (!r->target[row] && has_known(r, g) ? r->tokens : end) - xl_forecast_group_from(r, g);
}

int xl_forecast_group_length(const struct xl_forecast_rows *r, int g) {
    int most = 0;
    for (int row = g, end = xl_forecast_group_end(r, g); row < end; row++) {
        int length = xl_forecast_row_length(r, g, row);
        most = length > most ? length : most;
    }
    return most;
}

static xlstm_status check_group(const struct xl_forecast_rows *r, int g) {
    int targets = 0;
    for (int row = g, end = xl_forecast_group_end(r, g); row < end; row++) {
        targets += r->target[row] != 0;
        if (r->target[row] && r->known[row])
            return xl_fail(XLSTM_E_ARGUMENT, "row %d is a target and known; only covariates are known ahead",
                           row);
        if (r->padding[row] < 0 || r->padding[row] > r->tokens)
            return xl_fail(XLSTM_E_ARGUMENT, "row %d has %d tokens of padding; give 0 to %d", row,
                           r->padding[row], r->tokens);
    }
    return targets ? XLSTM_OK
                   : xl_fail(XLSTM_E_ARGUMENT, "the group of row %d has no target; give it one", g);
}

xlstm_status xl_forecast_rows_check(const struct xl_forecast_rows *r, int rows, int tokens) {
    if (r->rows < 1 || r->rows > rows || r->tokens < 1 || r->tokens > tokens)
        return xl_fail(XLSTM_E_ARGUMENT, "%d rows of %d tokens; this run was made for 1 to %d of 1 to %d",
                       r->rows, r->tokens, rows, tokens);
    if (r->wanted_first < 0 || r->wanted_count < 1 || r->wanted_count > r->tokens - r->wanted_first)
        return xl_fail(XLSTM_E_ARGUMENT, "%d tokens from %d on are wanted; rows have 0 to %d",
                       r->wanted_count, r->wanted_first, r->tokens - 1);
    for (int g = 0; g < r->rows; g = xl_forecast_group_end(r, g))
        XL_TRY(check_group(r, g));
    return XLSTM_OK;
}

/* ---- streams ---- */

enum { KNOWN, GROUPED, LONE, KINDS };

static int kind_of(const struct xl_forecast_rows *r, int g, int row) {
    if (xl_forecast_group_end(r, g) == g + 1)
        return LONE;
    return r->known[row] ? KNOWN : GROUPED;
}

static void add_stream(xl_forecast_batch *b, const struct xl_forecast_rows *r, int g, int row, int all) {
    int s = b->rows++;
    b->order[s] = row;
    b->from[s] = all ? 0 : xl_forecast_group_from(r, g);
    b->lengths[s] = all ? r->tokens : xl_forecast_row_length(r, g, row);
    b->tokens = b->lengths[s] > b->tokens ? b->lengths[s] : b->tokens;
}

static int stream_of(const xl_forecast_batch *b, int row) {
    int s = 0;
    while (b->order[s] != row)
        s++;
    return s;
}

/* Covariates before targets. */
static void add_group(xl_forecast_batch *b, const struct xl_forecast_rows *r, int g) {
    int end = xl_forecast_group_end(r, g), group = b->groups++, at = b->first[group];
    for (int target = 0; target < 2; target++) {
        for (int row = g; row < end; row++)
            if (!r->target[row] == !target)
                b->members[at++] = stream_of(b, row);
        if (!target)
            b->open[group] = at - b->first[group];
    }
    b->first[group + 1] = at;
    b->largest = end - g > b->largest ? end - g : b->largest;
}

static void mirror(xl_forecast_batch *b) {
    for (int s = 0; s < b->known; s++)
        for (int t = 0; t < b->tokens; t++)
            b->reversed[s * b->tokens + t] = s * b->tokens + (t < b->lengths[s] ? b->lengths[s] - 1 - t : t);
}

static void want(xl_forecast_batch *b, const struct xl_forecast_rows *r, int first, int all) {
    for (int s = 0; s < b->rows; s++)
        for (int i = 0; i < b->wanted; i++)
            b->wanted_rows[s * b->wanted + i] = s * b->tokens + first - b->from[s] + i;
    b->heads = 0;
    for (int row = 0; row < r->rows; row++)
        for (int s = 0; s < b->rows; s++)
            if (b->order[s] == row && (all || r->target[row])) {
                for (int i = 0; i < b->wanted; i++)
                    b->head_rows[b->heads * b->wanted + i] = s * b->wanted + i;
                b->heads++;
            }
}

void xl_forecast_batch_take(xl_forecast_batch *b, const struct xl_forecast_rows *r,
                            const unsigned char *marks, int all) {
    b->rows = b->tokens = b->groups = b->largest = b->first[0] = 0;
    int ends[KINDS];
    for (int kind = 0; kind < KINDS; kind++) {
        for (int g = 0, end; g < r->rows; g = end) {
            end = xl_forecast_group_end(r, g);
            for (int row = g; row < end && marks[g]; row++)
                if (kind_of(r, g, row) == kind)
                    add_stream(b, r, g, row, all);
        }
        ends[kind] = b->rows;
    }
    b->known = ends[KNOWN];
    b->grouped = ends[GROUPED];
    for (int g = 0, end; g < r->rows; g = end) {
        end = xl_forecast_group_end(r, g);
        if (marks[g] && end > g + 1)
            add_group(b, r, g);
    }
    mirror(b);
    b->wanted = all ? r->tokens : r->wanted_count;
    want(b, r, all ? 0 : r->wanted_first, all);
}

void xl_forecast_batch_put(xl_forecast_batch *b, xl_memory *memory) {
    memory->put(memory, b->there, b->here, b->count * sizeof *b->here);
}

void xl_forecast_put_tokens(const xl_forecast_batch *b, xl_memory *memory, real *in, int entry,
                            const struct xl_forecast_rows *r, const real *tokens) {
    size_t all = (size_t)b->tokens * entry;
    for (int s = 0; s < b->rows; s++) {
        real *to = in + s * all;
        size_t count = (size_t)b->lengths[s] * entry;
        memory->put(memory, to, tokens + ((size_t)b->order[s] * r->tokens + b->from[s]) * entry,
                    count * sizeof(real));
        memory->clear(memory, to + count, (all - count) * sizeof(real));
    }
}
