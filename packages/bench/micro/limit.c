/*
 * The limit of micro/access.ts: the same model as a plain C program, for the one core of the golden's machine that the
 * streams run on. Counts what ours counts, every count; limit.ts holds it to that.
 *
 *   cc -O2 limit.c -o limit && ./limit inclusive|victim STREAM PASSES
 *
 * STREAM: records of 32 bits, host order, virtual address << 2 | type (0 load, 1 store, 2 fetch). Prints one line of JSON:
 * nanoseconds of user time for a reference in the best pass, and the counts after the first.
 *
 * As it stands: modified and shared lines, L1I and L1D coherent, homes and write-backs by node, rights, PCIDs and global
 * pages, A and D bits, tables of four levels in sparse memory. With -DPLAIN: hits and misses of caches, TLBs and
 * paging-structure caches, and walks; no states, rights, contexts or nodes. (That decides no hit of the golden's streams:
 * no modified line that only L1D has goes to a victim L3 there.)
 *
 * Where a stream of one core over small pages that are all there never comes (other holders of a line, faults, large
 * pages) the question is asked, as ours asks it, and the program ends. So is a limit meant: what C does here ours does
 * too, and what makes it quick is allowed: SSE2 where the host has it, frames of 24 bits (64 GiB).
 *
 * With clang it can be compiled to WebAssembly as well (limit-wasm.h). Each of these makes it do one thing as ours does
 * (packages/hw-x86/src/batch/), so that limit.ts can tell what that costs: CALLS, SETS_52, STATE_WORDS, SIZES, TURNS,
 * TWO_PASSES, HOMES, BATCHES.
 */
#ifdef __wasm__
#include "limit-wasm.h"
#else
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#endif

#ifdef PLAIN
#define FULL 0
#else
#define FULL 1
#endif
#define INLINE static inline __attribute__((always_inline))
#define RARE __attribute__((noinline, cold))
/* What is a function of its own in ours. */
#ifdef CALLS
#define CALLED static __attribute__((noinline))
#else
#define CALLED INLINE
#endif

enum { EMPTY = -1, NODES = 2, SETS1 = 64, SETS2 = 512, SETS3 = 32768, WAYS3 = 16 };
enum { LOAD, STORE, FETCH };

/* Counts, laid out as packages/hw-x86/src/counters.ts says. */
enum { ROW_FETCH, ROW_PREFETCHED, ROW_LOAD, ROW_STORE, ROW_WALK, ROW_PREFETCH, ROWS, REGIONS = 8 };
enum { L1, L2, L3, MEMORY = 9, SOURCES = MEMORY + 3 * NODES };
enum { SECOND = 1, WALKS = 3, PLACES = 5, EVENTS = 3 };
enum { PLACES_AT = REGIONS * ROWS * SOURCES, WRITE_BACKS_AT = PLACES_AT + REGIONS * PLACES + EVENTS };
enum { COUNTS = WRITE_BACKS_AT + NODES };
static uint64_t counts[COUNTS];

/* Not static: for all the compiler knows they change while it runs, as the machine's registers and options do. */
int victim, alone = 1, region, any_large;
uint64_t context = (uint64_t)1 << 45, global_context = (uint64_t)1 << 60;
unsigned deny[3];
unsigned root_levels = 4;
uint32_t root, reserved;
int node_shift = 17;

RARE static void beyond(const char *what) {
  fprintf(stderr, "limit.c: %s: no stream of the golden's has this\n", what);
  exit(2);
}

/* ---- L1 and L2: eight ways a line stays in, nibble n of `order` is the way of the n-th last use. ---- */

#ifdef STATE_WORDS
typedef uint32_t ways8;
#else
typedef uint8_t ways8;
#endif
struct set8 {
  uint32_t tag[8];
  uint32_t order;
  ways8 modified, shared;
#ifdef SETS_52
  uint8_t mark[8], unused[8 - 2 * sizeof(ways8)];
#endif
};
static struct set8 l1i[SETS1], l1d[SETS1], l2[SETS2];

