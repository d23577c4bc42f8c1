/* labels.c - calendars are the Gregorian one, without leap seconds and without a zone's changes: what a label
 * says is taken as it stands. */
#include "labels.h"
#include "compare.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    label_kind kind;
    double number;
    int year, month, day, second; /* of the day */
    int decimals, has_seconds;
    char joint, zone[8];
} label;

static int days_in(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01, of years from 1 on: whole eras of 400 years have 146097. */
static long day_number(int year, int month, int day) {
    int y = year - (month <= 2), era = y / 400, of_era = y % 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return (long)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(long number, int *year, int *month, int *day) {
    long z = number + 719468, era = z / 146097, of_era = z % 146097;
    long y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    long of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5) + 1;
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400) + (*month <= 2);
}

/* ---- reading one ---- */

/* `count` digits; behind them, or NULL. */
static const char *digits(const char *at, int count, int *value) {
    *value = 0;
    for (int i = 0; i < count; i++, at++) {
        if (*at < '0' || *at > '9')
            return NULL;
        *value = 10 * *value + *at - '0';
    }
    return at;
}

static const char *after(const char *at, char expected) {
    return at && *at == expected ? at + 1 : NULL;
}

static int is_zone(const char *at) {
    int hours, minutes;
    if (!*at || !strcmp(at, "Z"))
        return 1;
    if (*at != '+' && *at != '-')
        return 0;
    at = digits(at + 1, 2, &hours);
    if (at && *at == ':')
        at++;
    at = at && *at ? digits(at, 2, &minutes) : at;
    return at && !*at;
}

static int read_time(label *l, const char *at) {
    int hour, minute, second = 0;
    l->joint = *at;
    at = after(digits(at + 1, 2, &hour), ':');
    at = at ? digits(at, 2, &minute) : NULL;
    if (!at || (*at == ':' && !digits(at + 1, 2, &second)))
        return 0;
    l->has_seconds = *at == ':';
    at += l->has_seconds ? 3 : 0;
    if (*at == '.') /* parts of a second that are none */
        for (at++; *at == '0';)
            at++;
    if (hour > 23 || minute > 59 || second > 59 || strlen(at) >= sizeof l->zone || !is_zone(at))
        return 0;
    strcpy(l->zone, at);
    l->second = (hour * 60 + minute) * 60 + second;
    l->kind = LABEL_TIME;
    return 1;
}

static int read_date(label *l, const char *text) {
    const char *at = after(digits(text, 4, &l->year), '-');
    at = at ? digits(at, 2, &l->month) : NULL;
    if (!at || l->year < 1 || l->month < 1 || l->month > 12)
        return 0;
    l->day = 1;
    l->kind = LABEL_MONTH;
    if (!*at)
        return 1;
    at = after(at, '-') ? digits(at + 1, 2, &l->day) : NULL;
    if (!at || l->day < 1 || l->day > days_in(l->year, l->month))
        return 0;
    l->kind = LABEL_DATE;
    return !*at || ((*at == 'T' || *at == ' ') && read_time(l, at));
}

static int read_number(label *l, const char *text) {
    char *end;
    const char *point = strchr(text, '.');
    if (!*text || strspn(text, "+-0123456789.") < strlen(text))
        return 0;
    l->number = strtod(text, &end);
    l->decimals = point ? (int)strlen(point + 1) : 0;
    l->kind = LABEL_NUMBER;
    return !*end && l->number > -1e15 && l->number < 1e15 && l->decimals <= 15;
}

static label read_label(const char *text) {
    label l = {0};
    if (!read_date(&l, text) && !read_number(&l, text))
        l = (label){.kind = LABEL_OTHER};
    return l;
}

/* ---- a list ---- */

static double place_of(const label *l, int monthly) {
    if (l->kind == LABEL_NUMBER)
        return l->number;
    if (monthly)
        return l->year * 12.0 + l->month - 1;
    return 86400.0 * (double)day_number(l->year, l->month, l->day) + l->second;
}

/* To the rounding of decimals, at whatever height. */
static int same_step(double is, double step, double at) {
    return is_near(is, step, 1e-9 * (fabs(step) + fabs(at)));
}

