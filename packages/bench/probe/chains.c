/* The chains that are walked: text made at run time and pointers, both in one random cycle over all their groups. */
#include "probe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

static uint32_t state = 1;

void seed_order(uint32_t seed) { state = seed ? seed : 1; }

static uint32_t drawn(void) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

/*
 * Whose turn is after each group's: one cycle through all of them (Sattolo's shuffle). The modelled walk draws the
 * same numbers from the same seed, and `hash`, over the whole lap from group 0 on, shows that it does.
 */
uint32_t *cycle_over(uint32_t groups, uint32_t *hash) {
  uint32_t *next = malloc((size_t)groups * sizeof *next);
  if (!next) return NULL;
  for (uint32_t group = 0; group < groups; group++) next[group] = group;
  for (uint32_t left = groups - 1; left > 0; left--) {
    uint32_t other = drawn() % left, kept = next[left];
    next[left] = next[other];
    next[other] = kept;
  }
  uint32_t sum = 0, group = 0;
  for (uint32_t step = 0; step < groups; step++) {
    group = next[group];
    sum = sum * 31 + group;
  }
  *hash = sum;
  return next;
}

static unsigned char *jump_near(unsigned char *at, const unsigned char *target) {
  int32_t distance = (int32_t)(target - (at + 5));
  at[0] = 0xe9;
  memcpy(at + 1, &distance, 4);
  return at + 5;
}

/*
 * Groups of `run_lines` lines: no-ops of four bytes, four a line where every line is left by a far jump, else twelve; a
 * short jump from line to line, a near one from group to group. Group 0 counts laps in RCX first, and returns at zero
 * through the last byte of its first line.
 */
int make_text(struct region *region, int run_lines, uint32_t *hash) {
  const size_t group_bytes = (size_t)run_lines * LINE;
  const uint32_t groups = (uint32_t)(region->bytes / group_bytes);
  uint32_t *next = cycle_over(groups, hash);
  if (!next) {
    region->refused = "no memory for the order of the chain";
    return 0;
  }
  static const unsigned char no_op[4] = {0x0f, 0x1f, 0x40, 0x00};
  const int no_ops = run_lines == 1 ? 4 : 12;
  for (uint32_t group = 0; group < groups; group++) {
    for (int line = 0; line < run_lines; line++) {
      unsigned char *start = region->base + group * group_bytes + (size_t)line * LINE, *at = start;
      int count = no_ops;
      memset(start, 0xcc, LINE);
      if (group == 0 && line == 0) {
        /* dec rcx; jz to the return at the line's end. In place of two no-ops where there are twelve. */
        static const unsigned char count_down[3] = {0x48, 0xff, 0xc9};
        memcpy(at, count_down, 3);
        at[3] = 0x74;
        at[4] = LINE - 1 - 5;
        at += 5;
        start[LINE - 1] = 0xc3;
        if (count == 12) count = 10;
      }
      for (int each = 0; each < count; each++, at += 4) memcpy(at, no_op, 4);
      if (line + 1 < run_lines) {
        at[0] = 0xeb;
        at[1] = (unsigned char)(start + LINE - (at + 2));
      } else
        jump_near(at, region->base + next[group] * group_bytes);
    }
  }
  free(next);
  if (mprotect(region->base, region->bytes, PROT_READ | PROT_EXEC) != 0) {
    region->refused = "memory cannot be made executable here";
    return 0;
  }
  return 1;
}

/* One pointer a line, to the line that is next. */
int make_loads(struct region *region, uint32_t *hash) {
  const uint32_t lines = (uint32_t)(region->bytes / LINE);
  uint32_t *next = cycle_over(lines, hash);
  if (!next) {
    region->refused = "no memory for the order of the chain";
    return 0;
  }
  for (uint32_t line = 0; line < lines; line++) {
    unsigned char *target = region->base + (size_t)next[line] * LINE;
    memcpy(region->base + (size_t)line * LINE, &target, sizeof target);
  }
  free(next);
  return 1;
}

/* The fourth argument of a function is in RCX; the text changes nothing else. A lap ends where group 0 counts. */
void walk_text(const struct region *region, long laps) {
  void (*text)(long, long, long, long);
  memcpy(&text, &region->base, sizeof text);
  text(0, 0, 0, laps + 1);
}

void walk_loads(const struct region *region, long laps) {
  void **at = (void **)region->base;
  for (size_t count = (size_t)laps * (region->bytes / LINE); count > 0; count--) at = *at;
  __asm__ volatile("" : : "r"(at));
}

void flush_lines(const struct region *region) {
  for (size_t at = 0; at < region->bytes; at += LINE) _mm_clflush(region->base + at);
  _mm_mfence();
}
