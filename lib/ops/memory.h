/* memory.h - where tensors live. Weights, gradients, moments, states, batches and everything that an op is
 * given an address of lie in one memory; only ops and the functions of this table touch what is there. In the
 * host's memory these are the heap and memcpy.
 *
 * Work in a memory goes on in streams: what is asked in one stream is done in that order, and may be done
 * after the call that asked has returned. An object (session, trainer, optimizer) has a stream of its own;
 * its public calls enter it, and before they leave they get or wait: so a failure of the device is told by
 * the call in which it happened, and objects need not be ordered against each other. */
#ifndef XL_MEMORY_H
#define XL_MEMORY_H

#include "ops/ops.h"

typedef struct xl_stream xl_stream;

/* What products are made of; a memory may lack all but the first. The order is that of xlstm_products. */
typedef enum { XL_PRODUCTS_REAL, XL_PRODUCTS_BF16, XL_PRODUCTS } xl_products;

typedef struct xl_memory xl_memory;
struct xl_memory {
    const char *name; /* "host", "cuda:0" */
    int is_host;      /* 1: a caller's array is a tensor too, and nothing is copied */
    /* The kernels for tensors that lie here, NULL where it has none with such products. */
    const xl_ops *(*ops)(xl_memory *, xl_products products);
    /* Zeroed, aligned to 64 bytes; NULL: there is none, which is never so of 0 bytes. */
    void *(*take)(xl_memory *, uint64_t bytes);
    void (*give)(xl_memory *, void *p); /* p may be NULL */
    uint64_t (*left)(xl_memory *);      /* bytes that are free; NULL: nobody knows */
    xlstm_status (*open)(xl_memory *, xl_stream **out);
    void (*close)(xl_memory *, xl_stream *);
    /* Device and stream of this thread's calls from here on, and the end of that. */
    void (*enter)(xl_memory *, xl_stream *);
    void (*leave)(xl_memory *);
    /* Into this memory, in order with the ops; `here` may be changed as soon as it returns. */
    void (*put)(xl_memory *, void *there, const void *here, size_t bytes);
    /* Out of it, after all that was asked before; fails with what failed first since enter(). */
    xlstm_status (*get)(xl_memory *, void *here, const void *there, size_t bytes);
    void (*copy)(xl_memory *, void *to, const void *from, size_t bytes); /* both there */
    void (*clear)(xl_memory *, void *p, size_t bytes);
    xlstm_status (*wait)(xl_memory *);
};

extern xl_memory xl_memory_host;

/* When take() had none: the sentence names what is left, where that is known. */
xlstm_status xl_memory_short(xl_memory *memory, uint64_t bytes, const char *what);

/* Where modules are made on this thread, if it has been set, here or for all threads; NULL: it has not. */
xl_memory *xl_memory_default(void);
void xl_memory_set_default(xl_memory *memory);
/* The same for threads that have set none. */
void xl_memory_set_default_of_all(xl_memory *memory);
/* Where they are made now: creators ask. Else by XLSTM_DEVICE, else the host; fails where the environment
 * names what there is not. */
xlstm_status xl_memory_chosen(xl_memory **out);
/* The memory of a device by its name: "cpu", "cuda", "cuda:N", "auto". */
xlstm_status xl_device_memory(const char *name, xl_memory **out);

/* Where an object computes: its kernels stay those that its memory was planned for. */
typedef struct {
    xl_memory *memory;
    xl_stream *stream;
    const xl_ops *op;
    char *rooms; /* [threads, room bytes], on the host; NULL: its kernels need none */
    size_t room;
} xl_place;

/* XLSTM_E_CONFIG where the memory has no such products; `what` the object is. */
xlstm_status xl_place_open(xl_place *place, xl_memory *memory, xl_products products, const char *what);
/* For smaller matrices, and smaller numbers in products: memory of each thread's own, in which kernels keep
 * tiles that are too large for a stack. */
xlstm_status xl_place_rooms(xl_place *place, const char *what);
void xl_place_close(xl_place *place);
/* The first and last thing of a public call. xl_place_enter() gives the kernels, traced while a profile is
 * taken; xl_place_leave() passes on `status`, or if that is XLSTM_OK and the call has not asked yet, what
 * failed. */
const xl_ops *xl_place_enter(const xl_place *place);
xlstm_status xl_place_leave(const xl_place *place, xlstm_status status);
/* Both for a call that only copies, and is of no object with a place of its own: no kernels are looked for.
 */
xlstm_status xl_place_visit(xl_place *place, xl_memory *memory);
xlstm_status xl_place_end(xl_place *place, xlstm_status status);

/* A plan: on the table that begin returns, ops do nothing and scratch sizes are those of `target`. End fails
 * with the name of the first op that was called and that the target lacks. One at a time on a thread. */
const xl_ops *xl_plan_begin(const xl_ops *target);
xlstm_status xl_plan_end(const char *what);

#endif
