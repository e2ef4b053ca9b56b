/* limit.c with SIZES: TLBs of larger pages, as ours has them (packages/hw-x86/src/batch/tlb-code.ts). */

/* Pages of 2 MiB, and of 1 GiB for data: asked for where any was used, as the streams never do. */
enum { LARGE_TAG = 1 << 30 };
TLB(code_large, 1, 8)
TLB(data_large, 8, 4)
TLB(data_huge, 1, 4)
static uint16_t small_regions[2][4096];
#define LOOK(tlb, sets, ways, bits)                                                                                    \
  do {                                                                                                                 \
    __typeof__(&tlb[0]) set = &tlb[page >> (bits) & ((sets) - 1)];                                                     \
    const key below = ((key)1 << (bits)) - 1, first = (own & ~below) | LARGE_TAG, every = (all & ~below) | LARGE_TAG;  \
    const int way = find_key(set->keys, ways, first, every);                                                           \
    if (way != EMPTY) {                                                                                                \
      set->order = promoted(set->order, way);                                                                          \
      struct entry found = set->entries[way];                                                                          \
      found.frame += page & ((1 << (bits)) - 1);                                                                       \
      return found;                                                                                                    \
    }                                                                                                                  \
  } while (0)
/* A larger page, or a frame of EMPTY. */
INLINE struct entry larger(uint64_t page, key own, key all, int code) {
  if (code) LOOK(code_large, 1, 8, 9);
  else {
    LOOK(data_large, 8, 4, 9);
    LOOK(data_huge, 1, 4, 18);
  }
  return (struct entry){ EMPTY, 0 };
}
INLINE struct entry larger_second(uint64_t page, key own, key all) {
  LOOK(second, 128, 8, 9);
  return (struct entry){ EMPTY, 0 };
}
/* Keeps count of small pages by 2 MiB, once any larger page was used. */
#define RECOUNT(set, oldest, ways, name)                                                                               \
  if (any_large && (ways) == 4) {                                                                                      \
    if ((set)->keys[oldest] != (key)EMPTY) small_regions[0][(set)->keys[oldest] >> 9 & 4095]--;                        \
    small_regions[0][(name) >> 9 & 4095]++;                                                                            \
  }
