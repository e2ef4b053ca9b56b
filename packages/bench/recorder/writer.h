/*
 * The thread that writes: puts the records together from what QEMU's threads hand over.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_WRITER_H
#define KREPLICA_WRITER_H

#include "blocks.h"
#include "events.h"
#include "kinds.h"
#include "markers.h"
#include "records.h"

/* Between which markers it is. */
static struct open_test written;
/* A block begun last, how many of its instructions were looked at, and its CPU. */
static struct at_block {
  struct block *block;
  size_t next;
  unsigned cpu;
} at_blocks[PLACES];

/* One instruction, on a CPU that records. */
static void executed_one(unsigned id, const struct instruction *i) {
  struct cpu *c = cpu_of(id);
  if (i->repeats && c->iterations > 0 && c->address == i->address) {
    c->iterations++;
    return;
  }
  end_repeat(id);
  on_cpu(id);
  uint64_t page = i->address >> 12;
  struct named *n = text_of(c, page);
  bool fresh = n->page != page || n->physical != i->physical_page;
  if (c->run_instructions > 0 && (fresh || i->address != c->run_start + c->run_bytes || c->run_bytes > LONGEST_RUN))
    end_run();
  if (fresh && i->physical_page != UINT64_MAX) {
    c->text_names = ++names;
    n->page = page;
    n->physical = i->physical_page;
    filled = number(difference(meta(room(), FETCH_PAGE), page, c->expected >> 12), i->physical_page);
  }
  if (c->run_instructions == 0) {
    c->run_start = i->address;
    c->run_bytes = 0;
  }
  c->address = i->address;
  c->run_instructions++;
  c->run_bytes += within_page(text_of(c, page + 1), i->address, i->bytes);
  if (i->repeats) {
    c->iterations = 1;
    c->line[LOAD] = c->line[STORE] = UINT64_MAX;
  }
}

/* So many of a plain block, which is what one by one would come to. @returns whether it was so simple */
static inline bool executed_together(unsigned id, struct block *b, size_t next, size_t count) {
  struct cpu *c = cpu_of(id);
  uint64_t address = b->address + b->begins[next], bytes = b->begins[next + count] - b->begins[next];
  if (b->named != c->text_names) {
    const struct named *n = text_of(c, address >> 12);
    if (n->page != address >> 12 || n->physical != b->physical_page) return false;
    b->named = c->text_names;
  }
  bool goes_on = c->run_instructions > 0 && id == current && c->iterations == 0 && address == c->run_start + c->run_bytes;
  if (bytes + (goes_on ? c->run_bytes : 0) > LONGEST_RUN) return false;
  if (!goes_on) {
    end_repeat(id);
    on_cpu(id);
    if (c->run_instructions > 0) filled = run_of(room(), c);
    c->run_start = address;
    c->run_bytes = 0;
  }
  c->address = b->address + b->begins[next + count - 1];
  c->run_instructions += count;
  c->run_bytes += bytes;
  return true;
}

/* So many, whatever they are. Markers were not counted: they call back themselves. @returns the one behind them */
static __attribute__((noinline)) size_t executed_each(const struct at_block *at, size_t count) {
  const struct block *b = at->block;
  size_t next = at->next;
  bool records = written.recording && at->cpu < CPUS;
  for (; count > 0; next++) {
    if (b->all == NULL) {
      uint8_t bytes = (uint8_t)(b->begins[next + 1] - b->begins[next]);
      struct instruction one = {.address = b->address + b->begins[next], .physical_page = b->physical_page, .bytes = bytes};
      if (records) executed_one(at->cpu, &one);
    } else if (b->all[next].marker != 0) {
      continue;
    } else if (records) {
      executed_one(at->cpu, &b->all[next]);
    }
    count--;
  }
  return next;
}

/* So many more were executed of the block begun last. */
static inline void executed_of_block(struct at_block *at, size_t count) {
  if (count == 0) return;
  bool simple = written.recording && at->cpu < CPUS && at->block->all == NULL &&
                executed_together(at->cpu, at->block, at->next, count);
  at->next = simple ? at->next + count : executed_each(at, count);
}

/* What is not in a recording: what the CPU pushes for an exception, which comes as if the user's instruction had stored it. */
static inline bool pushed(const struct cpu *c, uint64_t address) { return address >> 63 != 0 && c->address >> 63 == 0; }
/* Of a REP instruction the first access of each line is. */
static inline bool again(struct cpu *c, int kind, uint64_t address) {
  bool same = c->line[kind] == address >> 6;
  c->line[kind] = address >> 6;
  return same;
}

