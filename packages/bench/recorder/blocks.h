/*
 * What is kept of a translated block of which QEMU says only that it began.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_BLOCKS_H
#define KREPLICA_BLOCKS_H

#include "instructions.h"
#include "records.h"

#include <stdlib.h>

/*
 * Where it is kept which block began last: interface 1 counts the instructions of all CPUs in one place, so that of what
 * began it is the last of all; later ones of each CPU. The last place is for CPUs that are not recorded.
 */
enum { PLACES = KREPLICA_PLUGIN_API < 2 ? 1 : CPUS + 1 };
static inline unsigned place_of(unsigned id) { return PLACES == 1 ? 0 : id; }

/*
 * QEMU counts how many of its instructions were executed: a fault may end it before its last, and loads and stores lie
 * between. Mostly a cache line.
 */
struct block {
  uint64_t address;
  uint64_t physical_page;
  /* NULL where none is a marker or repeats, and all lie in one page that has a physical one. */
  const struct instruction *all;
  /* What `text_names` was of the CPU that had its page named. */
  uint64_t named;
  /* Bytes before each instruction, and before the block's end. */
  uint16_t begins[];
};

/* Room for ever, as QEMU does not say when it forgets a block: one behind the other, most of them a cache line. */
static void *room_for_ever(size_t bytes) {
  enum { LINE = 64, PIECE = 1 << 20 };
  static uint8_t *next, *end;
  bytes = (bytes + LINE - 1) / LINE * LINE;
  if (next == NULL || bytes > (size_t)(end - next)) {
    next = aligned_alloc(LINE, PIECE);
    if (next == NULL) abort();
    end = next + PIECE;
    memset(next, 0, PIECE);
  }
  next += bytes;
  return next - bytes;
}

/* What is kept of a block where QEMU counts. */
static struct block *new_block(size_t count, const struct instruction *all, bool plain) {
  struct block *b = room_for_ever(sizeof *b + (count + 1) * sizeof b->begins[0]);
  b->address = all[0].address;
  b->physical_page = all[0].physical_page;
  b->all = plain ? NULL : all;
  for (size_t i = 0; i < count; i++) b->begins[i + 1] = (uint16_t)(b->begins[i] + all[i].bytes);
  return b;
}

#endif
