/* Runs compiled programs on this machine's own CPU: reads records of memory regions and an entry from a file, calls the
 * entry with one argument, writes r0 and the regions back. Everything lies in one arena at a fixed address. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA ((unsigned char *)0x10000000ul)
#define ARENA_BYTES 0x1000000ul
#define STUBS 0x10f00000ul /* helper n: movabs rax, function; jmp rax at STUBS + 16 n */

static uint64_t now(void) { return 12345; }
/* A frame address that is no multiple of 16 means that the caller had its stack misaligned; SSE code would fault. */
static __attribute__((noinline)) uint64_t cpu(void) { return 3 + ((uint64_t)__builtin_frame_address(0) & 15); }
static uint64_t mix(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) { return a + 3 * b + 5 * c + 7 * d + 11 * e; }
static void stub(unsigned id, void *function) {
  unsigned char *at = (unsigned char *)STUBS + 16 * id, code[12] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0 };
  memcpy(code + 2, &function, 8);
  memcpy(at, code, 12);
}
static void need(void *to, size_t bytes, FILE *from) { if (fread(to, 1, bytes, from) != bytes) exit(3); }

int main(int argc, char **argv) {
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  if (argc < 3 || !in || !out) return 2;
  if (mmap(ARENA, ARENA_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != ARENA) return 4;
  uint32_t cases;
  need(&cases, 4, in);
  while (cases--) {
    uint32_t regions, bytes[16];
    uint64_t address[16], entry, argument, result = 0;
    stub(5, now); stub(8, cpu); stub(7, mix);
    need(&regions, 4, in);
    for (unsigned i = 0; i < regions; i++) { need(&address[i], 8, in); need(&bytes[i], 4, in); need((void *)address[i], bytes[i], in); }
    need(&entry, 8, in);
    need(&argument, 8, in);
    result = ((uint64_t (*)(uint64_t))entry)(argument);
    fwrite(&result, 8, 1, out);
    for (unsigned i = 0; i < regions; i++) fwrite((void *)address[i], 1, bytes[i], out);
  }
  return fclose(out) ? 5 : 0;
}
