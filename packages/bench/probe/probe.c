/*
 * The measuring program of `kreplica probe`: latency of loads and of instruction fetches from every node with CPUs to
 * every node with memory, hot and cold, idle and loaded. Prints one JSON object a line, the last of kind "end".
 *
 *   probe SECONDS SEED
 */
#define _GNU_SOURCE
#include "probe.h"

#include <cpuid.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef __x86_64__
#error "measures x86-64 processors only"
#endif

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

enum { MOST_REPEATS = 15, FEWEST_REPEATS = 3, MOST_LOADERS = 32 };

/* When to be done, and how long one cell may take; seconds. */
static double deadline;
static const double CELL_SECONDS = 0.6;
static uint32_t seed;
static int printed;

/* What is walked, and what is done to it. */
struct walk {
  int is_text;
  size_t bytes;
  int run_lines;
  enum pages pages;
  int loaders;
};

static void skip(const char *what, int from, int to, const struct walk *walk, const char *reason) {
  printf("{\"kind\":\"skip\",\"what\":\"%s\",\"from\":%d,\"to\":%d,\"bytes\":%zu,\"runLines\":%d,\"loaders\":%d,"
         "\"pages\":\"%s\",\"reason\":\"%s\"}\n",
         what, from, to, walk->bytes, walk->run_lines, walk->loaders, walk->pages == HUGE_PAGES ? "huge" : "small",
         reason);
}

/* --- other CPUs that draw on the same memory --- */

struct loader {
  pthread_t thread;
  int cpu;
  struct region region;
  uint64_t bytes;
};
static struct loader loader_list[MOST_LOADERS];
static volatile int loading;

static void *draw(void *given) {
  struct loader *loader = given;
  run_on(loader->cpu);
  const size_t chunk = 256 * KIB;
  size_t at = 0;
  while (loading) {
    uint64_t sum = 0;
    for (const unsigned char *byte = loader->region.base + at, *end = byte + chunk; byte < end; byte += LINE)
      sum += *(const volatile uint64_t *)byte;
    __asm__ volatile("" : : "r"(sum));
    at = at + chunk < loader->region.bytes ? at + chunk : 0;
    __atomic_fetch_add(&loader->bytes, chunk, __ATOMIC_RELAXED);
  }
  return NULL;
}

/* Other CPUs of the node, each over memory of its own on the other node. How many there are. */
static int loaders_start(const struct node *from, int to) {
  int count = 0;
  loading = 1;
  for (int each = 1; each < from->cpu_count && count < MOST_LOADERS; each++) {
    struct loader *loader = &loader_list[count];
    loader->cpu = from->cpus[each];
    loader->bytes = 0;
    loader->region = region_on(to, 64 * MIB, HUGE_PAGES);
    if (!loader->region.base) {
      region_free(&loader->region);
      loader->region = region_on(to, 64 * MIB, SMALL_PAGES);
    }
    if (!loader->region.base || pthread_create(&loader->thread, NULL, draw, loader) != 0) {
      region_free(&loader->region);
      break;
    }
    count++;
  }
  return count;
}

static void loaders_stop(int count) {
  loading = 0;
  for (int each = 0; each < count; each++) {
    pthread_join(loader_list[each].thread, NULL);
    region_free(&loader_list[each].region);
  }
}

static uint64_t bytes_drawn(int count) {
  uint64_t sum = 0;
  for (int each = 0; each < count; each++) sum += __atomic_load_n(&loader_list[each].bytes, __ATOMIC_RELAXED);
  return sum;
}

/* --- one cell --- */

