/* options.h - what a program can be told, as one table. A row is an option: parsing, what is refused (one
 * sentence and exit code 2), the value where none is given, and --help all come from it, so that an option is
 * written once. Its kind is the type of the field that it fills. argp, of the C library, reads the command
 * line and lays out --help. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stddef.h>
#include <stdint.h>

/* Lists have commas between their items, and last as long as the program. */
typedef struct {
    int count;
    const char **of;
} option_words;

typedef struct {
    int count, *of;
} option_counts;

typedef struct {
    int count;
    double *of;
} option_numbers;

typedef enum {
    OPTION_INT,   /* or an enum; a flag where its value has no name, the index where there are choices */
    OPTION_INT64, /* a whole number */
    OPTION_FLOAT,
    OPTION_DOUBLE,
    OPTION_TEXT,
    OPTION_WORDS, /* with choices: of these */
    OPTION_COUNTS,
    OPTION_NUMBERS
} option_kind;

/* Place and kind of a field. */
#define OPTION_FIELD(struct_type, field) offsetof(struct_type, field), OPTION_KIND(((struct_type *)0)->field)
#define OPTION_KIND(value)                                                                                   \
    _Generic(value, int: OPTION_INT, unsigned: OPTION_INT, int64_t: OPTION_INT64, uint64_t: OPTION_INT64,    \
             float: OPTION_FLOAT, double: OPTION_DOUBLE, const char *: OPTION_TEXT,                          \
             option_words: OPTION_WORDS, option_counts: OPTION_COUNTS, option_numbers: OPTION_NUMBERS)

#define RANGE(low, high) .range = {low, high}

/* As a key: what stands without a --name, in this order. A text has to be there; words take all that come. */
enum { OPTION_ARGUMENT = 1 };

/* What a text names (paths.h). It is looked at when the command line is read, before the program's work. */
typedef enum {
    OPTION_NO_PATH,
    OPTION_READ,  /* a file */
    OPTION_RUN,   /* a program */
    OPTION_WRITE, /* a file, no two options the same one; what is there is the option's own, or it stays */
    OPTION_FOLDER /* where files are written */
} option_path;

/* {"width", 'w', FIELD(width), "N", RANGE(1, 65536), .initial = "64", .help = "of the embedding"}, where
 * FIELD is OPTION_FIELD of the program's struct. */
typedef struct {
    const char *name; /* NULL: `help` is a heading over the rows behind it */
    char key;         /* of -k; 0: none */
    size_t offset;
    option_kind kind;
    const char *value;          /* its name in --help; NULL: a flag */
    double range[2];            /* of numbers, both ends included; 0, 0 for what is no number */
    const char *const *choices; /* NULL behind the last; or NULL */
    const char *initial;        /* as it could be given; NULL: the field stays as it was */
    const char *help;           /* NULL: --help does not show it */
    int programs;               /* bits: whose option it is, where several share the table; 0: of all */
    const char *refusal;        /* said to the others, behind its name */
    option_path path;           /* of a text */
    const char *own;            /* OPTION_WRITE: in the beginning of every file that this option wrote */
} option;

/* Ends with a row of zeros. */
typedef struct {
    const char *doc; /* before the options in --help, and behind a \v after them */
    const option *rows;
    int program; /* its bit */
} option_table;

/* Fills the fields of `into`, or ends the program: with 2, or after --help with 0. What is not given stays,
 * so that it may be called again over other values. */
void read_options(void *into, const option_table *table, int argc, char **argv);
/* Where among the choices the text is; ends the program with 2 if it is not. */
int option_choice(const char *name, const char *text, const char *const *choices);

/* Choices that several programs have, in the order of xlstm_weights. */
extern const char *const weights_choices[];

#endif