INLINE struct set8 *at1(struct set8 *cache, uint32_t line) { return cache + line; }
INLINE struct set8 *at2(uint32_t frame, uint32_t line) { return l2 + ((frame & 7) << 6 | line); }

/* The line's way, or EMPTY. */
INLINE int find8(const uint32_t *tag, uint32_t frame) {
#ifdef __SSE2__
  const __m128i wanted = _mm_set1_epi32((int)frame);
  const __m128i low = _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)tag), wanted);
  const __m128i high = _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)(tag + 4)), wanted);
  const int fits = _mm_movemask_ps(_mm_castsi128_ps(low)) | _mm_movemask_ps(_mm_castsi128_ps(high)) << 4;
  return fits != 0 ? __builtin_ctz(fits) : EMPTY;
#else
  for (int way = 0; way < 8; way++)
    if (tag[way] == frame) return way;
  return EMPTY;
#endif
}

/* Knuth, TAOCP 4A, 7.1.3: the nibble that equals `way` is the lowest that exclusive or makes zero. */
INLINE uint32_t promoted(uint32_t order, uint32_t way) {
  const uint32_t other = order ^ way * 0x11111111u;
  const uint32_t zero = (other - 0x11111111u) & ~other & 0x88888888u;
  const uint32_t up_to = ((zero & -zero) << 1) - 1;
  return (order & ~up_to) | (order << 4 & up_to) | way;
}

INLINE void clean8(struct set8 *set, int way) {
  if (!FULL) return;
  set->modified &= ~(1u << way);
  set->shared &= ~(1u << way);
}

/* Ours keeps a byte of each tag's hash, by which TypeScript looks for it. */
INLINE void mark8(struct set8 *set, int way, uint32_t frame) {
#ifdef SETS_52
  set->mark[way] = frame * 0x9e3779b1u >> 24;
#endif
}

/* Empties a way and makes it the next to be filled. */
INLINE void remove8(struct set8 *set, int way) {
  set->tag[way] = EMPTY;
  set->modified &= ~(1u << way);
  set->shared &= ~(1u << way);
  const uint32_t order = promoted(set->order, way);
  set->order = order >> 4 | (uint32_t)way << 28;
}

/* ---- L3: sixteen tags in order of use, 15 bits and whether it is modified: a set is half a line of the host's. ---- */

static uint16_t l3[SETS3 * WAYS3];
static struct { uint32_t frame; int modified; } out3;
enum { EMPTY3 = 0x7fff };

INLINE uint16_t *at3(uint32_t frame, uint32_t line) { return l3 + ((frame & 511) << 6 | line) * WAYS3; }

/* The line's place, or WAYS3. */
INLINE int find3(const uint16_t *set, uint32_t tag) {
#ifdef __SSE2__
  const __m128i wanted = _mm_set1_epi16((short)tag), bits = _mm_set1_epi16(EMPTY3);
  const __m128i low = _mm_cmpeq_epi16(_mm_and_si128(_mm_loadu_si128((const __m128i *)set), bits), wanted);
  const __m128i high = _mm_cmpeq_epi16(_mm_and_si128(_mm_loadu_si128((const __m128i *)(set + 8)), bits), wanted);
  const int fits = _mm_movemask_epi8(_mm_packs_epi16(low, high));
  return fits != 0 ? __builtin_ctz(fits) : WAYS3;
#else
  for (int at = 0; at < WAYS3; at++)
    if ((set[at] & EMPTY3) == tag) return at;
  return WAYS3;
#endif
}

/* Uses a line, bringing it in clean; `out3` has what had to leave. Whether it was there. */
INLINE int touch3(uint32_t frame, uint32_t line) {
  uint16_t *set = at3(frame, line);
  const uint32_t tag = frame >> 9;
  const int at = find3(set, tag);
  if (at == 0) return 1;
  if (at < WAYS3) {
    const uint16_t here = set[at];
    for (int to = at; to > 0; to--) set[to] = set[to - 1];
    set[0] = here;
    return 1;
  }
  const uint16_t last = set[WAYS3 - 1];
  memmove(set + 1, set, 2 * (WAYS3 - 1));
  set[0] = tag;
  out3.frame = (last & EMPTY3) == EMPTY3 ? (uint32_t)EMPTY : (uint32_t)(last & EMPTY3) << 9 | (frame & 511);
  out3.modified = last >> 15;
  return 0;
}

