/* limit.c with TWO_PASSES: a walk is read through before it is done (packages/hw-x86/src/batch/walk-code.ts). */

/* Where tables are, by the low bits of their frames, as ours knows; the walk's steps, by level. */
enum { TABLES = 1024 };
static struct { uint32_t frame; uint64_t *at; } tables[TABLES];
static struct { uint32_t table, denials; } steps[6];

static uint64_t *placed(uint32_t frame) {
  if (tables[frame % TABLES].at == NULL || tables[frame % TABLES].frame != frame) {
    tables[frame % TABLES].frame = frame;
    tables[frame % TABLES].at = frames[frame];
  }
  return tables[frame % TABLES].at;
}

/* Reads a walk through, which changes nothing. The leaf's level. */
CALLED unsigned read_through(uint64_t page, unsigned level, uint32_t table, uint32_t denials, int access,
                             struct entry *found, int *global) {
  for (;; level--) {
    steps[level].table = table, steps[level].denials = denials;
    const uint64_t entry = placed(table)[page >> (9 * level - 9) & 511];
    if ((entry & (PRESENT | ACCESSED)) != (PRESENT | ACCESSED)) beyond("a page that is not there, or a first use");
    if (entry >> 32 & reserved) beyond("a reserved bit");
    denials |= (~(uint32_t)entry >> 1 & (NOT_WRITABLE | NOT_USER)) | (entry >> 63) << 3;
    table = (uint32_t)(entry >> 12);
    if (level != 1 && !(entry & PAGE_SIZE)) continue;
    if (level != 1) beyond("a large page");
    if (!(denials & NOT_USER)) denials |= USER_PAGE;
    if (denials & deny[access] & ~NOT_DIRTY) beyond("a fault");
    if (!(entry & DIRTY)) {
      if (access == STORE) beyond("a first store");
      denials |= NOT_DIRTY;
    }
    *global = (entry & GLOBAL) != 0;
    *found = (struct entry){ table, denials };
    return level;
  }
}
