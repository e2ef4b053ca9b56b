/* What the measuring program asks of Linux and of the processor: nodes, placed memory, clocks, what disturbs. */
#define _GNU_SOURCE
#include "probe.h"

#include <cpuid.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

struct node nodes[MOST_NODES];
int node_count;
double tsc_hertz;

static const char *one_line(const char *path) {
  static char text[16384];
  FILE *file = fopen(path, "r");
  if (!file) return NULL;
  char *read = fgets(text, sizeof text, file);
  fclose(file);
  if (read) read[strcspn(read, "\n")] = 0;
  return read;
}

/* "0-3,8": each number, up to `most`. */
static int listed(const char *list, int *numbers, int most) {
  int count = 0;
  while (list && *list >= '0' && *list <= '9') {
    char *end;
    long first = strtol(list, &end, 10), last = first;
    if (*end == '-') last = strtol(end + 1, &end, 10);
    for (long each = first; each <= last && count < most; each++) numbers[count++] = (int)each;
    list = *end == ',' ? end + 1 : NULL;
  }
  return count;
}

static uint64_t meminfo(int node, const char *field) {
  char path[80], line[256];
  snprintf(path, sizeof path, "/sys/devices/system/node/node%d/meminfo", node);
  FILE *file = fopen(path, "r");
  if (!file) file = fopen("/proc/meminfo", "r");
  if (!file) return 0;
  uint64_t kilobytes = 0;
  while (kilobytes == 0 && fgets(line, sizeof line, file)) {
    char *found = strstr(line, field);
    if (found) kilobytes = strtoull(found + strlen(field), NULL, 10);
  }
  fclose(file);
  return kilobytes << 10;
}

/* Free, or in the page cache and so to be had. */
uint64_t free_bytes(int node) { return meminfo(node, "MemFree:") + meminfo(node, "Inactive(file):"); }

void find_nodes(void) {
  cpu_set_t *allowed = CPU_ALLOC(MOST_CPUS);
  const size_t size = CPU_ALLOC_SIZE(MOST_CPUS);
  CPU_ZERO_S(size, allowed);
  sched_getaffinity(0, size, allowed);
  static int ids[MOST_NODES];
  const char *online = one_line("/sys/devices/system/node/online");
  int count = listed(online, ids, MOST_NODES);
  const int sysfs = count > 0;
  if (!sysfs) ids[count++] = 0;
  for (int index = 0; index < count; index++) {
    struct node *node = &nodes[node_count++];
    char path[80];
    node->id = ids[index];
    snprintf(path, sizeof path, "/sys/devices/system/node/node%d/cpulist", node->id);
    node->listed_count = listed(sysfs ? one_line(path) : NULL, node->listed, MOST_CPUS);
    for (int cpu = 0; !sysfs && cpu < MOST_CPUS; cpu++)
      if (CPU_ISSET_S(cpu, size, allowed)) node->listed[node->listed_count++] = cpu;
    for (int each = 0; each < node->listed_count; each++) {
      const int cpu = node->listed[each];
      if (cpu < MOST_CPUS && CPU_ISSET_S(cpu, size, allowed)) node->cpus[node->cpu_count++] = cpu;
    }
    node->memory_bytes = meminfo(node->id, "MemTotal:");
  }
  CPU_FREE(allowed);
}

/* Policies and flags of mbind(2) and get_mempolicy(2), which need no library. */
enum { BIND = 2, OF_NODE = 1, OF_ADDRESS = 2 };

/* 1 found on the node, 0 elsewhere, -1 the kernel does not tell. */
static int lies_on(const struct region *region, int node) {
  enum { SAMPLE = 64 };
  void *pages[SAMPLE];
  int status[SAMPLE];
  const size_t step = region->bytes / SAMPLE > 4096 ? region->bytes / SAMPLE : 4096;
  unsigned long count = 0;
  for (size_t at = 0; at < region->bytes && count < SAMPLE; at += step)
    pages[count++] = (void *)((uintptr_t)(region->base + at) & ~(uintptr_t)4095);
  if (syscall(SYS_move_pages, 0, count, pages, NULL, status, 0) == 0) {
    for (unsigned long each = 0; each < count; each++)
      if (status[each] != node) return 0;
    return 1;
  }
  int found = -1;
  if (syscall(SYS_get_mempolicy, &found, NULL, 0UL, region->base, (unsigned long)(OF_NODE | OF_ADDRESS)) == 0)
    return found == node;
  return -1;
}

