/* trace.h - the tracer's table, which is there only while a profile is taken. */
#ifndef XL_TRACE_H
#define XL_TRACE_H

#include "ops/memory.h"

/* op itself, or its tracer while a profile is taken; of a thread's tracers, only the last one may be used.
 * memory: where op's tensors lie. */
const xl_ops *xl_traced(const xl_ops *op, xl_memory *memory);

#endif