/* Whether all are of one form, and as far apart as the first two. */
static int is_regular(const char *const *text, int count, int monthly, double *step, int *latest_day) {
    label first = read_label(text[0]), before = first;
    int ends = 1;
    *latest_day = 0;
    *step = 0;
    for (int i = 0; i < count; i++) {
        label l = read_label(text[i]);
        double far = place_of(&l, monthly) - place_of(&before, monthly);
        *step = i == 1 ? far : *step;
        if ((monthly && l.month < 1) || l.kind != first.kind || strcmp(l.zone, first.zone) != 0 ||
            (monthly && l.second != first.second) || (i > 0 && !same_step(far, *step, l.number)))
            return 0;
        ends = ends && monthly && l.kind != LABEL_MONTH && l.day == days_in(l.year, l.month);
        *latest_day = l.day > *latest_day ? l.day : *latest_day;
        before = l;
    }
    for (int i = 0; monthly && !ends && i < count; i++) { /* else days are cut to their month */
        label l = read_label(text[i]);
        int longest = days_in(l.year, l.month);
        if (l.day != (*latest_day < longest ? *latest_day : longest))
            return 0;
    }
    *latest_day = ends ? 31 : *latest_day;
    return *step != 0;
}

labels labels_of(const char *const *text, int count) {
    labels none = {.kind = LABEL_OTHER}, l = none;
    if (count < 2)
        return none;
    label last = read_label(text[count - 1]);
    int dated = last.kind == LABEL_DATE || last.kind == LABEL_TIME;
    l.kind = last.kind;
    if (l.kind == LABEL_OTHER)
        return none;
    /* months first: 31 days from one month's end to the next are a month */
    l.monthly = l.kind == LABEL_MONTH || (dated && is_regular(text, count, 1, &l.step, &l.day));
    if ((l.kind == LABEL_MONTH || !l.monthly) && !is_regular(text, count, l.monthly, &l.step, &l.day))
        return none;
    l.last = place_of(&last, l.monthly);
    l.second = last.second;
    for (int i = 0; i < count; i++) { /* 0.5, 1, 1.5 */
        label of = read_label(text[i]);
        l.decimals = of.decimals > l.decimals ? of.decimals : l.decimals;
    }
    l.joint = last.joint;
    l.has_seconds = last.has_seconds;
    memcpy(l.zone, last.zone, sizeof l.zone);
    return l;
}

static void write_time(const labels *l, int second, char *text) {
    if (l->kind != LABEL_TIME)
        return;
    char *at = text + strlen(text);
    at += sprintf(at, "%c%02d:%02d", l->joint, second / 3600, second / 60 % 60);
    if (l->has_seconds)
        at += sprintf(at, ":%02d", second % 60);
    strcpy(at, l->zone);
}

void labels_next(const labels *l, int ahead, char text[LABEL_ROOM]) {
    double at = l->last + l->step * ahead;
    int year, month, day, second = l->second;
    int dated = l->kind != LABEL_OTHER && l->kind != LABEL_NUMBER;
    int fits = l->monthly ? at >= 12 && at < 12e4 : at > -6.21e10 && at < 2.534e11; /* years 2 to 9999 */
    if (l->kind == LABEL_NUMBER) {
        snprintf(text, LABEL_ROOM, "%.*f", l->decimals, at);
        return;
    }
    if (!dated || !fits) {
        snprintf(text, LABEL_ROOM, "+%d", ahead);
        return;
    }
    if (l->monthly) {
        year = (int)at / 12, month = (int)at % 12 + 1;
        day = l->day > days_in(year, month) ? days_in(year, month) : l->day;
    } else {
        long days = (long)floor(at / 86400);
        second = (int)(at - 86400.0 * (double)days);
        date_of(days, &year, &month, &day);
    }
    if (l->kind == LABEL_MONTH)
        snprintf(text, LABEL_ROOM, "%04d-%02d", year, month);
    else
        snprintf(text, LABEL_ROOM, "%04d-%02d-%02d", year, month, day);
    write_time(l, second, text);
}