INLINE int modify3(uint32_t frame, uint32_t line) {
  uint16_t *set = at3(frame, line);
  const int at = find3(set, frame >> 9);
  if (at == WAYS3) return 0;
  set[at] |= 0x8000;
  return 1;
}

/* Takes a line out: EMPTY, or whether it was modified. */
INLINE int remove3(uint32_t frame, uint32_t line) {
  uint16_t *set = at3(frame, line);
  const int at = find3(set, frame >> 9);
  if (at == WAYS3) return EMPTY;
  const int modified = set[at] >> 15;
  for (int to = at; to < WAYS3 - 1; to++) set[to] = set[to + 1];
  set[WAYS3 - 1] = EMPTY3;
  return modified;
}

/* ---- What lies beyond L2. ---- */

static int fetch_kept;
static uint64_t fetch_last;
static uint32_t fetch_frame;

#ifdef HOMES
static uint8_t homes[2 * NODES];
INLINE int home(uint32_t frame) {
  const uint32_t half = frame >> (node_shift - 1);
  return half < sizeof homes ? homes[half] : 0;
}
#else
INLINE int home(uint32_t frame) { return frame >> node_shift; }
#endif

/* Under which regions anything was counted but hits of L1. */
uint32_t counted_regions, touched_regions;
INLINE void counted(void) {
#ifdef TURNS
  counted_regions |= 1u << region;
#endif
}

INLINE void write_back(uint32_t frame) {
  if (FULL) counts[WRITE_BACKS_AT + home(frame)]++;
}

/* An inclusive L3 throws a line out: it leaves the core. Whether it was modified there. */
INLINE int leave_core(uint32_t frame, uint32_t line) {
  int modified = 0, way;
  if ((way = find8(at1(l1i, line)->tag, frame)) != EMPTY) remove8(at1(l1i, line), way), fetch_kept = 0;
  if ((way = find8(at1(l1d, line)->tag, frame)) != EMPTY) {
    modified |= at1(l1d, line)->modified >> way & 1;
    remove8(at1(l1d, line), way);
  }
  if ((way = find8(at2(frame, line)->tag, frame)) != EMPTY) {
    modified |= at2(frame, line)->modified >> way & 1;
    remove8(at2(frame, line), way);
  }
  return modified;
}

INLINE void evicted(uint32_t line) {
  if (out3.frame == (uint32_t)EMPTY) return;
  int modified = out3.modified;
  if (!victim) modified |= leave_core(out3.frame, line);
  if (modified) write_back(out3.frame);
}

/* A line comes down from L2, or, modified, from an L1D that has it alone. */
static void from_l2(uint32_t frame, uint32_t line, int modified) {
  if (victim) {
    if (!touch3(frame, line)) evicted(line);
    if (FULL && modified) modify3(frame, line);
  } else if (FULL && modified && !modify3(frame, line)) write_back(frame);
}

/* After a miss of L2 that filled `way`: where the line came from. */
CALLED int outside(uint32_t frame, uint32_t line, struct set8 *set, int way, uint32_t old, int modified) {
  if (FULL && modified && !victim) from_l2(old, line, 1);
  int here, granted = 0;
  if (victim) {
    const int taken = remove3(frame, line);
    here = taken != EMPTY;
    granted = here ? taken : 0;
  } else {
    here = touch3(frame, line);
    if (!here) evicted(line);
  }
  if (FULL) {
    if (!alone) beyond("another core");
    if (granted) set->modified |= 1u << way;
  }
  if (victim && old != (uint32_t)EMPTY) from_l2(old, line, modified);
  return here ? L3 : FULL ? MEMORY + home(frame) : MEMORY;
}

