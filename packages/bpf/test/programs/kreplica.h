/* What our test programs need of the BPF environment: sections, map declarations, helpers by number, contexts. */
#pragma once
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
typedef signed char s8; typedef short s16; typedef int s32; typedef long long s64;
#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define NUMBER(name, value) int (*name)[value]
#define TYPE(name, type) type *name
enum { HASH = 1, ARRAY = 2, PROG_ARRAY = 3, PERCPU_HASH = 5, PERCPU_ARRAY = 6, LRU_HASH = 9, LPM_TRIE = 11, RINGBUF = 27 };
static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*delete)(void *map, const void *key) = (void *)3;
static u64 (*now)(void) = (void *)5;
static u32 (*cpu)(void) = (void *)8;
static long (*tail_call)(void *context, void *map, u32 index) = (void *)12;
static void *(*reserve)(void *ring, u64 bytes, u64 flags) = (void *)131;
static void (*submit)(void *record, u64 flags) = (void *)132;
static void (*discard)(void *record, u64 flags) = (void *)133;
struct packet_context { u32 data, data_end, data_meta, ifindex, queue, egress; };