/* Head and address of an access of this CPU, behind the run of instructions before it. */
static inline uint8_t *access_of(struct cpu *c, struct kind_of_access k, uint64_t address, int what) {
  uint8_t *at = room();
  if (c->run_instructions > 0) at = run_of(at, c);
  unsigned shift = k.shift;
  const struct named *next = data_of(c, (address >> 12) + 1);
  while (shift > 0 && within_page(next, address, 1ull << shift) < 1ull << shift) shift--;
  at = difference(byte(at, (uint8_t)(k.kind | (int)shift << 2 | what)), address, c->last[k.kind]);
  c->last[k.kind] = address;
  return at;
}

/* Of a page of which no record may say where it lies, as far as `said` has it. */
static __attribute__((noinline)) void access_named(struct cpu *c, struct kind_of_access k, uint64_t address,
                                                    struct said *said) {
  uint64_t page = address >> 12;
  struct named *n = data_of(c, page);
  bool fresh = n->page != page || n->physical != said->physical;
  uint8_t *at = access_of(c, k, address, fresh ? 64 : 0);
  if (fresh) {
    *n = (struct named){page, said->physical};
    at = number(at, said->physical);
  }
  said->named = true;
  filled = at;
}

static struct kinds kinds_written;
static inline void accessed_memory(struct cpu *c, const struct event *e, struct said *said) {
  struct kind_of_access k = kind_of(&kinds_written, access_in(e));
  if (pushed(c, e->value) || (c->iterations > 0 && again(c, k.kind, e->value))) return;
  on_cpu(cpu_in(e));
  if (said->named) filled = access_of(c, k, e->value, 0);
  else access_named(c, k, e->value, said);
}
static void accessed_device(struct cpu *c, const struct event *e, uint64_t physical) {
  if (pushed(c, e->value)) return;
  on_cpu(cpu_in(e));
  filled = number(access_of(c, kind_of(&kinds_written, access_in(e)), e->value, 32), physical);
}

static void marked(unsigned id, uint32_t marker) {
  bool before = written.recording;
  if (passes(&written, id, marker)) mark(id, marker);
  if (!before || written.recording) return;
  flush();
  fflush(out);
}

static bool end_written;
static void write_end(void) {
  if (written.recording) mark(written.cpu, (written.marker & ~0xffu) | ENDS);
  end_run();
  filled = meta(room(), END);
  flush();
  if (fclose(out) != 0) perror("recorder: out");
  end_written = true;
}

/* @returns the event behind it and what belongs to it */
static inline const struct event *write_event(const struct event *e) {
  unsigned id = cpu_in(e);
  struct at_block *at = &at_blocks[place_of(id)];
  executed_of_block(at, count_in(e));
  const struct instruction *i;
  struct cpu *c;
  struct said *said;
  switch (what_of(e)) {
    case EXECUTED:
      i = (const struct instruction *)(uintptr_t)e->value;
      if (i->marker != 0) marked(id, i->marker);
      else executed_one(id, i);
      break;
    case BEGAN:
    case BEGAN_REPEATING:
      *at = (struct at_block){(struct block *)(uintptr_t)e->value, 0, id};
      if (what_of(e) == BEGAN_REPEATING) executed_one(id, at->block->all);
      break;
    case ITERATED:
      /* None where it only says what was executed before it. */
      if (e->value > 0) cpu_of(id)->iterations += e->value;
      break;
    case ACCESSED:
      c = cpu_of(id);
      accessed_memory(c, e, &c->said[(e->value >> 12) % SAID]);
      break;
    case LOCATED:
      c = cpu_of(id);
      said = &c->said[(e->value >> 12) % SAID];
      *said = (struct said){e[1].value >> 12, false};
      accessed_memory(c, e, said);
      return e + 2;
    case LOCATED_DEVICE:
      accessed_device(cpu_of(id), e, e[1].value);
      return e + 2;
    case ENDED:
      write_end();
      break;
  }
  return e + 1;
}

/* @returns whether it was the last */
static bool write_piece(const struct piece *p) {
  /* What is kept of blocks is more than caches hold near: fetched so many events before it is looked at. */
  enum { AHEAD = 8 };
  const struct event *end = p->events + p->count;
  for (const struct event *e = p->events; e < end; e = write_event(e))
    if (e + AHEAD < end && what_of(e + AHEAD) == BEGAN) __builtin_prefetch((const void *)(uintptr_t)e[AHEAD].value);
  return end_written;
}

#endif
