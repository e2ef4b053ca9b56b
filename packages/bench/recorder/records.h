/*
 * KTRC1 records as the recorder writes them: what is known of each CPU, runs of instructions, numbers, the buffer before
 * the file. One writer at a time.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_RECORDS_H
#define KREPLICA_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPUS = 64, PAGES = 65536, BUFFER = 1 << 16, LONGEST = 31, LONGEST_RUN = 4000 };
enum { FETCH = 0, LOAD = 1, STORE = 2, META = 3 };
enum { END = 0, ON_CPU = 1, MARK = 2, FETCH_PAGE = 3, REPEATED = 4 };

/* A direct-mapped memory of pages already named; what it forgets is named again. */
struct named {
  uint64_t page;
  uint64_t physical;
};

/* What QEMU said last of the pages that share a place, and whether a record has it and `data` still knows. */
enum { SAID = 512 };
struct said {
  uint64_t physical;
  bool named;
};

struct cpu {
  uint64_t expected;
  uint64_t last[3];
  uint64_t run_start, run_bytes, run_instructions;
  /* Of the instruction executed last. */
  uint64_t address;
  /* Iterations of the REP instruction that is being executed, 0 for none, and the line of its last load and store. */
  uint64_t iterations;
  uint64_t line[3];
  /* Changes when `text` does; no two CPUs have the same. */
  uint64_t text_names;
  struct said said[SAID];
  struct named text[PAGES], data[PAGES];
};

static struct cpu *cpus[CPUS];
static FILE *out;
static uint8_t buffer[BUFFER];
static uint8_t *filled = buffer;
static unsigned current;
static uint64_t names;

static void flush(void) {
  size_t bytes = (size_t)(filled - buffer);
  if (bytes > 0 && fwrite(buffer, 1, bytes, out) != bytes) {
    perror("recorder: out");
    _Exit(1);
  }
  filled = buffer;
}

/*
 * Records are put together behind a pointer that the compiler keeps in a register: bytes may alias anything, and a pointer
 * in memory would be read again after each. Of all that is written between two calls of `room` there is place.
 */
static inline uint8_t *room(void) {
  if (filled > buffer + BUFFER - 4 * LONGEST) flush();
  return filled;
}
static inline uint8_t *byte(uint8_t *at, uint8_t value) {
  *at = value;
  return at + 1;
}
/* LEB128. Up to 56 bits without a branch for how many: lengths of addresses' differences follow no pattern. */
static inline uint8_t *number(uint8_t *at, uint64_t value) {
  if (value < 128) return byte(at, (uint8_t)value);
  if (value >> 56 != 0) {
    for (; value >= 128; value >>= 7) at = byte(at, (uint8_t)(value | 128));
    return byte(at, (uint8_t)value);
  }
  unsigned bits = 64 - (unsigned)__builtin_clzll(value), bytes = (bits + 6) / 7;
  uint64_t spread = (value & 0xfffffff0000000) << 4 | (value & 0xfffffff);
  spread = (spread & 0x0fffc0000fffc000) << 2 | (spread & 0x00003fff00003fff);
  spread = (spread & 0x3f803f803f803f80) << 1 | (spread & 0x007f007f007f007f);
  spread |= 0x8080808080808080 & (((uint64_t)1 << (8 * (bytes - 1))) - 1);
  memcpy(at, &spread, sizeof spread);
  return at + bytes;
}
static inline uint8_t *difference(uint8_t *at, uint64_t to, uint64_t from) {
  int64_t d = (int64_t)(to - from);
  return number(at, ((uint64_t)d << 1) ^ (uint64_t)(d >> 63));
}
static inline uint8_t *meta(uint8_t *at, int what) { return byte(at, (uint8_t)(what << 2 | META)); }

static __attribute__((noinline)) struct cpu *new_cpu(unsigned id) {
  cpus[id] = calloc(1, sizeof(struct cpu));
  if (cpus[id] == NULL) abort();
  cpus[id]->text_names = ++names;
  memset(cpus[id]->text, 0xff, sizeof cpus[id]->text);
  memset(cpus[id]->data, 0xff, sizeof cpus[id]->data);
  return cpus[id];
}
static inline struct cpu *cpu_of(unsigned id) { return cpus[id] != NULL ? cpus[id] : new_cpu(id); }

/*
 * Bytes of an instruction or access that lie in pages whose physical page was named: QEMU says that of the first byte
 * only, and of the next page somebody who begins there.
 *
 * @param next the page behind the one it begins in, as far as it was named
 */
static inline uint64_t within_page(const struct named *next, uint64_t address, uint64_t bytes) {
  uint64_t left = 4096 - (address & 4095);
  return bytes <= left || next->page == (address >> 12) + 1 ? bytes : left;
}
static inline struct named *text_of(struct cpu *c, uint64_t page) { return &c->text[page % PAGES]; }
static inline struct named *data_of(struct cpu *c, uint64_t page) { return &c->data[page % PAGES]; }

/* The run of instructions that was collected for a CPU, which has one. */
static inline uint8_t *run_of(uint8_t *at, struct cpu *c) {
  bool jump = c->run_start != c->expected;
  uint64_t n = c->run_instructions;
  at = byte(at, (uint8_t)((n < 31 ? n : 31) << 3 | (jump ? 4 : 0)));
  if (n >= 31) at = number(at, n - 31);
  if (jump) at = difference(at, c->run_start, c->expected);
  at = number(at, c->run_bytes);
  c->expected = c->run_start + c->run_bytes;
  c->run_instructions = 0;
  return at;
}
/* Writes that of the CPU whose records are being written. */
static void end_run(void) {
  struct cpu *c = cpus[current];
  if (c != NULL && c->run_instructions > 0) filled = run_of(room(), c);
}
static void on_other_cpu(unsigned id) {
  end_run();
  current = id;
  filled = number(meta(room(), ON_CPU), id);
}
static inline void on_cpu(unsigned id) {
  if (id != current) on_other_cpu(id);
}

/* Says how often the REP instruction ran that a CPU is done with. */
static void end_iterations(unsigned id) {
  struct cpu *c = cpus[id];
  on_cpu(id);
  end_run();
  filled = number(meta(room(), REPEATED), c->iterations);
  c->iterations = 0;
}
static inline void end_repeat(unsigned id) {
  if (cpus[id] != NULL && cpus[id]->iterations > 0) end_iterations(id);
}

static void mark(unsigned id, uint32_t marker) {
  end_repeat(id);
  on_cpu(id);
  end_run();
  filled = number(meta(room(), MARK), marker);
}

#endif
