/*
 * Between which markers of a test a recording lies: QEMU's threads ask it of what they see, and the one that writes of
 * what it has come to.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_MARKERS_H
#define KREPLICA_MARKERS_H

#include <stdbool.h>
#include <stdint.h>

enum { STARTS = 1, ENDS = 2, LOOKS = 3 };

struct open_test {
  bool recording;
  /* CPU and word of the start marker. */
  unsigned cpu;
  uint32_t marker;
};
static unsigned phase_of(uint32_t marker) { return marker & 0xff; }

/* A CPU comes to a marker. @returns whether it is recorded */
static bool passes(struct open_test *o, unsigned id, uint32_t marker) {
  bool before = o->recording;
  if (!before && phase_of(marker) == STARTS)
    *o = (struct open_test){true, id, marker};
  else if (before && phase_of(marker) == ENDS && id == o->cpu && (marker ^ o->marker) >> 8 == 0)
    o->recording = false;
  return before || o->recording;
}

#endif