/* Uses a line in L2, bringing it in: where it came from. */
CALLED int second_level(uint32_t frame, uint32_t line, struct set8 *set, int *way) {
  *way = find8(set->tag, frame);
  if (*way != EMPTY) {
    set->order = promoted(set->order, *way);
    return L2;
  }
  *way = set->order >> 28;
  set->order = set->order << 4 | *way;
  const uint32_t old = set->tag[*way];
  const int modified = set->modified >> *way & 1;
  set->tag[*way] = frame;
  mark8(set, *way, frame);
  clean8(set, *way);
  return outside(frame, line, set, *way, old, modified);
}

/* A modified line leaves L1D, or is cleaned there. */
CALLED void from_l1(uint32_t frame, uint32_t line) {
  struct set8 *below = at2(frame, line);
  const int way = find8(below->tag, frame);
  if (way == EMPTY) from_l2(frame, line, 1);
  else below->modified |= 1u << way;
}

/* ---- L1. ---- */

CALLED void first_store(uint32_t frame, uint32_t line, struct set8 *set, int way) {
  if (set->shared >> way & 1) beyond("a shared line");
  set->modified |= 1u << way;
  const int code = find8(at1(l1i, line)->tag, frame);
  if (code != EMPTY) remove8(at1(l1i, line), code), fetch_kept = 0;
}

CALLED void data(uint32_t frame, uint32_t line, int write, uint64_t *row) {
  struct set8 *set = at1(l1d, line);
  int way = find8(set->tag, frame);
  if (way != EMPTY) {
    set->order = promoted(set->order, way);
    if (FULL && write && !(set->modified >> way & 1)) first_store(frame, line, set, way), counted();
    row[L1]++;
    return;
  }
  way = set->order >> 28;
  set->order = set->order << 4 | way;
  const uint32_t old = set->tag[way];
  const int modified = set->modified >> way & 1;
  set->tag[way] = frame;
  mark8(set, way, frame);
  clean8(set, way);
  if (FULL && modified) from_l1(old, line);
  int way2;
  struct set8 *below = at2(frame, line);
  const int source = second_level(frame, line, below, &way2);
  if (FULL && (below->shared >> way2 & 1)) set->shared |= 1u << way;
  if (FULL && write) first_store(frame, line, set, way);
  counted();
  row[source]++;
}

CALLED void code(uint32_t frame, uint32_t line, uint64_t *row) {
  struct set8 *set = at1(l1i, line);
  int way = find8(set->tag, frame);
  if (way != EMPTY) {
    set->order = promoted(set->order, way);
    row[L1]++;
    return;
  }
  way = set->order >> 28;
  set->order = set->order << 4 | way;
  set->tag[way] = frame;
  mark8(set, way, frame);
  if (FULL) {
    struct set8 *first = at1(l1d, line);
    const int there = find8(first->tag, frame);
    if (there != EMPTY && (first->modified >> there & 1)) {
      clean8(first, there);
      from_l1(frame, line);
    }
  }
  counted();
  row[second_level(frame, line, at2(frame, line), &way)]++;
}

/* ---- Tables in sparse memory, by frame. ---- */

static uint64_t zero[512], *frames[1 << 18];

/* ---- TLBs: four or eight ways, the same order words; a key is context and page. ---- */

#if FULL
typedef uint64_t key;
#else
typedef uint32_t key;
#endif
struct entry { uint32_t frame, denials; };
#define TLB(name, sets, ways)                                                                                          \
  static struct { key keys[ways]; struct entry entries[ways]; uint32_t order; } name[sets];
TLB(code_small, 16, 4)
TLB(data_small, 16, 4)
TLB(second, 128, 8)

/* Way of a page, or EMPTY. */
CALLED int find_key(const key *keys, int ways, key own, key global) {
  for (int way = 0; way < ways; way++)
    if (keys[way] == own || (FULL && keys[way] == global)) return way;
  return EMPTY;
}

#ifdef SIZES
#include "limit-sizes.h"
#else
#define RECOUNT(set, oldest, ways, name)
#endif

