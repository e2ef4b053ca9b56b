/*
 * Records what a guest under QEMU executes as KTRC1: every instruction, load and store of all CPUs, kernel and user, with
 * physical pages. A TCG plugin; plugin.h says which versions of the interface it is built for.
 *
 *   -plugin recorder.so,out=FILE   what is between the markers of a test, and of the next, called back instruction by
 *                                  instruction
 *   ...,thread=single              the same in less time: QEMU runs all CPUs in one thread, so that nothing is locked; it
 *                                  counts instructions, is heard of once a block, and is asked for a page's physical one
 *                                  only once between two instructions that may change translations. Of version 1 only:
 *                                  later QEMUs write the number of the CPU that translated a block into it where they
 *                                  have one thread, whichever runs it
 *   ...,thread=multi               as that, with a thread a CPU and a lock; of version 2 on, where QEMU counts for each CPU
 *
 * What QEMU calls back only says what happened (events.h); a thread of the recorder's own puts the records together
 * (writer.h), so that the guest waits for neither that nor the file.
 *
 * A marker is the 7-byte no-op 0f 1f 80 imm32 with imm32 = 0x5eed0000 | test << 8 | phase. Outside of markers only blocks
 * that hold one are looked at, so that the guest boots as fast as without: the blocks translated so far are forgotten at
 * the first start marker, or one of phase 3 before it, and translated anew. Never again, and no load or store is called for
 * before: QEMU 7.2 uses a CPU's callbacks of them after it forgot them. Where no phase 3 came before a start marker, the few
 * instructions behind it in its block are recorded without theirs. The file ends in an end marker, where one is open, and
 * an END record however QEMU ends, so that what was recorded up to there is whole.
 *
 * Part of kreplica, MIT licence.
 */
/* CPU_COUNT */
#define _GNU_SOURCE
#include "plugin.h"
#include "writer.h"

__attribute__((visibility("default"))) int qemu_plugin_version = KREPLICA_PLUGIN_API;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* QEMU counts the instructions of blocks; without it, each is called back. */
static bool counting;
/* One thread runs all CPUs. At the end, another one: QEMU stops the CPUs first. */
static bool alone;
static void enter(void) {
  if (!alone) pthread_mutex_lock(&lock);
}
static void leave(void) {
  if (!alone) pthread_mutex_unlock(&lock);
}

/* A block begun last: of all CPUs where one thread runs them, else of each. */
static struct begun {
  const struct block *block;
  unsigned cpu;
  /* It was handed over. */
  bool known;
  /* It is a REP instruction that is recorded: iterations not handed over, and the line of its last load and store. */
  bool repeating;
  uint64_t iterations;
  uint64_t line[3];
  /* What QEMU had counted when an event was handed over last, or one that is not recorded. */
  uint64_t seen;
} begun[PLACES];

#if KREPLICA_PLUGIN_API < 2
static uint64_t counted;
static inline uint64_t counted_of(unsigned id) {
  (void)id;
  return counted;
}
static void counts(struct qemu_plugin_insn *insn, size_t so_many) {
  qemu_plugin_register_vcpu_insn_exec_inline(insn, PLUGIN_ADD, &counted, so_many);
}
#else
static qemu_plugin_u64 counted;
static inline uint64_t counted_of(unsigned id) { return id < CPUS && counting ? qemu_plugin_u64_get(counted, id) : 0; }
static void counts(struct qemu_plugin_insn *insn, size_t so_many) {
  qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, PLUGIN_ADD, counted, so_many);
}
#endif

/*
 * Pages where QEMU need not be asked where they lie, in a table small enough for a cache: it was asked, and nothing was
 * done since that may change translations. A page's address, and in its lowest bits when that was.
 */
enum { SINCE = 4095 };
static uint64_t sure[CPUS][SAID];
/* Goes up with each instruction that may change a translation, of whatever CPU, and round. */
static uint64_t translations = 1;
static bool closed;
/* The first start marker was executed: every block is looked at. */
static bool everything;
static qemu_plugin_id_t self;
static struct open_test open_test;
/* Read without the lock: a record more or less of another CPU does not matter. */
static inline bool recording(void) { return *(volatile const bool *)&open_test.recording; }

static void translated(struct qemu_plugin_tb *block);
static void ended(void);
#if KREPLICA_PLUGIN_API < 7
static void on_block(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  translated(block);
}
static void on_end(qemu_plugin_id_t id, void *data) {
  (void)id;
  (void)data;
  ended();
}
static void called_back(qemu_plugin_id_t id) {
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
  qemu_plugin_register_atexit_cb(id, on_end, NULL);
}
static void forget(void) { qemu_plugin_reset(self, called_back); }
#else
static void on_block(struct qemu_plugin_tb *block, void *data) {
  (void)data;
  translated(block);
}
static void on_end(void *data) {
  (void)data;
  ended();
}
static void called_back(qemu_plugin_id_t id) {
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_block, NULL);
  qemu_plugin_register_atexit_cb(id, on_end, NULL);
}
static void on_forgotten(void *data) {
  (void)data;
  called_back(self);
}
static void forget(void) { qemu_plugin_reset(self, on_forgotten, NULL); }
#endif

