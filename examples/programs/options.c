/* options.c - options from a table: its rows become argp's, and each text that argp hands back is put where
 * its row says, by the type of the field there. */
#include "options.h"
#include "paths.h"
#include "program.h"
#include <argp.h>

const char *const weights_choices[] = {"real", "bf16", "int8", "int4", NULL};

/* Texts and lists last as long as the program, so they are all held here. */
typedef struct kept {
    struct kept *next;
    max_align_t data[];
} kept;

static void *keep(size_t bytes) {
    static kept *all;
    kept *k = need(sizeof *k + bytes);
    k->next = all;
    all = k;
    return k->data;
}

/* a, b or c */
static char *one_of(const char *const *choices) {
    size_t size = 1;
    for (int i = 0; choices[i]; i++)
        size += strlen(choices[i]) + strlen(" or ");
    char *text = keep(size), *end = text;
    for (int i = 0; choices[i]; i++)
        end = stpcpy(stpcpy(end, !i ? "" : choices[i + 1] ? ", " : " or "), choices[i]);
    return text;
}

/* ---- values ---- */

static int64_t whole_number(const option *o, const char *text) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || (double)value < o->range[0] || (double)value > o->range[1])
        die("--%s is \"%s\"; give a whole number from %.0f to %.0f", o->name, text, o->range[0], o->range[1]);
    return value;
}

static double real_number(const option *o, const char *text) {
    return number_option(o->name, text, o->range[0], o->range[1]);
}

int option_choice(const char *name, const char *text, const char *const *choices) {
    for (int i = 0; choices[i]; i++)
        if (!strcmp(text, choices[i]))
            return i;
    die("--%s: \"%s\" is unknown; use %s", name, text, one_of(choices));
}

static int int_of(const option *o, const char *text) {
    return !o->value ? 1 : o->choices ? option_choice(o->name, text, o->choices) : (int)whole_number(o, text);
}

static void put(const option *o, option_kind kind, char *field, const char *text);

/* A list is a count and a pointer to its items, of whatever type. */
static void put_list(const option *o, option_kind item_kind, size_t item_size, char *field,
                     const char *text) {
    char *list = strcpy(keep(strlen(text) + 1), text), *save = NULL;
    char *items = keep((strlen(text) / 2 + 1) * item_size);
    int count = 0;
    for (char *item = strtok_r(list, ", ", &save); item; item = strtok_r(NULL, ", ", &save))
        put(o, item_kind, items + (size_t)count++ * item_size, item);
    if (!count)
        die("--%s is empty; give a list with commas between", o->name);
    memcpy(field + offsetof(option_words, count), &count, sizeof count);
    memcpy(field + offsetof(option_words, of), &items, sizeof items);
}

static void put(const option *o, option_kind kind, char *field, const char *text) {
    switch (kind) {
    case OPTION_INT:
        *(int *)(void *)field = int_of(o, text);
        return;
    case OPTION_INT64:
        *(int64_t *)(void *)field = whole_number(o, text);
        return;
    case OPTION_FLOAT:
        *(float *)(void *)field = (float)real_number(o, text);
        return;
    case OPTION_DOUBLE:
        *(double *)(void *)field = real_number(o, text);
        return;
    case OPTION_TEXT:
        *(const char **)(void *)field =
            o->choices ? o->choices[option_choice(o->name, text, o->choices)] : text;
        return;
    case OPTION_WORDS:
        put_list(o, OPTION_TEXT, sizeof(const char *), field, text);
        return;
    case OPTION_COUNTS:
        put_list(o, OPTION_INT, sizeof(int), field, text);
        return;
    case OPTION_NUMBERS:
        put_list(o, OPTION_DOUBLE, sizeof(double), field, text);
        return;
    }
}

/* ---- the command line ---- */

enum { FIRST_KEY = 1000 }; /* of the rows that have no letter */

typedef struct {
    const option_table *table;
    char *into;
    int argc, arguments; /* without a --name, so far */
} reading;

static int is_end(const option *o) {
    return !o->name && !o->help;
}

static int is_refused(const option_table *t, const option *o) {
    return o->programs && !(o->programs & t->program);
}

/* The row that takes the n-th argument, or NULL. */
static const option *argument_row(const option_table *t, int n) {
    for (const option *o = t->rows; !is_end(o); o++)
        if (o->key == OPTION_ARGUMENT && (o->kind == OPTION_WORDS || n-- == 0))
            return o;
    return NULL;
}

static void take_argument(reading *r, const char *text) {
    const option *o = argument_row(r->table, r->arguments++);
    if (!o)
        die(r->arguments > 1 ? "\"%s\" is one argument too many; see --help"
                             : "\"%s\" is not an option; see --help",
            text);
    if (o->kind == OPTION_TEXT) {
        put(o, OPTION_TEXT, r->into + o->offset, text);
        return;
    }
    option_words *words = (void *)(r->into + o->offset);
    if (!words->of)
        words->of = keep((size_t)r->argc * sizeof *words->of);
    words->of[words->count++] = text;
}

