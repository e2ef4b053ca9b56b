/*
 * What the recorder sees of the instructions of a block when QEMU translates it: markers, string instructions that repeat,
 * what may change translations, physical pages.
 *
 * Part of kreplica, MIT licence.
 */
#ifndef KREPLICA_INSTRUCTIONS_H
#define KREPLICA_INSTRUCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plugin.h"

#define IMAGE 0xffffffff80000000ull
#define MODULES 0xffffffffa0000000ull

/* One instruction of a translated block, for as long as QEMU may run it: QEMU does not say when it forgets a block. */
struct instruction {
  uint64_t address;
  uint64_t physical_page;
  uint32_t marker;
  uint8_t bytes;
  /* A string instruction with a REP prefix: QEMU executes it once an iteration. */
  bool repeats;
  /* Behind it a page may have another physical one, or be a device. */
  bool retranslates;
  /* It accesses no memory and never faults. */
  bool quiet;
};

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

/* Where the opcode stands, behind the prefixes. @param repeated becomes true where one of them is REP */
static const uint8_t *opcode_of(const uint8_t *code, size_t bytes, bool *repeated) {
  const uint8_t *end = code + bytes;
  for (; code < end; code++) {
    switch (*code) {
      case 0xf2: case 0xf3:
        *repeated = true;
        break;
      case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67: case 0xf0:
        break;
      default:
        if ((*code & 0xf0) != 0x40) return code;
    }
  }
  return code;
}

/* Whether it is one that REP repeats. @source Intel SDM vol. 2B, "REP/REPE/..." */
static bool is_string(uint8_t opcode) {
  return (opcode >= 0xa4 && opcode <= 0xa7) || (opcode >= 0xaa && opcode <= 0xaf) || (opcode >= 0x6c && opcode <= 0x6f);
}

/*
 * Whether another physical page may be behind an address when it is done: what invalidates entries of TLBs, what switches
 * paging, and output to ports, by which memory is mapped elsewhere. What the kernel changes in its tables need not be seen
 * before.
 *
 * @param code at least three bytes
 * @source Intel SDM vol. 3A, "Operations that Invalidate TLBs and Paging-Structure Caches"; AMD APM vol. 3, INVLPGA
 */
static bool retranslates(const uint8_t *code) {
  if (code[0] == 0xe6 || code[0] == 0xe7 || code[0] == 0xee || code[0] == 0xef || code[0] == 0x6e || code[0] == 0x6f)
    return true;
  if (code[0] != 0x0f) return false;
  uint8_t field = code[2] >> 3 & 7;
  bool invlpg = code[1] == 0x01 && ((field == 7 && code[2] < 0xc0) || field == 6 || code[2] == 0xdf);
  bool invpcid = code[1] == 0x38 && code[2] == 0x82;
  /* MOV to a control register, WRMSR, RSM. */
  return invlpg || invpcid || code[1] == 0x22 || code[1] == 0x30 || code[1] == 0xaa;
}

/*
 * Whether it surely neither accesses memory nor faults: arithmetic and moves between registers and of constants. With a
 * prefix other than for 16 or 64 bits it is none of them.
 *
 * @param code what begins with the first prefix, at least three bytes behind the opcode
 * @source Intel SDM vol. 2D, "Opcode Map"
 */
static bool is_quiet(const uint8_t *code) {
  if (*code == 0x66) code++;
  if ((*code & 0xf0) == 0x40) code++;
  bool registers = code[1] >= 0xc0;
  uint8_t field = code[1] >> 3 & 7;
  switch (code[0]) {
    case 0x63: case 0x80: case 0x81: case 0x83: case 0x84: case 0x85: case 0x88: case 0x89: case 0x8a: case 0x8b:
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd2: case 0xd3:
      return registers;
    case 0x8d:
      return !registers;
    case 0x90: case 0x98: case 0x99: case 0xa8: case 0xa9:
      return true;
    case 0xc6: case 0xc7: case 0xfe: case 0xff:
      return registers && (code[0] < 0xfe ? field == 0 : field < 2);
    case 0xf6: case 0xf7:
      /* TEST, NOT, NEG; behind them are multiplications and divisions. */
      return registers && field < 4;
    case 0x0f:
      registers = code[2] >= 0xc0;
      return registers && ((code[1] & 0xf0) == 0x40 || (code[1] & 0xf0) == 0x90 || code[1] == 0xaf ||
                           (code[1] & 0xf6) == 0xb6);
    default:
      if ((code[0] & 0xf0) == 0xb0) return true;
      /* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP. */
      return code[0] < 0x40 && (code[0] & 7) < 6 && ((code[0] & 7) > 3 || registers);
  }
}

static uint32_t marker_of(const uint8_t *code, size_t bytes) {
  if (bytes != 7 || code[0] != 0x0f || code[1] != 0x1f || code[2] != 0x80 || code[5] != 0xed || code[6] != 0x5e) return 0;
  return (uint32_t)code[3] | (uint32_t)code[4] << 8 | 0x5eed0000u;
}

/* What is found in a block. */
struct found {
  bool marked;
  /* None is a marker or repeats, and all lie in one page that has a physical one. */
  bool plain;
};

/* Reads a block's instructions. @param all as many, zeros */
static struct found read_block(struct qemu_plugin_tb *block, size_t count, struct instruction *all) {
  struct found found = {false, true};
  for (size_t i = 0; i < count; i++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
    /* None has more than 15; behind them there is something to look at still. */
    uint8_t code[16 + 3] = {0};
    size_t bytes = qemu_plugin_insn_size(insn);
    size_t looked = bytes < 16 ? bytes : 16;
#if KREPLICA_PLUGIN_API < 3
    memcpy(code, qemu_plugin_insn_data(insn), looked);
#else
    looked = qemu_plugin_insn_data(insn, code, looked);
#endif
    struct instruction *one = &all[i];
    one->address = qemu_plugin_insn_vaddr(insn);
    one->bytes = (uint8_t)bytes;
    one->physical_page = page_of(insn, one->address);
    one->marker = marker_of(code, looked);
    const uint8_t *opcode = opcode_of(code, looked, &one->repeats);
    one->repeats &= is_string(*opcode);
    one->retranslates = retranslates(opcode);
    one->quiet = is_quiet(code);
    found.marked |= one->marker != 0;
    found.plain &= one->marker == 0 && !one->repeats && one->physical_page != UINT64_MAX &&
                   one->physical_page == all[0].physical_page &&
                   (one->address + bytes - 1) >> 12 == all[0].address >> 12;
  }
  return found;
}

#endif
