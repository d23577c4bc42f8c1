/* copy.c - a module in another memory: the same configuration is declared again there, and all numbers are
 * brought over as they are, in pieces that go through the host. */
#include "base/error.h"
#include "base/mem.h"
#include "model/module.h"

enum { PIECE = 1 << 22 }; /* bytes */

typedef struct {
    xl_memory *to, *from;
    void *room; /* [PIECE] on the host */
} road;

static xlstm_status fetch(const road *r, const void *from, size_t bytes) {
    xl_place place;
    XL_TRY(xl_place_visit(&place, r->from));
    return xl_place_end(&place, r->from->get(r->from, r->room, from, bytes));
}

static xlstm_status bring(const road *r, void *to, size_t bytes) {
    xl_place place;
    XL_TRY(xl_place_visit(&place, r->to));
    r->to->put(r->to, to, r->room, bytes);
    return xl_place_end(&place, XLSTM_OK);
}

static xlstm_status carry(const road *r, void *to, const void *from, size_t bytes) {
    for (size_t at = 0, piece; at < bytes; at += piece) {
        piece = bytes - at < PIECE ? bytes - at : PIECE;
        XL_TRY(fetch(r, (const char *)from + at, piece));
        XL_TRY(bring(r, (char *)to + at, piece));
    }
    return XLSTM_OK;
}

/* (what a copy owns it may write to) */
static xlstm_status carry_matrix(const road *r, const xl_matrix *to, const xl_matrix *from) {
    size_t scales = (size_t)from->rows * xl_number_scales(from->type, from->cols) * sizeof(float);
    XL_TRY(carry(r, (void *)(uintptr_t)to->data, from->data, xl_matrix_bytes(from)));
    return carry(r, (void *)(uintptr_t)to->scale, from->scale, scales);
}

static xlstm_status carry_all(xlstm_module *m, const xlstm_module *from) {
    road r = {m->memory, from->memory, xl_alloc(PIECE)};
    xlstm_status status = r.room ? XLSTM_OK : xl_no_memory(PIECE, "copying a module");
    if (status == XLSTM_OK)
        status = carry(&r, m->w, from->w, from->params.size * sizeof(real));
    for (int i = 0; i < m->packed.count && status == XLSTM_OK; i++)
        status = carry_matrix(&r, &m->packed.items[i].matrix, &from->packed.items[i].matrix);
    xl_free(r.room);
    return status;
}

static xlstm_status fill(xlstm_module *m, const xlstm_module *from) {
    XL_TRY(xl_module_check_lent(from));
    XL_TRY(xl_module_take_memory(m));
    XL_TRY(xl_module_take_packed(m));
    return carry_all(m, from);
}

xlstm_status xlstm_module_copy(xlstm_module **out, const xlstm_module *from, const char *device) {
    XL_TRY(xl_check_out(out, "xlstm_module_copy"));
    *out = NULL;
    if (!from || !from->is_model)
        return xl_fail(XLSTM_E_ARGUMENT, "xlstm_module_copy needs a whole model, and the module is %s",
                       from ? "a block or a cell" : "NULL");
    xl_memory *memory = from->memory;
    if (device)
        XL_TRY(xl_device_memory(device, &memory));
    XL_TRY(xl_module_declare(out, &from->config, memory));
    xlstm_status status = fill(*out, from);
    if (status != XLSTM_OK) {
        xlstm_module_free(*out);
        *out = NULL;
    }
    return status;
}
