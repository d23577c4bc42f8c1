/* utf8.h - where bytes are UTF-8, and where they end inside a character. */
#ifndef XL_UTF8_H
#define XL_UTF8_H

#include <stddef.h>

/* How many bytes there are before the first that is not UTF-8. */
size_t xl_utf8_sound(const char *text, size_t bytes);
/* How many bytes there are before an unfinished character at the end: all, or up to 3 less. */
size_t xl_utf8_whole(const char *text, size_t bytes);

#endif
