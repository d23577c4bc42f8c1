/* ref.h - the reference backend, one function per op: plain loops in `real`, written to be read. */
#ifndef XL_REF_H
#define XL_REF_H

#include "ops/ops.h"

#define OP(name, args, ...) void xl_ref_##name args;
#define SIZE(name, args, ...) uint64_t xl_ref_##name args;
#include "ops/ops.def"
#undef OP

#endif
