/*
 * Records what a guest under QEMU executes as KTRC1: every instruction, load and store of all CPUs, kernel and user, with
 * physical pages. A TCG plugin; plugin.h says which versions of the interface it is built for.
 *
 *   -plugin recorder.so,out=FILE   what is between the markers of a test, and of the next
 *   ...,thread=single              QEMU runs all CPUs in one thread: nothing is locked, which is a third of the time, and
 *                                  up to version 1 instructions are counted by QEMU and called back a block, not one by one
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
#include "plugin.h"
#include "records.h"

#include <pthread.h>

__attribute__((visibility("default"))) int qemu_plugin_version = KREPLICA_PLUGIN_API;

#define IMAGE 0xffffffff80000000ull
#define MODULES 0xffffffffa0000000ull
enum { STARTS = 1, ENDS = 2, LOOKS = 3 };

/* One instruction of a translated block, for as long as QEMU may run it: QEMU does not say when it forgets a block. */
struct instruction {
  uint64_t address;
  uint64_t physical_page;
  uint32_t marker;
  uint8_t bytes;
  /* A string instruction with a REP prefix: QEMU executes it once an iteration. */
  bool repeats;
};

/*
 * A translated block of which QEMU says only that it began, and counts how many of its instructions were executed: a
 * fault may end it before its last, and loads and stores lie between.
 */
struct block {
  size_t count;
  /* None is a marker or repeats, and all lie in one page that has a physical one. */
  bool plain;
  struct instruction all[];
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
  const struct block *block;
  size_t next;
  unsigned cpu;
} begun;
static bool closed;
/* The first start marker was executed: every block is looked at. */
static bool everything;
static qemu_plugin_id_t self;
/* Read without the lock: a record more or less of another CPU does not matter. */
static volatile bool recording;
/* CPU and test of the start marker. */
static unsigned measured;
static uint32_t open_marker;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block);
static void ended(qemu_plugin_id_t id, void *data);
static void forgotten(qemu_plugin_id_t id) {
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
}

static void look_at_everything(void) {
  if (!everything) qemu_plugin_reset(self, forgotten);
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
  struct named *n = &c->text[page % PAGES];
  bool fresh = n->page != page || n->physical != i->physical_page;
  if (c->run_instructions > 0 && (fresh || i->address != c->run_start + c->run_bytes || c->run_bytes > LONGEST_RUN))
    end_run();
  if (fresh && i->physical_page != UINT64_MAX) {
    n->page = page;
    n->physical = i->physical_page;
    room();
    meta(FETCH_PAGE);
    difference(page, c->expected >> 12);
    number(i->physical_page);
  }
  if (c->run_instructions == 0) {
    c->run_start = i->address;
    c->run_bytes = 0;
  }
  c->address = i->address;
  c->run_instructions++;
  c->run_bytes += within_page(c->text, i->address, i->bytes);
  if (i->repeats) {
    c->iterations = 1;
    c->line[LOAD] = c->line[STORE] = UINT64_MAX;
  }
}

/* So many of a plain block, which is what one by one would come to. @returns whether it was so simple */
static bool executed_together(unsigned id, const struct instruction *first, size_t count) {
  struct cpu *c = cpu_of(id);
  const struct instruction *last = first + count - 1;
  uint64_t page = first->address >> 12, bytes = last->address + last->bytes - first->address;
  const struct named *n = &c->text[page % PAGES];
  if (n->page != page || n->physical != first->physical_page || bytes > LONGEST_RUN) return false;
  bool goes_on = c->run_instructions > 0 && id == current && c->iterations == 0;
  if (goes_on && first->address == c->run_start + c->run_bytes && c->run_bytes + bytes > LONGEST_RUN) return false;
  end_repeat(id);
  on_cpu(id);
  if (c->run_instructions > 0 && first->address != c->run_start + c->run_bytes) end_run();
  if (c->run_instructions == 0) {
    c->run_start = first->address;
    c->run_bytes = 0;
  }
  c->address = last->address;
  c->run_instructions += count;
  c->run_bytes += bytes;
  return true;
}

