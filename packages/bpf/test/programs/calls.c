/* Functions, global data of all sections, bounded loops and a tail call. */
#include "kreplica.h"
struct { NUMBER(type, PROG_ARRAY); NUMBER(max_entries, 4); NUMBER(key_size, 4); NUMBER(value_size, 4); } next SEC(".maps");
int scale = 7;
const volatile u32 limit = 40;
static u64 total;
static const u8 table[16] = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3 };

NOINLINE u32 digit(u32 at) { return table[at & 15]; }
NOINLINE u64 sum(u32 count) {
  u64 all = 0;
  for (u32 i = 0; i < count && i < limit && i < 64; i++) all += digit(i) * scale;
  return all;
}
SEC("raw_tp/main") int main_program(u64 *context) { total += sum(context[0]); return total; }
SEC("raw_tp/chain") int chain(u64 *context) { tail_call(context, &next, context[0] & 3); return 1000; }
SEC("raw_tp/link") int last(u64 *context) { return 77; }
SEC("raw_tp/bytes") int bytes(u64 *context) {
  u8 seen[32];
#pragma clang loop unroll(disable)
  for (int i = 0; i < 32; i++) seen[i] = i * 5;
  return seen[context[0] & 31];
}
int second = 11, third = 5;
static int fourth, fifth;
SEC("raw_tp/globals") int globals(u64 *context) { fifth += context[0]; fourth = fifth + 1; return second * 1000 + third * 100 + fourth; }
SEC("fentry/schedule") int on_entry(u64 *context) { if (context[0] > 5) total += context[1]; return 0; }
char license_text[] SEC("license") = "MIT";
