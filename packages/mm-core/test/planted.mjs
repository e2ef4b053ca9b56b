/** Faults of order and of failure paths that this package's tests must notice: planted by scripts/planted.mjs. */
const tables = "src/tables/kernel-tables.ts";
const tablesTest = "test/tables/kernel-tables.test.ts";
const failure = "test/tables/failure-paths.test.ts";

export default [
  {
    promise: "empty tables go back only once no CPU can walk them",
    file: tables,
    find: "      this.cpus.flushAll();\n      this.owed.length = 0;",
    replace:
      "      for (const table of found.tables) this.allocator.free(table, 0);\n      this.cpus.flushAll();\n      return true;",
    test: tablesTest,
    pattern: "empty tables",
  },
  {
    promise: "entries that lead to an empty table go before the flush",
    file: tables,
    find: "    for (const { table, index } of found.entries) this.entries.write(table, index, 0, 0);\n",
    replace:
      "    setTimeout(() => found.entries.forEach(({ table, index }) => this.entries.write(table, index, 0, 0)));\n",
    test: tablesTest,
    pattern: "empty tables",
  },
  {
    promise: "an empty table that is given back is no copy's any more",
    file: tables,
    find: "      this.entries.disown(table);\n      this.allocator.free(table, 0);",
    replace: "      this.allocator.free(table, 0);",
    test: failure,
  },
  {
    promise: "what a refused change stored is taken back, the last first",
    file: tables,
    find: "of this.journal.reverse()) {",
    replace: "of this.journal) {",
    test: failure,
  },
  {
    promise: "tables of a refused change go back only after a flush",
    file: tables,
    find: "    this.cpus.flushAll();\n    for (const frame of this.made) {\n      this.entries.disown(frame);\n      this.allocator.free(frame, 0);\n    }",
    replace:
      "    for (const frame of this.made) {\n      this.entries.disown(frame);\n      this.allocator.free(frame, 0);\n    }\n    this.cpus.flushAll();",
    test: failure,
  },
  {
    promise: "a refused change is flushed, though nothing is left of it",
    file: tables,
    find: "    this.cpus.flushAll();\n    for (const frame of this.made) {",
    replace: "    for (const frame of this.made) {",
    test: tablesTest,
  },
  {
    promise: "a refused change keeps no table page",
    file: tables,
    find: "      this.entries.disown(frame);\n      this.allocator.free(frame, 0);\n    }\n  }\n\n  private store",
    replace: "      this.entries.disown(frame);\n    }\n  }\n\n  private store",
    test: tablesTest,
  },
  {
    promise: "a table of a refused change is no copy's any more",
    file: tables,
    find: "      this.entries.disown(frame);\n      this.allocator.free(frame, 0);\n    }\n  }\n\n  private store",
    replace: "      this.allocator.free(frame, 0);\n    }\n  }\n\n  private store",
    test: "test/tables/replica-stores.test.ts",
  },
  {
    promise: "a large leaf is divided before its table is linked: no walker meets an empty one",
    file: tables,
    find: "    writeSplit(this.entries, lower, lo, hi, level);\n    this.store(table, index, entryLow(lower, KERNEL_TABLE_BITS), entryHigh(lower, false));",
    replace:
      "    this.store(table, index, entryLow(lower, KERNEL_TABLE_BITS), entryHigh(lower, false));\n    writeSplit(this.entries, lower, lo, hi, level);",
    test: failure,
  },
  {
    promise: "what was not global is flushed under every PCID",
    file: tables,
    find: "    if (this.options.pcid && !this.layout.pti) this.owed.push(...editor.notGlobal);",
    replace: "",
    test: tablesTest,
  },
  {
    promise: "what was changed lazily is known until it was flushed",
    file: tables,
    find: "    else this.lazily.remove(ranges);",
    replace: "    else this.lazily.clear();",
    test: failure,
  },
  {
    promise: "an address space that lacks memory for one holder's PGD gives back the others'",
    file: "src/processes/address-space.ts",
    find: "      for (const pgd of pgds.values()) freePgd(this.context, pgd);\n      return undefined;",
    replace: "      return undefined;",
    test: "test/processes/address-space.test.ts",
    pattern: "a space that lacks memory",
  },
  {
    promise: "a PGD that is given back is no copy's any more",
    file: "src/processes/address-space.ts",
    find: "  for (let half = 0; half < PGD_PAGES; half++) entries.disown(pgd + half);\n",
    replace: "",
    test: "test/tables/replica-stores.test.ts",
  },
  {
    promise: "the PGDs of a space that a CPU comes back to stay until it let go",
    file: "src/processes/address-space.ts",
    find: "    if (this.holds === 0) this.freePgds();",
    replace: "    this.freePgds();",
    test: "test/processes/switch-mm.test.ts",
  },
  {
    promise: "they go when the last let go",
    file: "src/processes/address-space.ts",
    find: "    if (--this.holds === 0 && !this.alive) this.freePgds();",
    replace: "    --this.holds;",
    test: "test/processes/switch-mm.test.ts",
  },
  {
    promise: "table pages of a mapping that lacks one more go back",
    file: "src/processes/address-space.ts",
    find: "        for (const frame of made) allocator.free(frame, 0);\n        return NONE;",
    replace: "        return NONE;",
    test: "test/processes/address-space.test.ts",
  },
  {
    promise: "a top-level slot leaves every PGD before its table is freed",
    file: "src/processes/address-space.ts",
    find: "        if (level === layout.levels) this.depopulate(index);\n        else entries.write(table, index, 0, 0);",
    replace: "        entries.write(table, index, 0, 0);",
    test: "test/processes/address-space.test.ts",
  },
  {
    promise: "memory that cannot be plugged in keeps no block",
    file: "src/processes/memory-hotplug.ts",
    find: "      for (const block of blocks) this.allocator.free(block, LARGE_ORDER);\n",
    replace: "",
    test: "test/processes/memory-hotplug.test.ts",
  },
  {
    promise: "every process sees new memory before anybody gets a frame of it",
    file: "src/processes/memory-hotplug.ts",
    find: "    for (const space of this.spaces.all) space.followKernel();\n    for (const { first, frames } of ranges) this.donate(first, first + frames);",
    replace:
      "    for (const { first, frames } of ranges) this.donate(first, first + frames);\n    for (const space of this.spaces.all) space.followKernel();",
    test: "test/processes/memory-hotplug.test.ts",
  },
  {
    promise: "a fork that lacks memory gives back what it shared",
    file: "src/processes/processes.ts",
    find: "          for (const each of shared) this.frames.drop(each.mapping.frame);\n",
    replace: "",
    test: "test/processes/processes.test.ts",
    pattern: "a fork that lacks",
  },
  {
    promise: "a fork that lacks memory gives back the LDT it copied",
    file: "src/processes/processes.ts",
    find: "          if (ldt) this.descriptors.free(ldt);\n",
    replace: "",
    test: "test/processes/processes.test.ts",
    pattern: "a fork that lacks",
  },
];
