/* Runs the flat image of programs.c natively: usage: run-programs IMAGE RESULTS SEED COUNT. Writes each program's scratch memory. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define IMAGE 0x30000000ul
#define SCRATCH 0x31000000ul
#define BYTES 0x40000

int main(int count, char **words) {
  if (count != 5) return fprintf(stderr, "usage: run-programs IMAGE RESULTS SEED COUNT\n"), 2;
  void *image = mmap((void *)IMAGE, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  void *scratch = mmap((void *)SCRATCH, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (image != (void *)IMAGE || scratch != (void *)SCRATCH) return perror("run-programs: mmap"), 2;
  FILE *in = fopen(words[1], "rb"), *out = fopen(words[2], "wb");
  if (!in || !out || fread(image, 1, 1 << 20, in) == 0) return perror("run-programs: files"), 2;
  for (long n = 0; n < atol(words[4]); n++) {
    memset(scratch, 0, BYTES);
    ((void (*)(void *, uint64_t, uint64_t))IMAGE)(scratch, strtoull(words[3], 0, 10), (uint64_t)n);
    if (fwrite(scratch, BYTES, 1, out) != 1) return perror("run-programs: writing"), 2;
  }
  return fclose(out) != 0;
}
