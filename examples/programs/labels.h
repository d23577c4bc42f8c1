/* labels.h - the labels of a time axis, and how they go on: numbers, months (2024-05), dates (2024-05-31) and
 * dates with times (2024-05-31T18:00, with a blank for the T, seconds, Z or an offset as they come). */
#ifndef LABELS_H
#define LABELS_H

enum { LABEL_ROOM = 48 };

typedef enum { LABEL_OTHER, LABEL_NUMBER, LABEL_MONTH, LABEL_DATE, LABEL_TIME } label_kind;

/* What continues a list of labels. */
typedef struct {
    label_kind kind;   /* LABEL_OTHER: their step is not constant, or they are something else */
    double last, step; /* numbers; seconds since 1970; months since the year 0 */
    int monthly;       /* dates whose steps are whole months */
    int day;           /* of a monthly date; 31: the month's last */
    int second;        /* of a monthly date, within its day */
    int decimals;      /* of numbers */
    char joint;        /* between date and time */
    int has_seconds;
    char zone[8]; /* as it stands behind a time */
} labels;

/* count: at least 2 for a step. */
labels labels_of(const char *const *label, int count);
/* The label `ahead` steps behind the last one, "+ahead" where they cannot be continued. */
void labels_next(const labels *l, int ahead, char text[LABEL_ROOM]);

#endif
