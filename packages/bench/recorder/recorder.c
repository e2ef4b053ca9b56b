/*
 * Records what a guest under QEMU executes as KTRC1: every instruction, load and store of all CPUs, kernel and user, with
 * physical pages. A TCG plugin; plugin.h says which versions of the interface it is built for.
 *
 *   -plugin recorder.so,out=FILE   what is between the markers of a test, and of the next
 *   ...,thread=single              QEMU runs all CPUs in one thread: nothing is locked, instructions are counted by QEMU and
 *                                  called back a block, not one by one, and QEMU is asked for a page's physical one only
 *                                  once between two instructions that may change translations. Of version 1 only: later
 *                                  QEMUs write the number of the CPU that translated a block into it where they have one
 *                                  thread, whichever runs it
 *
 * A marker is the 7-byte no-op 0f 1f 80 imm32 with imm32 = 0x5eed0000 | test << 8 | phase. Outside of markers only blocks
 * that hold one are looked at, so that the guest boots as fast as without: the blocks translated so far are forgotten at
 * the first start marker, or one of phase 3 before it, and translated anew. Never again, and no load or store is called for
 * before: QEMU 7.2 uses a CPU's callbacks of them after it forgot them. Where no phase 3 came before a start marker, the few
 * instructions behind it in its block are recorded without theirs. The file ends in an end marker, where one is open, and an END record however QEMU
 * ends, so that what was recorded up to there is whole.
 *
 * Part of kreplica, MIT licence.
 */
#include "instructions.h"
#include "plugin.h"
#include "records.h"

#include <pthread.h>

__attribute__((visibility("default"))) int qemu_plugin_version = KREPLICA_PLUGIN_API;

enum { STARTS = 1, ENDS = 2, LOOKS = 3 };

/*
 * A translated block of which QEMU says only that it began, and counts how many of its instructions were executed: a
 * fault may end it before its last, and loads and stores lie between. Mostly a cache line.
 */