/* Looks at what was executed of the block begun last since it was looked at. Markers call back themselves. */
static void catch_up(void) {
  uint64_t count = counted - seen;
  if (count == 0) return;
  seen = counted;
  const struct block *b = begun.block;
  bool records = recording && !closed && begun.cpu < CPUS;
  if (b->plain) {
    const struct instruction *first = &b->all[begun.next];
    begun.next += count;
    if (!records || executed_together(begun.cpu, first, count)) return;
    for (; count > 0; count--) executed_one(begun.cpu, first++);
    return;
  }
  for (; count > 0; begun.next++) {
    const struct instruction *i = &b->all[begun.next];
    if (i->marker != 0) continue;
    count--;
    if (records) executed_one(begun.cpu, i);
  }
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

static void accessed(unsigned id, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  (void)data;
  if (!recording || id >= CPUS) return;
  struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
  if (where == NULL) return;
  bool device = qemu_plugin_hwaddr_is_io(where);
  uint64_t physical = qemu_plugin_hwaddr_phys_addr(where);
  enter();
  catch_up();
  struct cpu *c = cpu_of(id);
  int kind = qemu_plugin_mem_is_store(info) ? STORE : LOAD;
  /* What the CPU pushes for an exception comes as if the user's instruction had stored it: KTRC1 leaves it out. */
  bool pushed = address >> 63 != 0 && c->address >> 63 == 0;
  /* Of a REP instruction the first access of each line. */
  bool again = c->iterations > 0 && !device && c->line[kind] == address >> 6;
  if (closed || !recording || pushed || again) goto done;
  c->line[kind] = address >> 6;
  on_cpu(id);
  end_run();
  uint64_t page = address >> 12;
  struct named *n = &c->data[page % PAGES];
  bool fresh = !device && (n->page != page || n->physical != physical >> 12);
  unsigned shift = qemu_plugin_mem_size_shift(info) & 7;
  while (shift > 0 && within_page(c->data, address, 1ull << shift) < 1ull << shift) shift--;
  room();
  byte((uint8_t)(kind | (int)shift << 2 | (device ? 32 : 0) | (fresh ? 64 : 0)));
  difference(address, c->last[kind]);
  c->last[kind] = address;
  if (device) number(physical);
  if (fresh) {
    n->page = page;
    n->physical = physical >> 12;
    number(physical >> 12);
  }
done:
  leave();
}

/*
 * The physical page of an instruction. From version 5 on QEMU says it. Before, it says only where in its own memory the
 * instruction lies: the kernel's image, loaded without KASLR, has its physical address in its virtual one, which tells
 * where the guest's memory begins there. So before version 5 guests have one block of memory, below 3 GiB.
 */
static uint64_t page_of(const struct qemu_plugin_insn *insn, uint64_t address) {
#if KREPLICA_PLUGIN_API >= 5
  (void)insn;
  uint64_t physical;
  return qemu_plugin_translate_vaddr(address, &physical) ? physical >> 12 : UINT64_MAX;
#else
  static uintptr_t base;
  uintptr_t host = (uintptr_t)qemu_plugin_insn_haddr(insn);
  if (address >= IMAGE && address < MODULES) {
    if (host != 0 && base == 0) base = host - (address - IMAGE);
    return (address - IMAGE) >> 12;
  }
  return host == 0 || base == 0 || host < base ? UINT64_MAX : (uint64_t)(host - base) >> 12;
#endif
}

/* Whether these are the bytes of a string instruction with a REP prefix. @source Intel SDM vol. 2B, "REP/REPE/..." */
static bool repeats(const uint8_t *code, size_t bytes) {
  bool prefixed = false;
  for (size_t i = 0; i < bytes; i++) {
    switch (code[i]) {
      case 0xf2: case 0xf3:
        prefixed = true;
        break;
      case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67:
        break;
      default:
        if ((code[i] & 0xf0) == 0x40) break;
        return prefixed && ((code[i] >= 0xa4 && code[i] <= 0xa7) || (code[i] >= 0xaa && code[i] <= 0xaf) ||
                            (code[i] >= 0x6c && code[i] <= 0x6f));
    }
  }
  return false;
}

static uint32_t marker_of(const uint8_t *code, size_t bytes) {
  if (bytes != 7 || code[0] != 0x0f || code[1] != 0x1f || code[2] != 0x80 || code[5] != 0xed || code[6] != 0x5e) return 0;
  return (uint32_t)code[3] | (uint32_t)code[4] << 8 | 0x5eed0000u;
}

#if KREPLICA_PLUGIN_API < 2
static void began(unsigned id, void *data) {
  if (counted != seen) catch_up();
  begun.block = data;
  begun.next = 0;
  begun.cpu = id;
}

/* QEMU's counting of what it executes can do no more than add, and has no lock. */
static bool counts(struct qemu_plugin_tb *block, struct block *all) {
  if (!alone) return false;
  qemu_plugin_register_vcpu_tb_exec_cb(block, began, PLUGIN_NO_REGISTERS, all);
  for (size_t i = 0; i < all->count; i++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
    if (all->all[i].marker == 0) qemu_plugin_register_vcpu_insn_exec_inline(insn, PLUGIN_ADD, &counted, 1);
  }
  return true;
}
#else
/* Counting has another form from there on, which nobody here could try. */
static bool counts(struct qemu_plugin_tb *block, struct block *all) {
  (void)block;
  (void)all;
  return false;
}
#endif

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  size_t count = qemu_plugin_tb_n_insns(block);
  struct block *b = calloc(1, sizeof *b + count * sizeof b->all[0]);
  if (b == NULL) abort();
  b->count = count;
  b->plain = true;
  bool marked = false;
  for (size_t i = 0; i < count; i++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
    uint8_t code[16] = {0};
    size_t bytes = qemu_plugin_insn_size(insn);
    size_t looked = bytes < sizeof code ? bytes : sizeof code;
#if KREPLICA_PLUGIN_API < 3
    memcpy(code, qemu_plugin_insn_data(insn), looked);
#else
    looked = qemu_plugin_insn_data(insn, code, looked);
#endif
    struct instruction *one = &b->all[i];
    one->address = qemu_plugin_insn_vaddr(insn);
    one->bytes = (uint8_t)bytes;
    one->physical_page = page_of(insn, one->address);
    one->marker = marker_of(code, looked);
    one->repeats = repeats(code, looked);
    marked |= one->marker != 0;
    b->plain &= one->marker == 0 && !one->repeats && one->physical_page != UINT64_MAX &&
                one->physical_page == b->all[0].physical_page &&
                (one->address + bytes - 1) >> 12 == b->all[0].address >> 12;
  }
  if (!marked && !everything) {
    free(b);
    return;
  }
  bool counting = counts(block, b);
  for (size_t i = 0; i < count; i++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
    if (!counting || b->all[i].marker != 0)
      qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, PLUGIN_NO_REGISTERS, &b->all[i]);
    /* Not before all blocks are forgotten: QEMU 7.2 may call back what it has forgotten, and aborts. */
    if (everything) qemu_plugin_register_vcpu_mem_cb(insn, accessed, PLUGIN_NO_REGISTERS, PLUGIN_MEMORY_BOTH, NULL);
  }
}

static void ended(qemu_plugin_id_t id, void *data) {
  (void)id;
  (void)data;
  enter();
  catch_up();
  if (!closed) {
    if (recording) mark(measured, (open_marker & ~0xffu) | ENDS);
    end_run();
    room();
    meta(END);
    flush();
    if (fclose(out) != 0) perror("recorder: out");
    closed = true;
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
  if (strcmp(info->target_name, "x86_64") != 0 || !info->system_emulation) {
    fprintf(stderr, "recorder: for qemu-system-x86_64 only\n");
    return -1;
  }
  if (path == NULL || (out = fopen(path, "wb")) == NULL) {
    fprintf(stderr, "recorder: out=FILE cannot be written\n");
    return -1;
  }
  for (const char *magic = "KTRC1\n"; *magic != 0; magic++) byte((uint8_t)*magic);
  self = id;
  forgotten(id);
  return 0;
}
