/* What UTF-8 is is left to utf8proc: surrogates, overlong forms and what is above U+10FFFF are not sound. */
#include "file/utf8.h"
#include <utf8proc.h>

size_t xl_utf8_sound(const char *text, size_t bytes) {
    utf8proc_int32_t c;
    for (size_t at = 0; at < bytes;) {
        utf8proc_ssize_t n = 1; /* ASCII */
        if ((unsigned char)text[at] & 0x80)
            n = utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &c);
        if (n < 1)
            return at;
        at += n;
    }
    return bytes;
}

size_t xl_utf8_whole(const char *text, size_t bytes) {
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        unsigned char c = (unsigned char)text[bytes - back];
        if ((c & 0xc0) == 0x80)
            continue; /* inside a character: look for where it begins */
        size_t needs = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return needs > back ? bytes - back : bytes;
    }
    return bytes;
}
