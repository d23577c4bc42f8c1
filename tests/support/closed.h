/* closed.h - a device without a device: a memory whose pages the host may not touch. They are open only
 * inside ops and the memory's own functions; whoever reads or writes a tensor elsewhere is stopped where it
 * does.
 *
 * A program that is linked with closed.c and run with XLSTM_TEST_MEMORY=closed makes all its modules there.
 */
#ifndef TEST_CLOSED_H
#define TEST_CLOSED_H

#include "ops/memory.h"

/* One of two such devices, 0 or 1. */
xl_memory *closed_memory(int index);
/* The n-th get or wait from now on fails, and all that follow in the same public call (1: the next; 0:
 * never); on all devices, and counted on this thread. */
void closed_fail_at(long n);
/* How often get and wait were called on this thread since. */
long closed_asked(void);
/* The n-th block or stream from now on is refused; counted as above. */
void closed_refuse_at(long n);
/* How many blocks and streams were asked for on this thread since. */
long closed_wanted(void);
/* Blocks and streams of all devices that were not given back. */
long closed_lent(void);
/* The devices' tables have no op of this name from now on; NULL: they have all. Before objects are made. */
void closed_lack(const char *op);

#endif