static void take_option(const reading *r, const option *o, const char *text) {
    if (is_refused(r->table, o))
        die("--%s %s", o->name, o->refusal);
    put(o, o->kind, r->into + o->offset, text);
}

static int key_of(const option_table *t, const option *o) {
    return o->key ? o->key : FIRST_KEY + (int)(o - t->rows);
}

static error_t take(int key, char *text, struct argp_state *state) {
    reading *r = state->input;
    const option *missing = argument_row(r->table, r->arguments);
    if (key == ARGP_KEY_ARG) {
        take_argument(r, text);
        return 0;
    }
    if (key == ARGP_KEY_END && missing && missing->kind == OPTION_TEXT)
        die("%s is needed; see --help", missing->name);
    for (const option *o = r->table->rows; !is_end(o); o++)
        if (o->name && o->key != OPTION_ARGUMENT && key == key_of(r->table, o)) {
            take_option(r, o, text);
            return 0;
        }
    return ARGP_ERR_UNKNOWN;
}

/* ---- places ---- */

/* What the row's option names; NULL: nothing. */
static const char *path_in(const option *o, const char *into) {
    const char *path = NULL;
    if (o->path != OPTION_NO_PATH)
        memcpy(&path, into + o->offset, sizeof path);
    return path;
}

static void check_path(const option *o, const char *path) {
    switch (o->path) {
    case OPTION_NO_PATH:
        return;
    case OPTION_READ:
        check_readable(path);
        return;
    case OPTION_RUN:
        check_runnable(path);
        return;
    case OPTION_WRITE:
        check_writable(o->name, path, o->own);
        return;
    case OPTION_FOLDER:
        check_folder(path);
        return;
    }
}

/* Two files at one place: the second would replace the first. */
static void check_two(const option *a, const option *b, const char *into) {
    const char *one = path_in(a, into), *other = path_in(b, into);
    if (a->path == OPTION_WRITE && b->path == OPTION_WRITE && one && other && same_file(one, other) &&
        !is_device(one))
        die("--%s and --%s are the same file, %s; give two", a->name, b->name, one);
}

static void check_paths(const option_table *t, const char *into) {
    for (const option *o = t->rows; !is_end(o); o++) {
        const char *path = path_in(o, into);
        if (path)
            check_path(o, path);
        for (const option *before = t->rows; before < o; before++)
            check_two(before, o, into);
    }
}

/* ---- --help ---- */

static const char *help_text(const option *o) {
    if (!o->initial)
        return o->help;
    char *text = keep(strlen(o->help) + strlen(o->initial) + 32);
    sprintf(text, "%s (default: %s)", o->help, o->initial);
    return text;
}

/* @param group how many headings stand before it */
static struct argp_option shown(const option_table *t, const option *o, int group) {
    if (!o->name)
        return (struct argp_option){.doc = o->help, .group = group};
    if (o->key == OPTION_ARGUMENT)
        return (struct argp_option){.name = o->name, .doc = o->help, .flags = OPTION_DOC | OPTION_NO_USAGE};
    int hidden = !o->help || is_refused(t, o);
    return (struct argp_option){.name = o->name,
                                .key = key_of(t, o),
                                .arg = o->value,
                                .doc = hidden ? NULL : help_text(o),
                                .flags = hidden ? OPTION_HIDDEN : 0,
                                .group = group};
}

/* MODEL_DIR FILE, or FOLDER... */
static const char *usage(const option_table *t) {
    char *text = keep(256), *end = text;
    const option *o;
    for (int n = 0; (o = argument_row(t, n)); n++) {
        end += sprintf(end, "%s%s", n ? " " : "", o->name);
        if (o->kind == OPTION_WORDS) {
            strcpy(end, "...");
            break;
        }
    }
    return end == text ? NULL : text;
}

static void print_version(FILE *to, struct argp_state *state) {
    (void)state;
    fprintf(to, "%s %s\n", program_invocation_short_name, xlstm_version());
}

void read_options(void *into, const option_table *t, int argc, char **argv) {
    reading r = {.table = t, .into = into, .argc = argc};
    int count = 0, group = 1;
    program_begin();
    while (!is_end(&t->rows[count]))
        count++;
    struct argp_option *rows = keep((size_t)(count + 1) * sizeof *rows);
    for (int i = 0; i < count; i++) {
        const option *o = &t->rows[i];
        group += !o->name;
        rows[i] = shown(t, o, group);
        if (o->initial)
            put(o, o->kind, r.into + o->offset, o->initial);
    }
    const struct argp argp = {rows, take, usage(t), t->doc, NULL, NULL, NULL};
    argp_err_exit_status = 2;
    argp_program_version_hook = print_version;
    argp_parse(&argp, argc, argv, 0, NULL, &r);
    check_paths(t, into);
}