struct block {
  uint64_t address;
  uint64_t physical_page;
  /* NULL where none is a marker or repeats, and all lie in one page that has a physical one. */
  const struct instruction *all;
  /* What `text_names` was of the CPU that had its page named. */
  uint64_t named;
  /* Bytes before each instruction, and before the block's end. */
  uint16_t begins[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* One thread runs all CPUs. At the end, another one: QEMU stops the CPUs first. */
static bool alone;
static void enter(void) {
  if (!alone) pthread_mutex_lock(&lock);
}
static void leave(void) {
  if (!alone) pthread_mutex_unlock(&lock);
}
/* Instructions of blocks that QEMU counted, and those of them that were looked at; the block begun last, and its CPU. */
static uint64_t counted, seen;
static struct {
  struct block *block;
  size_t next;
  unsigned cpu;
  /* Where it is a REP instruction that is recorded: its CPU. */
  struct cpu *repeating;
} begun;
/* Goes up with each instruction that may change a translation, of whatever CPU, and round. */
static uint64_t translations;
static bool closed;
/* The first start marker was executed: every block is looked at. */
static bool everything;
static qemu_plugin_id_t self;
/* Read without the lock: a record more or less of another CPU does not matter. */
static volatile bool recording;
/* CPU and test of the start marker. */
static unsigned measured;
static uint32_t open_marker;

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

static void passed(unsigned id, uint32_t marker) {
  unsigned phase = marker & 0xff;
  if (!recording && phase == LOOKS) look_at_everything();
  if (phase == STARTS && !recording) {
    measured = id;
    open_marker = marker;
    mark(id, marker);
    recording = true;
    look_at_everything();
  } else if (recording) {
    mark(id, marker);
    if (phase != ENDS || id != measured || (marker ^ open_marker) >> 8 != 0) return;
    recording = false;
    flush();
    fflush(out);
  }
}

/* One instruction, on a CPU that records. */
static void executed_one(unsigned id, const struct instruction *i) {
  struct cpu *c = cpu_of(id);
  if (i->repeats && c->iterations > 0 && c->address == i->address) {
    c->iterations++;
    return;
  }
  end_repeat(id);
  on_cpu(id);
  uint64_t page = i->address >> 12;
  struct named *n = text_of(c, page);
  bool fresh = n->page != page || n->physical != i->physical_page;
  if (c->run_instructions > 0 && (fresh || i->address != c->run_start + c->run_bytes || c->run_bytes > LONGEST_RUN))
    end_run();
  if (fresh && i->physical_page != UINT64_MAX) {
    c->text_names = ++names;
    n->page = page;
    n->physical = i->physical_page;
    filled = number(difference(meta(room(), FETCH_PAGE), page, c->expected >> 12), i->physical_page);
  }
  if (c->run_instructions == 0) {
    c->run_start = i->address;
    c->run_bytes = 0;
  }
  c->address = i->address;
  c->run_instructions++;
  c->run_bytes += within_page(text_of(c, page + 1), i->address, i->bytes);
  if (i->repeats) {
    c->iterations = 1;
    c->line[LOAD] = c->line[STORE] = UINT64_MAX;
  }
}

/* So many of a plain block, which is what one by one would come to. @returns whether it was so simple */
static inline bool executed_together(unsigned id, struct block *b, size_t next, size_t count) {
  struct cpu *c = cpu_of(id);
  uint64_t address = b->address + b->begins[next], bytes = b->begins[next + count] - b->begins[next];
  if (b->named != c->text_names) {
    const struct named *n = text_of(c, address >> 12);
    if (n->page != address >> 12 || n->physical != b->physical_page) return false;
    b->named = c->text_names;
  }
  bool goes_on = c->run_instructions > 0 && id == current && c->iterations == 0 && address == c->run_start + c->run_bytes;
  if (bytes + (goes_on ? c->run_bytes : 0) > LONGEST_RUN) return false;
  if (!goes_on) {
    end_repeat(id);
    on_cpu(id);
    if (c->run_instructions > 0) filled = run_of(room(), c);
    c->run_start = address;
    c->run_bytes = 0;
  }
  c->address = b->address + b->begins[next + count - 1];
  c->run_instructions += count;
  c->run_bytes += bytes;
  return true;
}

/* So many, whatever they are. Markers were not counted: they call back themselves. @returns the one behind them */
static __attribute__((noinline)) size_t executed_each(const struct block *b, size_t next, size_t count) {
  bool records = recording && begun.cpu < CPUS;
  for (; count > 0; next++) {
    if (b->all == NULL) {
      uint8_t bytes = (uint8_t)(b->begins[next + 1] - b->begins[next]);
      struct instruction one = {.address = b->address + b->begins[next], .physical_page = b->physical_page, .bytes = bytes};
      if (records) executed_one(begun.cpu, &one);
    } else if (b->all[next].marker != 0) {
      continue;
    } else if (records) {
      executed_one(begun.cpu, &b->all[next]);
    }
    count--;
  }
  return next;
}

/* Looks at what was executed of the block begun last since it was looked at. */
static inline void catch_up(void) {
  uint64_t count = counted - seen;
  if (count == 0) return;
  seen = counted;
  struct block *b = begun.block;
  bool records = recording && begun.cpu < CPUS;
  bool simple = records && b->all == NULL && executed_together(begun.cpu, b, begun.next, count);
  begun.next = simple ? begun.next + count : executed_each(b, begun.next, count);
}

static void executed(unsigned id, void *data) {
  const struct instruction *i = data;
  if (id >= CPUS || (!recording && i->marker == 0)) return;
  enter();
  catch_up();
  if (!closed && i->marker != 0) passed(id, i->marker);
  else if (!closed && recording) executed_one(id, i);
  leave();
}

static void retranslate(void) {
  translations = (translations + 1) & SINCE;
  /* What it knew so long ago would be taken for new. */
  if (translations == 0)
    for (unsigned id = 0; id < CPUS; id++)
      if (cpus[id] != NULL) memset(cpus[id]->sure, 0xff, sizeof cpus[id]->sure);
}

/* An instruction is about to be executed behind which a page may have another physical one, or be a device. */
static void translates(unsigned id, void *data) {
  (void)id;
  (void)data;
  retranslate();
}

/* What is not in a recording: what the CPU pushes for an exception, which comes as if the user's instruction had stored it. */
static inline bool pushed(const struct cpu *c, uint64_t address) { return address >> 63 != 0 && c->address >> 63 == 0; }
/* Of a REP instruction the first access of each line is. */
static inline bool again(struct cpu *c, int kind, uint64_t address) {
  bool same = c->line[kind] == address >> 6;
  c->line[kind] = address >> 6;
  return same;
}

/* What QEMU says of the words that describe accesses, asked once for each. */
struct kind_of_access {
  bool known;
  /* LOAD or STORE, and the binary logarithm of its bytes. */
  uint8_t kind, shift;
  qemu_plugin_meminfo_t info;
};
static __attribute__((noinline)) void ask_kind(struct kind_of_access *k, qemu_plugin_meminfo_t info) {
  *k = (struct kind_of_access){true, qemu_plugin_mem_is_store(info) ? STORE : LOAD,
                               (uint8_t)(qemu_plugin_mem_size_shift(info) & 7), info};
}
static inline struct kind_of_access kind_of(qemu_plugin_meminfo_t info) {
  static struct kind_of_access asked[256];
  struct kind_of_access *k = &asked[(info ^ info >> 8 ^ info >> 16) % 256];
  if (!k->known || k->info != info) ask_kind(k, info);
  return *k;
}

/* Head and address of an access of this CPU, behind the run of instructions before it. */
static inline uint8_t *access_of(struct cpu *c, struct kind_of_access k, uint64_t address, int what) {
  uint8_t *at = room();
  if (c->run_instructions > 0) at = run_of(at, c);
  unsigned shift = k.shift;
  const struct named *next = data_of(c, (address >> 12) + 1);
  while (shift > 0 && within_page(next, address, 1ull << shift) < 1ull << shift) shift--;
  at = difference(byte(at, (uint8_t)(k.kind | (int)shift << 2 | what)), address, c->last[k.kind]);
  c->last[k.kind] = address;
  return at;
}

/* An access of which QEMU says where it goes. */
static __attribute__((noinline)) void accessed_asking(unsigned id, struct kind_of_access k, qemu_plugin_meminfo_t info,
                                                       uint64_t address) {
  struct cpu *c = cpu_of(id);
  struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
  if (where == NULL) return;
  bool device = qemu_plugin_hwaddr_is_io(where);
  uint64_t physical = qemu_plugin_hwaddr_phys_addr(where), page = address >> 12;
  /* What a device is told may move memory. */
  if (device) retranslate();
  if (pushed(c, address) || (c->iterations > 0 && !device && again(c, k.kind, address))) return;
  on_cpu(id);
  if (device) {
    filled = number(access_of(c, k, address, 32), physical);
    return;
  }
  struct named *n = data_of(c, page);
  bool fresh = n->page != page || n->physical != physical >> 12;
  uint8_t *at = access_of(c, k, address, fresh ? 64 : 0);
  if (fresh) {
    *n = (struct named){page, physical >> 12};
    c->sure[0][page % SURE] = c->sure[1][page % SURE] = UINT64_MAX;
    at = number(at, physical >> 12);
  }
  c->sure[k.kind - LOAD][page % SURE] = page << 12 | translations;
  filled = at;
}

static void accessed(unsigned id, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  (void)data;
  if (!recording || id >= CPUS) return;
  enter();
  if (recording) {
    catch_up();
    struct cpu *c = cpu_of(id);
    struct kind_of_access k = kind_of(info);
    bool sure = c->sure[k.kind - LOAD][(address >> 12) % SURE] == ((address & ~4095ull) | translations);
    if (!alone || !sure || id != current) accessed_asking(id, k, info, address);
    else if (!pushed(c, address) && !(c->iterations > 0 && again(c, k.kind, address)))
      filled = access_of(c, k, address, 0);
  }
  leave();
}

#if KREPLICA_PLUGIN_API < 2
static void counts(struct qemu_plugin_insn *insn, size_t so_many) {
  qemu_plugin_register_vcpu_insn_exec_inline(insn, PLUGIN_ADD, &counted, so_many);
}
#else
static void counts(struct qemu_plugin_insn *insn, size_t so_many) {
  (void)insn;
  (void)so_many;
}
#endif

static void began(unsigned id, void *data) {
  /* There are more of them than caches hold near, and it is looked at soon. */
  __builtin_prefetch(data);
  catch_up();
  begun.block = data;
  begun.next = 0;
  begun.cpu = id;
}

/*
 * Of a block that is one REP instruction, which QEMU begins anew for each iteration: they are most of what a kernel does
 * that clears and copies pages, and of most nothing is written. QEMU does not count it: it is executed when it begins.
 */
static inline bool goes_on(unsigned id, const struct block *b) {
  return begun.block == b && begun.cpu == id && begun.repeating != NULL;
}
static void began_again(unsigned id, void *data) {
  if (goes_on(id, data)) {
    begun.repeating->iterations++;
    return;
  }
  began(id, data);
  bool records = recording && id < CPUS;
  if (records) executed_one(id, begun.block->all);
  begun.repeating = records ? cpu_of(id) : NULL;
}
/* An access of it, nothing where the one before of its kind was in the same line. */
static void accessed_again(unsigned id, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  if (goes_on(id, data) && begun.repeating->line[kind_of(info).kind] == address >> 6) return;
  accessed(id, info, address, NULL);
}

/* Room for ever, as QEMU does not say when it forgets a block: one behind the other, most of them a cache line. */
static void *room_for_ever(size_t bytes) {
  enum { LINE = 64, PIECE = 1 << 20 };
  static uint8_t *next, *end;
  bytes = (bytes + LINE - 1) / LINE * LINE;
  if (next == NULL || bytes > (size_t)(end - next)) {
    next = aligned_alloc(LINE, PIECE);
    if (next == NULL) abort();
    end = next + PIECE;
    memset(next, 0, PIECE);
  }
  next += bytes;
  return next - bytes;
}

/* What is kept of a block where QEMU counts. */
static struct block *new_block(size_t count, const struct instruction *all, bool plain) {
  struct block *b = room_for_ever(sizeof *b + (count + 1) * sizeof b->begins[0]);
  b->address = all[0].address;
  b->physical_page = all[0].physical_page;
  b->all = plain ? NULL : all;
  for (size_t i = 0; i < count; i++) b->begins[i + 1] = (uint16_t)(b->begins[i] + all[i].bytes);
  return b;
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
  /* QEMU's counting can do no more than add, and has no lock. */
  struct block *b = alone ? new_block(count, all, found.plain) : NULL;
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
      qemu_plugin_register_vcpu_mem_cb(insn, again ? accessed_again : accessed, PLUGIN_NO_REGISTERS, PLUGIN_MEMORY_BOTH, b);
  }
  if (b != NULL && found.plain) free(all);
}

static void ended(void) {
  enter();
  catch_up();
  if (!closed) {
    if (recording) mark(measured, (open_marker & ~0xffu) | ENDS);
    end_run();
    filled = meta(room(), END);
    flush();
    if (fclose(out) != 0) perror("recorder: out");
    closed = true;
    recording = false;
  }
  leave();
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const kreplica_info *info, int argc, char **argv) {
  const char *path = NULL;
  for (int i = 0; i < argc; i++) {
    if (strncmp(argv[i], "out=", 4) == 0) {
      path = argv[i] + 4;
    } else if (strcmp(argv[i], "thread=single") == 0) {
      alone = true;
    } else {
      fprintf(stderr, "recorder: %s is none of its options\n", argv[i]);
      return -1;
    }
  }
  if (alone && KREPLICA_PLUGIN_API > 1) {
    fprintf(stderr, "recorder: thread=single is for interface 1\n");
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
  self = id;
  called_back(id);
  return 0;
}