static void look_at_everything(void) {
  if (!everything) forget();
  everything = true;
}

/* What of a block goes before an event behind it. @returns where that event may be put */
static __attribute__((noinline)) struct event *tell_block(struct begun *b, struct event *e) {
  bool known = b->known || b->block == NULL;
  *e = known ? (struct event){b->iterations, head_of(ITERATED, b->cpu, 0, 0)}
             : (struct event){(uintptr_t)b->block, head_of(BEGAN, b->cpu, 0, 0)};
  b->known = true;
  b->iterations = 0;
  next_event = e + 1;
  return new_events();
}
static inline struct event *tell(enum what what, unsigned id, uint32_t access, uint64_t value) {
  struct begun *b = &begun[place_of(id)];
  struct event *e = new_events();
  /* One that began where nothing was recorded, in the middle of which that begins. */
  if (b->iterations > 0 || !b->known) e = tell_block(b, e);
  uint64_t all = counted_of(id);
  *e = (struct event){value, head_of(what, id, all - b->seen, access)};
  b->seen = all;
  next_event = e + 1;
  return e;
}

/* What was counted of the blocks that each CPU is in. QEMU knows no others than those that have begun one. */
static void tell_counted(void) {
  for (unsigned place = 0; place < PLACES; place++)
    if (begun[place].block != NULL && counted_of(begun[place].cpu) > begun[place].seen)
      tell(ITERATED, begun[place].cpu, 0, 0);
}

static void executed(unsigned id, void *data) {
  const struct instruction *i = data;
  if (id >= CPUS || (!recording() && i->marker == 0)) return;
  enter();
  if (!closed && (recording() || i->marker != 0)) {
    bool before = recording();
    /* Where a test starts or ends, other CPUs are in the middle of a block. */
    if (i->marker != 0) tell_counted();
    tell(EXECUTED, id, 0, (uintptr_t)i);
    if (i->marker != 0) {
      passes(&open_test, id, i->marker);
      if (!before && (phase_of(i->marker) == LOOKS || recording())) look_at_everything();
      /* So that what was recorded is in the file however QEMU ends. */
      if (before && !recording()) hand_over();
    }
  }
  leave();
}

static void retranslate(void) {
  translations = (translations + 1) & SINCE;
  /* What it knew so long ago would be taken for new. */
  if (translations == 0) memset(sure, 0xff, sizeof sure);
}

/* An instruction is about to be executed behind which a page may have another physical one, or be a device. */
static void translates(unsigned id, void *data) {
  (void)id;
  (void)data;
  enter();
  retranslate();
  leave();
}

/* An access of which QEMU says where it goes. @returns whether that is memory */
static __attribute__((noinline)) bool accessed_asking(unsigned id, qemu_plugin_meminfo_t info, uint64_t address) {
  struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
  if (where == NULL) return false;
  bool device = qemu_plugin_hwaddr_is_io(where);
  struct event *e = tell(device ? LOCATED_DEVICE : LOCATED, id, info, address);
  e[1].value = qemu_plugin_hwaddr_phys_addr(where);
  next_event = e + 2;
  /* What a device is told may move memory. */
  if (device) retranslate();
  else sure[id][(address >> 12) % SAID] = (address & ~4095ull) | translations;
  return !device;
}

/* @returns whether it went to memory */
static inline bool accessed_one(unsigned id, qemu_plugin_meminfo_t info, uint64_t address) {
  if (!counting || sure[id][(address >> 12) % SAID] != ((address & ~4095ull) | translations))
    return accessed_asking(id, info, address);
  tell(ACCESSED, id, info, address);
  return true;
}
static void accessed_alone(unsigned id, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  (void)data;
  if (recording() && id < CPUS) accessed_one(id, info, address);
}
static void accessed(unsigned id, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  (void)data;
  if (!recording() || id >= CPUS) return;
  enter();
  if (recording()) accessed_one(id, info, address);
  leave();
}

static inline void begins(enum what what, unsigned id, void *block) {
  unsigned cpu = id < CPUS ? id : CPUS;
  struct begun *b = &begun[place_of(cpu)];
  enter();
  if (recording()) tell(what, cpu, 0, (uintptr_t)block);
  else b->seen = counted_of(cpu);
  b->block = block;
  b->cpu = cpu;
  b->known = recording();
  b->repeating = recording() && what == BEGAN_REPEATING;
  leave();
}
static void began(unsigned id, void *data) { begins(BEGAN, id, data); }

/*
 * Of a block that is one REP instruction, which QEMU begins anew for each iteration: they are most of what a kernel does
 * that clears and copies pages, and of most nothing is written. QEMU does not count it: it is executed when it begins.
 */
