/* Parts of the measuring program of `kreplica probe`: what it asks of the system, and the chains it walks. */
#ifndef KREPLICA_PROBE_H
#define KREPLICA_PROBE_H

#include <stddef.h>
#include <stdint.h>

#define LINE 64
#define MOST_NODES 64
#define MOST_CPUS 4096

/* One NUMA node, as the kernel lists it. */
struct node {
  int id;
  int listed[MOST_CPUS];
  int listed_count;
  int cpus[MOST_CPUS];  /* of them, those this process may run on */
  int cpu_count;
  uint64_t memory_bytes;
};

extern struct node nodes[MOST_NODES];
extern int node_count;

/* What pages a region was asked for and got. */
enum pages { SMALL_PAGES, HUGE_PAGES, MIXED_PAGES };

struct region {
  unsigned char *base;  /* NULL: none, and `refused` says why */
  size_t bytes;         /* asked for */
  void *mapped;
  size_t mapped_bytes;
  enum pages pages;     /* got */
  int verified;         /* a sample of its pages was found on the node */
  const char *refused;
};

/* system.c */
void find_nodes(void);
uint64_t free_bytes(int node);
struct region region_on(int node, size_t bytes, enum pages pages);
void region_free(struct region *region);
int run_on(int cpu);
void calibrate(void);
extern double tsc_hertz;
double core_hertz(void);
double now_seconds(void);
double thread_seconds(void);
uint64_t stamp(uint32_t *cpu);
long switches(void);
long long stolen_ticks(void);
void print_processor(void);
void print_caches(int cpu);

/* chains.c */
void seed_order(uint32_t seed);
uint32_t *cycle_over(uint32_t groups, uint32_t *hash);
int make_text(struct region *region, int run_lines, uint32_t *hash);
int make_loads(struct region *region, uint32_t *hash);
void walk_text(const struct region *region, long laps);
void walk_loads(const struct region *region, long laps);
void flush_lines(const struct region *region);

#endif
