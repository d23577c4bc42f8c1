/* result.h - the result of one run (task x model x seed) as a file: what it holds, reading, writing. Reading
 * trusts nothing: what result_parse() accepts has every field that tables and reports look at. */
#ifndef RESULT_H
#define RESULT_H

#include <jansson.h>
#include <stddef.h>

enum { RESULT_SCHEMA = 2, RESULT_COLUMNS = 6, RESULT_WHY = 256 };
enum { SPEED_SCHEMA = 1 }; /* of what xlstm-speed writes */

/* A number of the final test, "perplexity" in "rare" being "rare.perplexity". */
typedef struct {
    const char *path, *heading;
    int digits;
} result_column;

/* What the results of a task hold; `loss` is what training lowers, with its unit; `counted`: what is
 * predicted and scored, "tokens" or "answers", which results call tokens in every task. The last column is
 * the one that models are ranked by. */
typedef struct {
    const char *name, *title, *measure, *loss, *counted;
    int higher_is_better;
    result_column columns[RESULT_COLUMNS]; /* ends with a NULL path, or full */
} result_kind;

const result_kind *result_kind_find(const char *task); /* NULL: there is no such task */
const result_kind *result_kind_at(int index);          /* NULL behind the last */
int result_columns(const result_kind *kind);

typedef enum {
    RESULT_OK,
    RESULT_MISSING,     /* no such file */
    RESULT_UNREADABLE,  /* it is there and cannot be read */
    RESULT_DAMAGED,     /* no JSON, or fields are absent or of a wrong type */
    RESULT_FOREIGN,     /* JSON, but not of a run */
    RESULT_OTHER_SCHEMA /* of another version of the programs */
} result_status;

/* *out is yours and NULL unless RESULT_OK; `why` says in a few words what is wrong. */
result_status result_parse(json_t **out, const char *text, size_t size, char why[RESULT_WHY]);
result_status result_read(json_t **out, const char *path, char why[RESULT_WHY]);

/* The value at a path of member names with dots between; NULL, NaN, "" when there is none of that type. */
json_t *result_at(const json_t *result, const char *path);
double result_number(const json_t *result, const char *path);
const char *result_text(const json_t *result, const char *path);

enum { RESULT_DIFFERENCE = 192 };
/* Whether two pieces of results are the same, numbers to nine digits, as files have them. If not, `says` gets
 * the first that differs, such as "training.steps is 20 there and 7 here"; NULL: nobody asks. */
int result_same(const json_t *here, const json_t *there, char says[RESULT_DIFFERENCE]);

/* Whether what xlstm-speed wrote has every field that its section looks at; if not, `why` names the first. */
int speed_has_all(const json_t *speed, char why[RESULT_WHY]);

/* DIR/NAMEending, to be freed. */
char *join(const char *dir, const char *name, const char *ending);
/* A NaN or infinity is null in JSON. */
json_t *number(double value);
/* What Linux calls this machine's processor; "unknown" where it does not say. */
json_t *processor_name(void);
/* A whole file or none, by xlstm_file_write(); NULL path: nowhere. Releases `root`; ends the program when it
 * fails. */
void write_json(const char *path, json_t *root);
/* Renames a file to `path`.damaged, or .damaged.2 ... where that exists, and says so with the reason. */
void result_set_aside(const char *path, const char *why);

#endif