/* Order words of four ways have their unused nibbles at 15, above; so the way unused longest is in nibble `ways - 1`. */
#define ENTER(set, ways, name, found)                                                                                  \
  do {                                                                                                                 \
    const uint32_t oldest = (set)->order >> (4 * (ways) - 4) & 15;                                                     \
    (set)->order = (ways) == 8 ? (set)->order << 4 | oldest : (((set)->order << 4 | oldest) & 0xffff) | 0xffff0000u;   \
    RECOUNT(set, oldest, ways, name)                                                                                   \
    (set)->keys[oldest] = (name);                                                                                      \
    (set)->entries[oldest] = (found);                                                                                  \
  } while (0)

/* ---- Paging-structure caches: small tables, the entry used last in front. ---- */

struct structure { key name; uint32_t table, denials; };
#define BUCKETS 512
static struct {
  struct structure slot[33];
  uint8_t chain[33], newer[33], older[33], bucket[BUCKETS];
} pde;
static struct structure pdpte[4], pml4e[2];

INLINE uint32_t hashed(key name) { return (uint32_t)(name ^ (uint64_t)name >> 32) * 0x9e3779b1u >> 23; }

CALLED void front(int slot) {
  pde.older[pde.newer[slot]] = pde.older[slot];
  pde.newer[pde.older[slot]] = pde.newer[slot];
  const int newest = pde.older[0];
  pde.older[0] = slot, pde.newer[slot] = 0, pde.older[slot] = newest, pde.newer[newest] = slot;
}

CALLED struct structure *find_pde(key name) {
  const int newest = pde.older[0];
  if (pde.slot[newest].name == name) return &pde.slot[newest];
  int slot = pde.bucket[hashed(name)];
  while (slot != 0 && pde.slot[slot].name != name) slot = pde.chain[slot];
  if (slot == 0) return NULL;
  front(slot);
  return &pde.slot[slot];
}

CALLED void enter_pde(struct structure made) {
  const int slot = pde.newer[0];
  if (pde.slot[slot].name != (key)EMPTY) {
    uint8_t *link = &pde.bucket[hashed(pde.slot[slot].name)];
    while (*link != slot) link = &pde.chain[*link];
    *link = pde.chain[slot];
  }
  if (pde.older[0] != slot) front(slot);
  uint8_t *bucket = &pde.bucket[hashed(made.name)];
  pde.chain[slot] = *bucket;
  *bucket = slot;
  pde.slot[slot] = made;
}

CALLED struct structure *find_few(struct structure *few, int length, key name) {
  for (int at = 0; at < length; at++)
    if (few[at].name == name) {
      const struct structure found = few[at];
      for (; at > 0; at--) few[at] = few[at - 1];
      few[0] = found;
      return few;
    }
  return NULL;
}

CALLED void enter_few(struct structure *few, int length, struct structure made) {
  for (int at = length - 1; at > 0; at--) few[at] = few[at - 1];
  few[0] = made;
}

/* ---- The walk. ---- */

enum { PRESENT = 1, WRITABLE = 2, USER = 4, ACCESSED = 0x20, DIRTY = 0x40, PAGE_SIZE = 0x80, GLOBAL = 0x100 };
enum { NOT_WRITABLE = 1, NOT_USER = 2, USER_PAGE = 4, NO_EXECUTE = 8, NOT_DIRTY = 16 };

INLINE void mark(uint32_t table, unsigned index, uint64_t entry, uint64_t *row) {
  data(table, index >> 3, 1, row);
  frames[table][index] = entry;
}

#ifdef TWO_PASSES
#include "limit-passes.h"
#endif