static inline bool goes_on(const struct begun *b, unsigned id, const void *block) {
  return b->block == block && b->cpu == id && b->repeating;
}
static void began_again(unsigned id, void *data) {
  struct begun *b = &begun[place_of(id < CPUS ? id : CPUS)];
  if (goes_on(b, id, data)) {
    b->iterations++;
    return;
  }
  begins(id < CPUS ? BEGAN_REPEATING : BEGAN, id, data);
  b->line[LOAD] = b->line[STORE] = UINT64_MAX;
}
/* An access of it, nothing where the one before of its kind was in the same line. */
static void accessed_again(unsigned id, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  static struct kinds kinds[PLACES];
  if (!recording() || id >= CPUS) return;
  struct begun *b = &begun[place_of(id)];
  bool here = goes_on(b, id, data);
  uint64_t *line = &b->line[kind_of(&kinds[place_of(id)], info).kind];
  if (here && *line == address >> 6) return;
  enter();
  bool memory = recording() && accessed_one(id, info, address);
  leave();
  /* What is pushed for an exception is not of the instruction. */
  if (here && memory && address >> 63 <= b->block->address >> 63) *line = address >> 6;
}

/*
 * Whether the instructions before must have been counted when it begins: a marker; and one so near to its page's end that
 * it may cross it, of which QEMU may show some bytes as the last of a block and yet leave it to the next.
 */
static bool stands_alone(const struct instruction *i) { return i->marker != 0 || (i->address & 4095) + 15 > 4096; }

static void translated(struct qemu_plugin_tb *block) {
  size_t count = qemu_plugin_tb_n_insns(block);
  if (count == 0) return;
  struct instruction *all = calloc(count, sizeof all[0]);
  if (all == NULL) abort();
  struct found found = read_block(block, count, all);
  if (!found.marked && !everything) {
    free(all);
    return;
  }
  struct block *b = NULL;
  if (counting) {
    enter();
    b = new_block(count, all, found.plain);
    leave();
  }
  bool again = b != NULL && count == 1 && all[0].repeats;
  if (b != NULL) qemu_plugin_register_vcpu_tb_exec_cb(block, again ? began_again : began, PLUGIN_NO_REGISTERS, b);
  for (size_t i = 0, uncounted = 0; i < count; i++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
    if (b != NULL && everything && all[i].retranslates)
      qemu_plugin_register_vcpu_insn_exec_cb(insn, translates, PLUGIN_NO_REGISTERS, NULL);
    if (b == NULL || all[i].marker != 0) {
      qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, PLUGIN_NO_REGISTERS, &all[i]);
    } else if (!again) {
      uncounted++;
      if (!all[i].quiet || i + 1 == count || stands_alone(&all[i + 1])) {
        counts(insn, uncounted);
        uncounted = 0;
      }
    }
    /* Not before all blocks are forgotten: QEMU 7.2 may call back what it has forgotten, and aborts. */
    if (everything)
      qemu_plugin_register_vcpu_mem_cb(insn, again ? accessed_again : alone ? accessed_alone : accessed,
                                       PLUGIN_NO_REGISTERS, PLUGIN_MEMORY_BOTH, b);
  }
  if (b != NULL && found.plain) free(all);
}

static void ended(void) {
  enter();
  if (!closed) {
    /* Of blocks behind whose beginning there was no event. */
    if (recording()) tell_counted();
    tell(ENDED, 0, 0, 0);
    finish_writer();
    closed = true;
    open_test.recording = false;
  }
  leave();
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const kreplica_info *info, int argc, char **argv) {
  const char *path = NULL;
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], "out=", 4) == 0) {
      path = argv[i] + 4;
    } else if (strcmp(argv[i], "thread=single") == 0) {
      counting = alone = true;
    } else if (strcmp(argv[i], "thread=multi") == 0) {
      counting = true;
    } else {
      fprintf(stderr, "recorder: %s is none of its options\n", argv[i]);
      return -1;
    }
  }
  if (counting && alone != (KREPLICA_PLUGIN_API < 2)) {
    fprintf(stderr, "recorder: thread=single is for interface 1, thread=multi for later ones\n");
    return -1;
  }
  if (strcmp(info->target_name, "x86_64") != 0 || !info->system_emulation) {
    fprintf(stderr, "recorder: for qemu-system-x86_64 only\n");
    return -1;
  }
  if (path == NULL || (out = fopen(path, "wb")) == NULL) {
    fprintf(stderr, "recorder: out=FILE cannot be written\n");
    return -1;
  }
  for (const char *magic = "KTRC1\n"; *magic != 0; magic++) filled = byte(filled, (uint8_t)*magic);
#if KREPLICA_PLUGIN_API >= 2
  counted.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
#endif
  start_writer(write_piece);
  self = id;
  called_back(id);
  return 0;
}
