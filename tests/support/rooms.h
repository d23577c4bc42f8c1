/* rooms.h - for tests that call ops outside of any session or trainer: rooms for the kernels' tiles, as
 * xl_place_enter() gives them. */
#ifndef TEST_ROOMS_H
#define TEST_ROOMS_H

#include "base/parallel.h"
#include <stdlib.h>

/* So many reals for each of so many threads, at the least; kept until the program ends. Sessions and trainers
 * put their own in the place of these, so they are asked for again behind them. */
static inline void take_rooms(uint64_t reals, int threads) {
    static char *rooms;
    static size_t bytes;
    xl_team *team = xl_team_here();
    size_t room = (size_t)(reals * sizeof(xlstm_real) + 63) / 64 * 64, all = (size_t)threads * room + 64;
    if (!rooms || all > bytes) {
        free(rooms);
        rooms = aligned_alloc(64, all);
        bytes = all;
    }
    if (!rooms)
        abort();
    team->rooms = rooms;
    team->room = room;
}

#endif
