/* A map in the old form, from before BTF. */
#include "kreplica.h"
struct old_map { u32 type, key_size, value_size, max_entries, map_flags; };
struct old_map first SEC("maps") = { HASH, 4, 8, 10, 0 };
struct old_map second SEC("maps") = { ARRAY, 4, 16, 3, 0 };
SEC("socket") int prog(void *context) {
  u32 key = 2;
  u64 *value = lookup(&second, &key), *other = lookup(&first, &key);
  return (value ? value[1] : 0) + (other ? *other : 0);
}
