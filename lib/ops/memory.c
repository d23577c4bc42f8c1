/* memory.c - the host's memory, and where objects are made and compute. */
#include "ops/memory.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "ops/trace.h"
#include <stdatomic.h>
#include <string.h>

/* ---- the host: tensors are ordinary memory, ops are done when they return, nothing can fail ---- */

static const xl_ops *host_ops(xl_memory *m, xl_products products) {
    (void)m;
    return products == XL_PRODUCTS_BF16 ? xl_ops_best_bf16() : xl_ops_best();
}

static void *host_take(xl_memory *m, uint64_t bytes) {
    (void)m;
    return xl_alloc(bytes);
}

static void host_give(xl_memory *m, void *p) {
    (void)m;
    xl_free(p);
}

static xlstm_status host_open(xl_memory *m, xl_stream **out) {
    (void)m;
    *out = NULL;
    return XLSTM_OK;
}

static void host_close(xl_memory *m, xl_stream *s) {
    (void)m, (void)s;
}

static void host_leave(xl_memory *m) {
    (void)m;
}

static void host_put(xl_memory *m, void *there, const void *here, size_t bytes) {
    (void)m;
    if (there != here && bytes)
        memcpy(there, here, bytes);
}

static xlstm_status host_get(xl_memory *m, void *here, const void *there, size_t bytes) {
    host_put(m, here, there, bytes);
    return XLSTM_OK;
}

static void host_clear(xl_memory *m, void *p, size_t bytes) {
    (void)m;
    if (bytes)
        memset(p, 0, bytes);
}

static xlstm_status host_wait(xl_memory *m) {
    (void)m;
    return XLSTM_OK;
}

xl_memory xl_memory_host = {.name = "host",
                            .is_host = 1,
                            .ops = host_ops,
                            .take = host_take,
                            .give = host_give,
                            .open = host_open,
                            .close = host_close,
                            .enter = host_close,
                            .leave = host_leave,
                            .put = host_put,
                            .get = host_get,
                            .copy = host_put,
                            .clear = host_clear,
                            .wait = host_wait};

xlstm_status xl_memory_short(xl_memory *memory, uint64_t bytes, const char *what) {
    if (!memory->left)
        return xl_no_memory(bytes, what);
    return xl_fail(
        XLSTM_E_MEMORY,
        "device %s has no memory for %s: %.1f MiB are needed, and %.1f MiB are free; use a smaller "
        "model, batch or window",
        memory->name, what, xl_mib(bytes), xl_mib(memory->left(memory)));
}

/* ---- where modules are made ---- */

static xl_memory *_Atomic of_all;
static _Thread_local xl_memory *of_thread;

xl_memory *xl_memory_default(void) {
    xl_memory *all = atomic_load(&of_all);
    return of_thread ? of_thread : all;
}

void xl_memory_set_default(xl_memory *memory) {
    of_thread = memory;
}

void xl_memory_set_default_of_all(xl_memory *memory) {
    atomic_store(&of_all, memory);
}

/* ---- where objects compute ---- */

xlstm_status xl_place_open(xl_place *place, xl_memory *memory, xl_products products, const char *what) {
    *place = (xl_place){0};
    XL_TRY(xl_ops_ready());
    const xl_ops *op = memory->ops(memory, products);
    if (!op)
        return xl_fail(
            XLSTM_E_CONFIG,
            "%s: the kernels \"%s\" have no products in bfloat16; use XLSTM_PRODUCTS_REAL, or others", what,
            memory->ops(memory, XL_PRODUCTS_REAL)->name);
    XL_TRY(memory->open(memory, &place->stream));
    place->memory = memory;
    place->op = op;
    return XLSTM_OK;
}

xlstm_status xl_place_rooms(xl_place *place, const char *what) {
    place->room = place->op->linear_room() * sizeof(real);
    place->rooms = xl_alloc((uint64_t)xl_threads() * place->room);
    return place->rooms ? XLSTM_OK : xl_no_memory((uint64_t)xl_threads() * place->room, what);
}

void xl_place_close(xl_place *place) {
    xl_free(place->rooms);
    if (place->memory)
        place->memory->close(place->memory, place->stream);
    *place = (xl_place){0};
}

const xl_ops *xl_place_enter(const xl_place *place) {
    place->memory->enter(place->memory, place->stream);
    xl_team *team = xl_team_here();
    team->rooms = place->rooms;
    team->room = place->room;
    return xl_traced(place->op, place->memory);
}

/* Waits after a failure too: what the device has under way must not reach into the next call. */
xlstm_status xl_place_leave(const xl_place *place, xlstm_status status) {
    xlstm_status device = place->memory->wait(place->memory);
    place->memory->leave(place->memory);
    xl_ops_call_over();
    return status != XLSTM_OK ? status : device;
}

xlstm_status xl_place_visit(xl_place *place, xl_memory *memory) {
    *place = (xl_place){.memory = memory};
    XL_TRY(memory->open(memory, &place->stream));
    memory->enter(memory, place->stream);
    return XLSTM_OK;
}

xlstm_status xl_place_end(xl_place *place, xlstm_status status) {
    status = xl_place_leave(place, status);
    xl_place_close(place);
    return status;
}
