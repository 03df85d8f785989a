/*
 * look.h - what a heap holds: the kernel is asked, and the peaks are kept.
 */
#ifndef SW_LOOK_H
#define SW_LOOK_H

#include "heap.h"

/* As sw_heap_stats(), and allocates nothing: of a strategy that is libc's, largest_free is 0. */
void sw__heap_look(sw_heap *heap, struct sw_stats *stats);
/* The same for the peaks' sake alone: before what was allocated most is freed. */
void sw__heap_see(sw_heap *heap);

/* Bytes of its metadata, the ledger's too, that are physically present. */
size_t sw__heap_metadata_present(const sw_heap *heap);

/* Bytes of the heap that are: of one that does not tell its ranges, all anonymous memory of the process
 * that is no heap's that does, as libc's and stacks. */
size_t sw__heap_present(const sw_heap *heap);

#endif
