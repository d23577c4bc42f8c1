/* All that is known of a caller's age is struct_size, the first field. Every layout begins with the last. */
#include "base/structs.h"
#include <string.h>

/* No header of the future adds more than this: a larger size was never set. */
enum { MOST_NEW = 1024 };

int xl_struct_can_be(size_t size, size_t now) {
    return size >= sizeof size && size <= now + MOST_NEW;
}

xlstm_status xl_struct_take(void *to, size_t now, size_t oldest, const void *from, const char *type) {
    size_t given;
    if (!from)
        return xl_fail(XLSTM_E_ARGUMENT, "%s: NULL; give one whose struct_size is set", type);
    memcpy(&given, from, sizeof given);
    if (given < oldest || !xl_struct_can_be(given, now))
        return xl_fail(
            XLSTM_E_ARGUMENT,
            "%s: struct_size is %zu; it must be its size, here %zu: call its _init function, or set it to "
            "sizeof",
            type, given, now);
    for (size_t i = now; i < given; i++)
        if (((const unsigned char *)from)[i])
            return xl_fail(XLSTM_E_ARGUMENT,
                           "%s: a field at byte %zu is set that libxlstm " XLSTM_VERSION_STRING
                           " does not know; leave it zero or use the library that the header came with",
                           type, i);
    memcpy(to, from, given < now ? given : now);
    memcpy(to, &now, sizeof now);
    return XLSTM_OK;
}

void xl_struct_init(void *to, size_t size, const void *defaults, size_t now) {
    if (!to || !xl_struct_can_be(size, now))
        return;
    memset(to, 0, size);
    memcpy(to, defaults, size < now ? size : now);
    memcpy(to, &size, sizeof size);
}
