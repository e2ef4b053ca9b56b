/*
 * What the recorder uses of QEMU's TCG plugin interface, declared by us: distributions do not package the header.
 * KREPLICA_PLUGIN_API says which version is spoken, 1 to 7; QEMU refuses a plugin whose version it does not know.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_PLUGIN_H
#define KREPLICA_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef KREPLICA_PLUGIN_API
#define KREPLICA_PLUGIN_API 1
#endif
#if KREPLICA_PLUGIN_API < 1 || KREPLICA_PLUGIN_API > 7
#error "plugin API 1 to 7"
#endif

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;

/* The start of qemu_info_t is the same in all versions; up to version 1 the fields of the CPUs are there too. */
typedef struct {
  const char *target_name;
  struct {
    int min;
    int cur;
  } version;
  bool system_emulation;
} kreplica_info;

enum { PLUGIN_NO_REGISTERS = 0 };
enum { PLUGIN_MEMORY_READ = 1, PLUGIN_MEMORY_WRITE = 2, PLUGIN_MEMORY_BOTH = 3 };

typedef void (*plugin_executed)(unsigned vcpu, void *data);
typedef void (*plugin_accessed)(unsigned vcpu, qemu_plugin_meminfo_t, uint64_t address, void *data);

/*
 * Functions that are called back from everywhere. Up to version 6 they are told which plugin is meant; PLUGIN_FUNCTION is
 * the head of one that does not ask.
 */
#if KREPLICA_PLUGIN_API < 7
typedef void (*plugin_block)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*plugin_ended)(qemu_plugin_id_t, void *data);
typedef void (*plugin_forgotten)(qemu_plugin_id_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, plugin_block);
/* Forgets all callbacks and all translated blocks as soon as no CPU runs, then calls back. */
void qemu_plugin_reset(qemu_plugin_id_t, plugin_forgotten);
#else
typedef void (*plugin_block)(struct qemu_plugin_tb *, void *data);
typedef void (*plugin_ended)(void *data);
typedef void (*plugin_forgotten)(void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, plugin_block, void *data);
void qemu_plugin_reset(qemu_plugin_id_t, plugin_forgotten, void *data);
#endif
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, plugin_ended, void *data);

#if KREPLICA_PLUGIN_API < 2
/* Adds to 64 bits each time the instruction is begun; not atomic. */
enum { PLUGIN_ADD = 0 };
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int what, void *to, uint64_t addend);
#else
/* The same of 64 bits that each CPU has of its own: of an element a CPU of so many bytes, at an offset. */
enum { PLUGIN_ADD = 0 };
struct qemu_plugin_scoreboard;
typedef struct {
  struct qemu_plugin_scoreboard *score;
  size_t offset;
} qemu_plugin_u64;
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_bytes);
uint64_t qemu_plugin_u64_get(qemu_plugin_u64, unsigned vcpu);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *, int what, qemu_plugin_u64 to,
                                                         uint64_t addend);
#endif
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, plugin_executed, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, plugin_executed, int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, plugin_accessed, int flags, int which, void *data);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);
#if KREPLICA_PLUGIN_API < 3
/* A pointer to the instruction's bytes. */
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
#else
/* Copies them. */
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *to, size_t room);
#endif

unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t, uint64_t address);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);
#if KREPLICA_PLUGIN_API >= 5
bool qemu_plugin_translate_vaddr(uint64_t address, uint64_t *physical);
#endif

#endif
