/* rooms.h - for tests that call ops outside of any session or trainer: rooms for the kernels' tiles, as
 * xl_place_enter() gives them. */
#ifndef TEST_ROOMS_H
#define TEST_ROOMS_H

#include "base/parallel.h"
#include <stdlib.h>

/* So many reals for each of so many threads, at the least; the last ones are kept until the program ends. */
static inline void take_rooms(uint64_t reals, int threads) {
    xl_team *team = xl_team_here();
    size_t room = (size_t)(reals * sizeof(xlstm_real) + 63) / 64 * 64;
    if (team->rooms && room <= team->room)
        return;
    free(team->rooms);
    team->rooms = aligned_alloc(64, (size_t)threads * room + 64);
    team->room = room;
    if (!team->rooms)
        abort();
}

#endif
