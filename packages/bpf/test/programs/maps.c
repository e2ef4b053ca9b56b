/* Every kind of map, declared as libbpf programs declare them. */
#include "kreplica.h"
struct record { u64 number; u32 cpu; u32 pad; };
struct prefix { u32 bits; u8 address[4]; };
struct { NUMBER(type, ARRAY); NUMBER(max_entries, 4); TYPE(key, u32); TYPE(value, u64); } counts SEC(".maps");
struct { NUMBER(type, HASH); NUMBER(max_entries, 16); TYPE(key, u64); TYPE(value, struct record); } records SEC(".maps");
struct { NUMBER(type, PERCPU_ARRAY); NUMBER(max_entries, 1); TYPE(key, u32); TYPE(value, u64); } per_cpu SEC(".maps");
struct { NUMBER(type, PERCPU_HASH); NUMBER(max_entries, 8); NUMBER(key_size, 4); NUMBER(value_size, 8); } per_cpu_hash SEC(".maps");
struct { NUMBER(type, LRU_HASH); NUMBER(max_entries, 2); TYPE(key, u32); TYPE(value, u32); } recent SEC(".maps");
struct { NUMBER(type, RINGBUF); NUMBER(max_entries, 4096); } ring SEC(".maps");
struct { NUMBER(type, LPM_TRIE); NUMBER(max_entries, 8); NUMBER(map_flags, 1); TYPE(key, struct prefix); TYPE(value, u32); } routes SEC(".maps");

SEC("raw_tp/count") int count(u64 *context) {
  u32 key = context[0] & 3;
  u64 *value = lookup(&counts, &key);
  if (!value) return -1;
  __sync_fetch_and_add(value, 1);
  key = 0;
  u64 *mine = lookup(&per_cpu, &key);
  if (mine) *mine += 2;
  return *value;
}
SEC("raw_tp/remember") int remember(u64 *context) {
  u64 key = context[0];
  struct record fresh = { .number = key * 3, .cpu = cpu() };
  struct record *old = lookup(&records, &key);
  if (old) { old->number += 1; return old->number; }
  return update(&records, &key, &fresh, 1);
}
SEC("raw_tp/forget") int forget(u64 *context) { u64 key = context[0]; return delete(&records, &key); }
SEC("raw_tp/touch") int touch(u64 *context) {
  u32 key = context[0], value = key + 1;
  u64 wide = key;
  update(&per_cpu_hash, &key, &wide, 0);
  update(&recent, &key, &value, 0);
  return 0;
}
SEC("raw_tp/send") int send(u64 *context) {
  struct record *record = reserve(&ring, sizeof *record, 0);
  if (!record) return -1;
  record->number = context[0];
  record->cpu = cpu();
  record->pad = 0;
  if (context[0] & 1) submit(record, 0); else discard(record, 0);
  return 0;
}
SEC("raw_tp/route") int route(u64 *context) {
  struct prefix key = { .bits = 32 };
  u32 address = context[0];
  key.address[0] = address; key.address[1] = address >> 8; key.address[2] = address >> 16; key.address[3] = address >> 24;
  u32 *hop = lookup(&routes, &key);
  return hop ? *hop : 0;
}
char license_text[] SEC("license") = "MIT";