static struct entry walk(uint64_t page, key tag, int access, int *global) {
  uint64_t *row = counts + (region * ROWS + ROW_WALK) * SOURCES;
  unsigned level, denials = 0;
  uint32_t table;
  struct structure *from;
  if ((from = find_pde((page & ~(uint64_t)0x1ff) | tag))) level = 1;
  else if ((from = find_few(pdpte, 4, (page & ~(uint64_t)0x3ffff) | tag))) level = 2;
  else if ((from = find_few(pml4e, 2, (page & ~(uint64_t)0x7ffffff) | tag))) level = 3;
  else level = root_levels;
  table = from ? from->table : root;
  if (FULL && from) denials = from->denials;
  counted();
#ifdef TWO_PASSES
  struct entry found;
  const unsigned leaf = read_through(page, level, table, denials, access, &found, global);
  for (;;) {
    data(steps[level].table, (page >> (9 * level - 9) & 511) >> 3, 0, row);
    if (level == leaf) return found;
    level--;
    const uint64_t name = (page & ~(((uint64_t)1 << (9 * level)) - 1)) | tag;
    const struct structure made = { name, steps[level].table, steps[level].denials };
    if (level == 1) enter_pde(made);
    else if (level == 2) enter_few(pdpte, 4, made);
    else enter_few(pml4e, 2, made);
  }
#else
  for (;;) {
    const unsigned index = page >> (9 * level - 9) & 511;
    const uint64_t entry = frames[table][index];
    data(table, index >> 3, 0, row);
    if (!(entry & PRESENT)) beyond("a page that is not there");
    const int leaf = level == 1 || (entry & PAGE_SIZE);
    const uint32_t frame = (uint32_t)(entry >> 12);
    if (FULL) {
      if ((entry >> 32 & reserved) || (leaf && level > 1)) beyond("a reserved bit, or a large page");
      if (!(entry & WRITABLE)) denials |= NOT_WRITABLE;
      if (!(entry & USER)) denials |= NOT_USER;
      if (entry >> 63) denials |= NO_EXECUTE;
    }
    if (leaf) {
      if (!FULL) return (struct entry){ frame, 0 };
      if (!(denials & NOT_USER)) denials |= USER_PAGE;
      if (denials & deny[access] & ~NOT_DIRTY) beyond("a fault");
      const uint64_t wanted = entry | (access == STORE ? ACCESSED | DIRTY : ACCESSED);
      if (wanted != entry) mark(table, index, wanted, row);
      *global = (entry & GLOBAL) != 0;
      return (struct entry){ frame, wanted & DIRTY ? denials : denials | NOT_DIRTY };
    }
    if (FULL && !(entry & ACCESSED)) mark(table, index, entry | ACCESSED, row);
    level--;
    table = frame;
    const struct structure made = { (page & ~(((uint64_t)1 << (9 * level)) - 1)) | tag, table, denials };
    if (level == 1) enter_pde(made);
    else if (level == 2) enter_few(pdpte, 4, made);
    else enter_few(pml4e, 2, made);
  }
#endif
}

/* ---- An access. ---- */

#define CANONICAL(address) ((int64_t)((address) << 16) >> 16 == (int64_t)(address))

#ifdef SIZES
#define ANY_LARGER(page, own, all, access)
#define LOOK_SMALL(page) (!any_large || small_regions[0][(page) >> 9 & 4095])
#define FOUND_LARGER(look)                                                                                             \
  if (any_large) {                                                                                                     \
    found = look;                                                                                                      \
    if (found.denials & deny[access]) beyond("a refusal, or a first store");                                           \
    if (found.frame != (uint32_t)EMPTY) return found.frame;                                                            \
  }
#define LARGER(page, own, all, access) FOUND_LARGER(larger(page, own, all, access == FETCH))
#define LARGER_SECOND(page, own, all, access) FOUND_LARGER(larger_second(page, own, all))
#else
#define ANY_LARGER(page, own, all, access) if (FULL && any_large) beyond("a large page");
#define LOOK_SMALL(page) 1
#define LARGER(page, own, all, access)
#define LARGER_SECOND(page, own, all, access)
#endif

