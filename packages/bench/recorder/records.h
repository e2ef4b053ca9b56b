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

enum { CPUS = 64, PAGES = 65536, BUFFER = 1 << 20, LONGEST = 31, LONGEST_RUN = 4000 };
enum { FETCH = 0, LOAD = 1, STORE = 2, META = 3 };
enum { END = 0, ON_CPU = 1, MARK = 2, FETCH_PAGE = 3, REPEATED = 4 };

/* A direct-mapped memory of pages already named; what it forgets is named again. */
struct named {
  uint64_t page;
  uint64_t physical;
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
  struct named text[PAGES], data[PAGES];
};

static struct cpu *cpus[CPUS];
static FILE *out;
static uint8_t buffer[BUFFER];
static size_t filled;
static unsigned current;

static void flush(void) {
  if (filled > 0 && fwrite(buffer, 1, filled, out) != filled) {
    perror("recorder: out");
    _Exit(1);
  }
  filled = 0;
}
static void byte(uint8_t value) { buffer[filled++] = value; }
static void number(uint64_t value) {
  while (value >= 128) {
    byte((uint8_t)(value | 128));
    value >>= 7;
  }
  byte((uint8_t)value);
}
static void difference(uint64_t to, uint64_t from) {
  int64_t d = (int64_t)(to - from);
  number(((uint64_t)d << 1) ^ (uint64_t)(d >> 63));
}
static void room(void) {
  if (filled + 4 * LONGEST > BUFFER) flush();
}
static void meta(int what) { byte((uint8_t)(what << 2 | META)); }

static __attribute__((noinline)) struct cpu *new_cpu(unsigned id) {
  cpus[id] = calloc(1, sizeof(struct cpu));
  if (cpus[id] == NULL) abort();
  memset(cpus[id]->text, 0xff, sizeof cpus[id]->text);
  memset(cpus[id]->data, 0xff, sizeof cpus[id]->data);
  return cpus[id];
}
static inline struct cpu *cpu_of(unsigned id) { return cpus[id] != NULL ? cpus[id] : new_cpu(id); }

/*
 * Bytes of an instruction or access that lie in pages whose physical page was named: QEMU says that of the first byte
 * only, and of the next page somebody who begins there.
 */
static uint64_t within_page(const struct named *names, uint64_t address, uint64_t bytes) {
  uint64_t left = 4096 - (address & 4095), next = (address >> 12) + 1;
  return bytes <= left || names[next % PAGES].page == next ? bytes : left;
}

/* Writes the run of instructions that was collected for the CPU whose records are being written. */
static void end_run(void) {
  struct cpu *c = cpus[current];
  if (c == NULL || c->run_instructions == 0) return;
  room();
  bool jump = c->run_start != c->expected;
  uint64_t n = c->run_instructions;
  byte((uint8_t)((n < 31 ? n : 31) << 3 | (jump ? 4 : 0)));
  if (n >= 31) number(n - 31);
  if (jump) difference(c->run_start, c->expected);
  number(c->run_bytes);
  c->expected = c->run_start + c->run_bytes;
  c->run_instructions = 0;
}
static void on_cpu(unsigned id) {
  if (id == current) return;
  end_run();
  room();
  current = id;
  meta(ON_CPU);
  number(id);
}

/* Says how often the REP instruction ran that a CPU is done with. */
static void end_repeat(unsigned id) {
  struct cpu *c = cpus[id];
  if (c == NULL || c->iterations == 0) return;
  on_cpu(id);
  end_run();
  room();
  meta(REPEATED);
  number(c->iterations);
  c->iterations = 0;
}

static void mark(unsigned id, uint32_t marker) {
  end_repeat(id);
  on_cpu(id);
  end_run();
  room();
  meta(MARK);
  number(marker);
}

#endif
