/*
 * What QEMU says of the words that describe accesses, asked once for each.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_KINDS_H
#define KREPLICA_KINDS_H

#include "plugin.h"
#include "records.h"

struct kind_of_access {
  bool known;
  /* LOAD or STORE, and the binary logarithm of its bytes. */
  uint8_t kind, shift;
  qemu_plugin_meminfo_t info;
};
/* What one thread has asked, or those that have a lock. */
struct kinds {
  struct kind_of_access asked[256];
};
static __attribute__((noinline)) void ask_kind(struct kind_of_access *k, qemu_plugin_meminfo_t info) {
  *k = (struct kind_of_access){true, qemu_plugin_mem_is_store(info) ? STORE : LOAD,
                               (uint8_t)(qemu_plugin_mem_size_shift(info) & 7), info};
}
static inline struct kind_of_access kind_of(struct kinds *kinds, qemu_plugin_meminfo_t info) {
  struct kind_of_access *k = &kinds->asked[(info ^ info >> 8 ^ info >> 16) % 256];
  if (!k->known || k->info != info) ask_kind(k, info);
  return *k;
}

#endif