/* Everything but the page used last in its set. */
#define TRANSLATE(name, small)                                                                                         \
  static uint32_t name(uint64_t address, int access) {                                                                 \
    if (FULL && !CANONICAL(address)) beyond("an address that is not canonical");                                       \
    const uint64_t page = address >> 12;                                                                               \
    const key tag = FULL ? context : 0, own = page | tag, all = page | (FULL ? global_context : 0);                    \
    __typeof__(&small[0]) set = &small[page & 15];                                                                     \
    struct entry found;                                                                                                \
    int way;                                                                                                           \
    ANY_LARGER(page, own, all, access)                                                                                 \
    if (LOOK_SMALL(page) && (way = find_key(set->keys, 4, own, all)) != EMPTY) {                                       \
      found = set->entries[way];                                                                                       \
      set->order = promoted(set->order, way);                                                                          \
    } else {                                                                                                           \
      LARGER(page, own, all, access)                                                                                   \
      __typeof__(&second[0]) below = &second[page & 127];                                                              \
      uint64_t *place = counts + PLACES_AT + region * PLACES + (access == FETCH ? 0 : 1);                              \
      key entered = own;                                                                                               \
      if ((way = find_key(below->keys, 8, own, all)) != EMPTY) {                                                       \
        counted();                                                                                                     \
        place[SECOND]++;                                                                                               \
        found = below->entries[way];                                                                                   \
        entered = below->keys[way];                                                                                    \
        below->order = promoted(below->order, way);                                                                    \
      } else {                                                                                                         \
        LARGER_SECOND(page, own, all, access)                                                                          \
        int global = 0;                                                                                                \
        place[WALKS]++;                                                                                                \
        found = walk(page, tag, access, &global);                                                                      \
        if (FULL && global) entered = all;                                                                             \
        ENTER(below, 8, entered, found);                                                                               \
      }                                                                                                                \
      ENTER(set, 4, entered, found);                                                                                   \
    }                                                                                                                  \
    if (FULL && (found.denials & deny[access])) beyond("a refusal, or a first store");                                 \
    return found.frame;                                                                                                \
  }
TRANSLATE(translate_code, code_small)
TRANSLATE(translate_data, data_small)

INLINE void instruction(uint64_t address) {
  uint64_t *row = counts + (region * ROWS + ROW_FETCH) * SOURCES;
  uint32_t frame = fetch_frame;
  if (fetch_kept) {
    const uint64_t apart = address ^ fetch_last;
    if (apart < 64) {
      row[L1]++;
      return;
    }
    if (apart >= 4096) frame = translate_code(address, FETCH);
  } else frame = translate_code(address, FETCH);
  code(frame, address >> 6 & 63, row);
  fetch_kept = 1, fetch_last = address, fetch_frame = frame;
}

INLINE void reference(uint64_t address, int access) {
  const uint64_t page = address >> 12;
  const int last = data_small[page & 15].order & 15;
  const key name = data_small[page & 15].keys[last];
  struct entry found = data_small[page & 15].entries[last];
  if ((name != (FULL ? page | context : page) && !(FULL && name == (page | global_context))) ||
      (FULL && ((found.denials & deny[access]) || !CANONICAL(address))))
    found.frame = translate_data(address, access);
  data(found.frame, address >> 6 & 63, access, counts + (region * ROWS + ROW_LOAD + access) * SOURCES);
}

#ifdef TURNS
/* A record of another kind: from here on another region. */
INLINE int turned(uint32_t record, uint32_t to) {
  if ((record & 3) != 3) return 0;
  touched_regions |= 1u << region;
  region = to & (REGIONS - 1);
  return 1;
}
#else
INLINE int turned(uint32_t record, uint32_t to) { return 0; }
#endif

static void run(const uint32_t *records, size_t length) {
#ifdef BATCHES
  /* Two words for a reference, the lower with its kind. */
  for (size_t at = 0; at < length; at++) {
    const uint64_t address = (uint64_t)records[2 * at + 1] << 32 | records[2 * at];
    if (turned(records[2 * at], records[2 * at + 1])) continue;
    if ((address & 3) == FETCH) instruction(address);
    else reference(address, address & 1);
  }
#else
  for (size_t at = 0; at < length; at++) {
    const uint64_t address = records[at] >> 2;
    if (turned(records[at], address)) continue;
    if ((records[at] & 3) == FETCH) instruction(address);
    else reference(address, records[at] & 1);
  }
#endif
}