static int compare(const void *a, const void *b) {
  const double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

static void lap(const struct region *region, const struct walk *walk, long laps) {
  if (walk->is_text) walk_text(region, laps);
  else walk_loads(region, laps);
}

/* Repeats until there are enough, or the cell's time is over; the middle one counts, the outer quarters are its range. */
static void cell(const struct node *from, int to, const struct region *region, const struct walk *walk, int cold,
                 uint32_t hash) {
  const size_t lines = region->bytes / LINE;
  long laps = 1;
  if (!cold) {
    lap(region, walk, 2);
    const double before = now_seconds();
    lap(region, walk, 1);
    const double took = now_seconds() - before;
    if (took < 0.001) laps = (long)(0.001 / (took + 1e-7)) + 1;
  } else {
    /* So that what predicts branches has met them all, as far as it can hold them. */
    lap(region, walk, 2);
  }
  double found[MOST_REPEATS];
  int repeats = 0, disturbed = 0;
  const uint64_t drawn_before = bytes_drawn(walk->loaders);
  const long long stolen_before = stolen_ticks();
  const double begun = now_seconds();
  while (repeats < MOST_REPEATS) {
    const double now = now_seconds();
    if (repeats >= FEWEST_REPEATS && (now - begun > CELL_SECONDS || now > deadline)) break;
    uint32_t cpu, cpu_after;
    if (cold) flush_lines(region);
    const long switched = switches();
    const double own = thread_seconds();
    const uint64_t first = stamp(&cpu);
    lap(region, walk, laps);
    const uint64_t last = stamp(&cpu_after);
    const double own_after = thread_seconds();
    double seconds = (double)(last - first) / tsc_hertz;
    if (switches() != switched || cpu != cpu_after) {
      /* Others ran here meanwhile: only its own time counts. */
      disturbed++;
      if (own_after - own < seconds) seconds = own_after - own;
    }
    found[repeats++] = 1e9 * seconds / ((double)lines * (double)laps);
  }
  const double took = now_seconds() - begun;
  const long long stolen = stolen_before < 0 ? -1 : stolen_ticks() - stolen_before;
  qsort(found, (size_t)repeats, sizeof *found, compare);
  static const char *const page_names[] = {"small", "huge", "mixed"};
  printf("{\"kind\":\"cell\",\"what\":\"%s\",\"from\":%d,\"to\":%d,\"cpu\":%d,\"bytes\":%zu,\"runLines\":%d,"
         "\"pages\":\"%s\",\"cache\":\"%s\",\"loaders\":%d,\"loadMBs\":%.0f,\"nanoseconds\":%.3f,\"low\":%.3f,"
         "\"high\":%.3f,\"repeats\":%d,\"disturbed\":%d,\"stolenTicks\":%lld,\"placed\":%s,\"orderHash\":%u}\n",
         walk->is_text ? "fetch" : "load", from->id, to, from->cpus[0], walk->bytes, walk->run_lines,
         page_names[region->pages], cold ? "cold" : "hot", walk->loaders,
         walk->loaders ? 1e-6 * (double)(bytes_drawn(walk->loaders) - drawn_before) / took : 0.0, found[repeats / 2],
         found[repeats / 4], found[repeats - 1 - repeats / 4], repeats, disturbed, stolen,
         region->verified ? "true" : "false", hash);
  fflush(stdout);
  printed++;
}

/* The same chain hot, then cold. */
static void cells(const struct node *from, int to, struct walk walk) {
  const char *what = walk.is_text ? "fetch" : "load";
  if (now_seconds() > deadline) {
    skip(what, from->id, to, &walk, "the time was over");
    return;
  }
  uint32_t hash = 0;
  struct region region = region_on(to, walk.bytes, walk.pages);
  if (region.base) {
    seed_order(seed);
    if (walk.is_text ? !make_text(&region, walk.run_lines, &hash) : !make_loads(&region, &hash)) {
      skip(what, from->id, to, &walk, region.refused);
    } else {
      cell(from, to, &region, &walk, 0, hash);
      cell(from, to, &region, &walk, 1, hash);
    }
  } else
    skip(what, from->id, to, &walk, region.refused);
  region_free(&region);
}

/* --- what is measured, the most telling first --- */

static void essentials(const struct node *from, int to) {
  cells(from, to, (struct walk){0, 16 * MIB, 1, HUGE_PAGES, 0});
  cells(from, to, (struct walk){1, 4 * MIB, 1, HUGE_PAGES, 0});
}

static void loaded(const struct node *from, int to) {
  struct walk loads = {0, 16 * MIB, 1, HUGE_PAGES, 0}, text = {1, 4 * MIB, 1, HUGE_PAGES, 0};
  if (now_seconds() > deadline || from->cpu_count < 2) {
    const char *reason = from->cpu_count < 2 ? "the node has no other CPU" : "the time was over";
    loads.loaders = text.loaders = 1;
    skip("load", from->id, to, &loads, reason);
    skip("fetch", from->id, to, &text, reason);
    return;
  }
  const int count = loaders_start(from, to);
  loads.loaders = text.loaders = count;
  if (count > 0) {
    cells(from, to, loads);
    cells(from, to, text);
  } else
    skip("load", from->id, to, &loads, "no memory for the CPUs that load the link");
  loaders_stop(count);
}

static void sizes(const struct node *from, int to) {
  static const size_t load_bytes[] = {16 * KIB, 256 * KIB, 4 * MIB, 64 * MIB};
  static const size_t text_bytes[] = {32 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 16 * MIB, 64 * MIB};
  for (size_t each = 0; each < sizeof load_bytes / sizeof *load_bytes; each++)
    cells(from, to, (struct walk){0, load_bytes[each], 1, HUGE_PAGES, 0});
  for (int run_lines = 1; run_lines <= 4; run_lines += 3)
    for (size_t each = 0; each < sizeof text_bytes / sizeof *text_bytes; each++)
      for (enum pages pages = SMALL_PAGES; pages <= HUGE_PAGES; pages++) {
        /* Done already. */
        if (run_lines == 1 && pages == HUGE_PAGES && text_bytes[each] == 4 * MIB) continue;
        cells(from, to, (struct walk){1, text_bytes[each], run_lines, pages, 0});
      }
}

static int has_clflush(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && ((d >> 19) & 1);
}

static void head(void) {
  const char *comma = "";
  unsigned a, b, c, d = 0;
  __get_cpuid(0x80000007u, &a, &b, &c, &d);
  printf("{\"kind\":\"head\",\"version\":1,");
  print_processor();
  printf(",\"tscHertz\":%.0f,\"tscInvariant\":%s,\"coreHertz\":%.0f,\"seed\":%u,", tsc_hertz,
         (d >> 8) & 1 ? "true" : "false", core_hertz(), seed);
  int cpu = 0;
  for (int each = node_count - 1; each >= 0; each--)
    if (nodes[each].cpu_count > 0) cpu = nodes[each].cpus[0];
  print_caches(cpu);
  printf(",\"nodes\":[");
  for (int each = 0; each < node_count; each++, comma = ",") {
    const struct node *node = &nodes[each];
    printf("%s{\"id\":%d,\"memoryBytes\":%llu,\"cpus\":[", comma, node->id, (unsigned long long)node->memory_bytes);
    for (int index = 0; index < node->listed_count; index++) printf("%s%d", index ? "," : "", node->listed[index]);
    printf("]}");
  }
  printf("]}\n");
  fflush(stdout);
}

typedef void part(const struct node *from, int to);

/* Pairs of a node with itself, or of two nodes, or all; each part on a CPU of the first node. */
static void over_pairs(part *measure, int same, int different) {
  for (int from = 0; from < node_count; from++) {
    if (nodes[from].cpu_count == 0) continue;
    if (!run_on(nodes[from].cpus[0])) continue;
    for (int to = 0; to < node_count; to++)
      if (nodes[to].memory_bytes > 0 && (from == to ? same : different)) measure(&nodes[from], nodes[to].id);
  }
}

int main(int count, char **words) {
  if (count != 3) {
    fprintf(stderr, "usage: probe SECONDS SEED\n");
    return 2;
  }
  const double begun = now_seconds();
  deadline = begun + 0.95 * atof(words[1]);
  seed = (uint32_t)strtoul(words[2], NULL, 10);
  if (!has_clflush()) {
    printf("{\"kind\":\"refusal\",\"reason\":\"the processor has no CLFLUSH\"}\n");
    return 3;
  }
  find_nodes();
  int first = 0;
  while (first < node_count && nodes[first].cpu_count == 0) first++;
  if (first == node_count) {
    printf("{\"kind\":\"refusal\",\"reason\":\"no node has a CPU that this process may run on\"}\n");
    return 3;
  }
  run_on(nodes[first].cpus[0]);
  calibrate();
  head();
  over_pairs(essentials, 1, 1);
  over_pairs(loaded, 1, 1);
  over_pairs(sizes, 1, 0);
  over_pairs(sizes, 0, 1);
  printf("{\"kind\":\"end\",\"cells\":%d,\"seconds\":%.2f}\n", printed, now_seconds() - begun);
  return 0;
}