/* Kilobytes of 2 MiB pages in the mapping that holds the address. */
static uint64_t huge_kilobytes(const void *address) {
  FILE *file = fopen("/proc/self/smaps", "r");
  char line[512];
  uint64_t first, last;
  int inside = 0;
  uint64_t kilobytes = 0;
  if (!file) return 0;
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
      inside = (uintptr_t)address >= first && (uintptr_t)address < last;
    else if (inside && strncmp(line, "AnonHugePages:", 14) == 0) {
      kilobytes = strtoull(line + 14, NULL, 10);
      break;
    }
  }
  fclose(file);
  return kilobytes;
}

struct region region_on(int node, size_t bytes, enum pages pages) {
  const size_t huge = (size_t)2 << 20;
  struct region region = {.bytes = bytes, .pages = pages};
  const size_t whole = (bytes + huge - 1) & ~(huge - 1);
  if (free_bytes(node) < 2 * (uint64_t)whole) {
    region.refused = "the node has too little free memory";
    return region;
  }
  region.mapped_bytes = whole + huge;
  region.mapped = mmap(NULL, region.mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (region.mapped == MAP_FAILED) {
    region.mapped = NULL;
    region.refused = "no memory can be mapped";
    return region;
  }
  unsigned char *base = (unsigned char *)(((uintptr_t)region.mapped + huge - 1) & ~(uintptr_t)(huge - 1));
  unsigned long mask[MOST_NODES / 64 + 1] = {0};
  mask[node / 64] = 1UL << (node % 64);
  const int bound = syscall(SYS_mbind, base, whole, BIND, mask, (unsigned long)MOST_NODES + 1, 0) == 0;
  if (!bound && node_count > 1) {
    region.refused = "memory cannot be bound to the node (mbind is refused)";
    return region;
  }
  madvise(base, whole, pages == HUGE_PAGES ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  memset(base, 0xcc, whole);
  region.base = base;
  const int found = lies_on(&region, node);
  region.verified = found == 1;
  if (found == 0 || (found < 0 && node_count > 1)) {
    region.base = NULL;
    region.refused = found == 0 ? "its pages came to lie on another node" : "where its pages lie cannot be told";
    return region;
  }
  const uint64_t got = huge_kilobytes(base);
  region.pages = got == 0 ? SMALL_PAGES : got >= whole >> 10 ? HUGE_PAGES : MIXED_PAGES;
  if (pages == HUGE_PAGES && region.pages == SMALL_PAGES) {
    region.base = NULL;
    region.refused = "the kernel gave no 2 MiB pages";
  }
  return region;
}

void region_free(struct region *region) {
  if (region->mapped) munmap(region->mapped, region->mapped_bytes);
  region->mapped = region->base = NULL;
}

int run_on(int cpu) {
  cpu_set_t *set = CPU_ALLOC(MOST_CPUS);
  const size_t size = CPU_ALLOC_SIZE(MOST_CPUS);
  CPU_ZERO_S(size, set);
  CPU_SET_S(cpu, size, set);
  const int done = sched_setaffinity(0, size, set) == 0;
  CPU_FREE(set);
  return done;
}

static double seconds_of(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}
double now_seconds(void) { return seconds_of(CLOCK_MONOTONIC_RAW); }
double thread_seconds(void) { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

/* Some guests are shown no RDTSCP. */
static int has_rdtscp(void) {
  unsigned a, b, c, d;
  return __get_cpuid(0x80000001u, &a, &b, &c, &d) && ((d >> 27) & 1);
}

/* Waits for all before it, and nothing after it starts early. Without RDTSCP a second fence waits, and Linux says which CPU it is. */
uint64_t stamp(uint32_t *cpu) {
  static int by_rdtscp = -1;
  if (by_rdtscp < 0) by_rdtscp = has_rdtscp();
  uint64_t time;
  if (!by_rdtscp) *cpu = (uint32_t)sched_getcpu();
  _mm_mfence();
  if (by_rdtscp) time = __rdtscp(cpu);
  else {
    _mm_lfence();
    time = __rdtsc();
  }
  _mm_lfence();
  return time;
}

/* The middle of five. */
void calibrate(void) {
  double found[5];
  uint32_t cpu;
  for (int each = 0; each < 5; each++) {
    const double from = now_seconds();
    const uint64_t first = stamp(&cpu);
    double until;
    do until = now_seconds();
    while (until - from < 0.02);
    const double hertz = (double)(stamp(&cpu) - first) / (until - from);
    int place = each;
    for (; place > 0 && found[place - 1] > hertz; place--) found[place] = found[place - 1];
    found[place] = hertz;
  }
  tsc_hertz = found[2];
}

/* A chain of 32-bit multiplications, three cycles each on every x86-64 from Nehalem and Zen on; the fastest of nine. */
double core_hertz(void) {
  double best = 0;
  uint32_t cpu;
  for (int each = 0; each < 9; each++) {
    long rounds = 100000;
    uint32_t value = 3;
    const uint64_t first = stamp(&cpu);
    __asm__ volatile(
        "1: imull %0, %0\n imull %0, %0\n imull %0, %0\n imull %0, %0\n"
        "imull %0, %0\n imull %0, %0\n imull %0, %0\n imull %0, %0\n dec %1\n jnz 1b"
        : "+r"(value), "+r"(rounds)
        :
        : "cc");
    const double hertz = 2400000.0 * tsc_hertz / (double)(stamp(&cpu) - first);
    if (hertz > best) best = hertz;
  }
  return best;
}

long switches(void) {
  struct rusage used;
  getrusage(RUSAGE_THREAD, &used);
  return used.ru_nivcsw + used.ru_nvcsw;
}

/* Time that other guests of the hypervisor had, in ticks of a hundredth of a second; -1 where it is not told. */
long long stolen_ticks(void) {
  const char *line = one_line("/proc/stat");
  long long stolen;
  if (!line || sscanf(line, "cpu %*s %*s %*s %*s %*s %*s %*s %lld", &stolen) != 1) return -1;
  return stolen;
}

/* QEMU without KVM names itself so in the leaf of hypervisors, which __get_cpuid does not know. */
static int is_emulated(void) {
  unsigned a, b, c, d;
  char name[12];
  __cpuid(0x40000000u, a, b, c, d);
  memcpy(name, &b, 4);
  memcpy(name + 4, &c, 4);
  memcpy(name + 8, &d, 4);
  return memcmp(name, "TCGTCGTCGTCG", sizeof name) == 0;
}

void print_processor(void) {
  unsigned a = 0, b = 0, c = 0, d = 0, brand[13] = {0};
  char vendor[13] = {0};
  __get_cpuid(0, &a, &b, &c, &d);
  memcpy(vendor, &b, 4);
  memcpy(vendor + 4, &d, 4);
  memcpy(vendor + 8, &c, 4);
  __get_cpuid(1, &a, &b, &c, &d);
  unsigned family = (a >> 8) & 15, model = (a >> 4) & 15;
  if (family == 6 || family == 15) model |= ((a >> 16) & 15) << 4;
  if (family == 15) family += (a >> 20) & 255;
  for (unsigned leaf = 0; leaf < 3; leaf++)
    __get_cpuid(0x80000002u + leaf, &brand[4 * leaf], &brand[4 * leaf + 1], &brand[4 * leaf + 2], &brand[4 * leaf + 3]);
  char *name = (char *)brand;
  for (char *at = name; *at; at++)
    if (*at == '"' || *at == '\\' || *at < ' ') *at = ' ';
  while (*name == ' ') name++;
  for (size_t length = strlen(name); length > 0 && name[length - 1] == ' ';) name[--length] = 0;
  const int guest = (c >> 31) & 1;
  printf("\"processor\":{\"vendor\":\"%s\",\"family\":%u,\"model\":%u,\"name\":\"%s\",\"underHypervisor\":%s%s}",
         strcmp(vendor, "GenuineIntel") == 0 ? "intel" : strcmp(vendor, "AuthenticAMD") == 0 ? "amd" : "other", family,
         model, name, guest ? "true" : "false", guest && is_emulated() ? ",\"emulated\":true" : "");
}

/* As the kernel has them from CPUID. */
void print_caches(int cpu) {
  const char *comma = "";
  printf("\"caches\":[");
  for (int index = 0; index < 8; index++) {
    char path[120];
    const char *text;
#define FIELD(name) \
  (snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/" name, cpu, index), one_line(path))
    if (!(text = FIELD("level"))) break;
    const int level = atoi(text);
    text = FIELD("type");
    const char kind = text && *text == 'I' ? 'i' : 'd';
    text = FIELD("size");
    const unsigned long long kilobytes = text ? strtoull(text, NULL, 10) : 0;
    text = FIELD("ways_of_associativity");
    const int ways = text ? atoi(text) : 0;
    if (level < 1 || level > 3 || kilobytes == 0) continue;
    char name[4] = {'l', (char)('0' + level), level == 1 ? kind : 0, 0};
    printf("%s{\"name\":\"%s\",\"bytes\":%llu,\"ways\":%d}", comma, name, kilobytes << 10, ways);
    comma = ",";
  }
  printf("]");
}