/* ---- The machine as it is switched on, and its tables: the first GiB mapped to itself, A and D set. ---- */

static uint64_t *table_at(uint32_t frame) {
  if (frames[frame] == zero) frames[frame] = calloc(512, 8);
  if (frames[frame] == NULL) beyond("out of memory");
  return frames[frame];
}

static void map(void) {
  for (size_t frame = 0; frame < sizeof frames / sizeof *frames; frame++) frames[frame] = zero;
  root = 0x3c000;
  table_at(root)[0] = (uint64_t)(root + 1) << 12 | 0x63;
  table_at(root + 1)[0] = (uint64_t)(root + 2) << 12 | 0x63;
  for (uint64_t two = 0; two < 512; two++) {
    table_at(root + 2)[two] = (root + 3 + two) << 12 | 0x63;
    for (uint64_t page = 0; page < 512; page++) table_at(root + 3 + two)[page] = (two * 512 + page) << 12 | 0x63;
  }
}

static void clear(void) {
  struct set8 empty = { .order = 0x76543210 };
  memset(empty.tag, 0xff, sizeof empty.tag);
  for (int set = 0; set < SETS1; set++) l1i[set] = l1d[set] = empty;
  for (int set = 0; set < SETS2; set++) l2[set] = empty;
  for (int at = 0; at < SETS3 * WAYS3; at++) l3[at] = EMPTY3;
  memset(code_small, 0xff, sizeof code_small);
  memset(data_small, 0xff, sizeof data_small);
  memset(second, 0xff, sizeof second);
  for (int set = 0; set < 16; set++) code_small[set].order = data_small[set].order = 0xffff3210;
  for (int set = 0; set < 128; set++) second[set].order = 0x76543210;
  memset(pde.slot, 0xff, sizeof pde.slot);
  memset(pdpte, 0xff, sizeof pdpte);
  memset(pml4e, 0xff, sizeof pml4e);
  for (int slot = 0; slot <= 32; slot++) pde.older[slot] = slot == 32 ? 0 : slot + 1, pde.newer[slot] = slot ? slot - 1 : 32;
  deny[STORE] = NOT_WRITABLE | NOT_DIRTY;
  deny[FETCH] = NO_EXECUTE;
  reserved = 0xff000; /* above 44 bits */
#ifdef HOMES
  for (unsigned at = 0; at < sizeof homes; at++) homes[at] = at / 2;
#endif
}

#ifndef __wasm__

static double seconds(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used.ru_utime.tv_sec + used.ru_utime.tv_usec / 1e6;
}

int main(int words, char **word) {
  if (words != 4) return fprintf(stderr, "usage: limit inclusive|victim STREAM PASSES\n"), 2;
  FILE *file = fopen(word[2], "rb");
  if (file == NULL) return perror(word[2]), 2;
  fseek(file, 0, SEEK_END);
  const size_t length = ftell(file) / 4;
  rewind(file);
  uint32_t *records = malloc(4 * length + 1);
  if (records == NULL || length == 0 || fread(records, 4, length, file) != length) return perror(word[2]), 2;
  victim = strcmp(word[1], "victim") == 0;
  map();
  clear();
  double best = 1e9;
  printf("{\"counts\":[");
  for (int pass = 0, passes = atoi(word[3]); pass < passes; pass++) {
    const double before = seconds();
    run(records, length);
    const double took = seconds() - before;
    if (took < best) best = took;
    for (int at = 0; pass == 0 && at < COUNTS; at++) printf("%s%llu", at ? "," : "", (unsigned long long)counts[at]);
  }
  printf("],\"ns\":%.4f}\n", best * 1e9 / length);
  return 0;
}
#else
#define EXPORT(name) __attribute__((export_name(#name)))

/* Room for so many bytes of references. */
EXPORT(setup) uint32_t *setup(int inclusion, int bytes) {
  victim = inclusion;
  map();
  clear();
  return malloc(bytes);
}
EXPORT(go) void go(const uint32_t *records, int length) { run(records, length); }
EXPORT(counted) uint64_t *counts_at(void) { return counts; }
#endif
