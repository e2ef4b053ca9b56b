/** Faults of order and of failure paths that this package's tests must notice: planted by scripts/planted.mjs. */
const free = "src/free-list.ts";
const core = "src/vmalloc.ts";
const order = { test: "test/order.test.ts" };
const fakes = { test: "test/vmalloc.test.ts" };

export default [
  {
    promise: "frames whose alias could not be restored stay, with their addresses",
    file: free,
    find: "        this.pending.push(entry);\n        this.held += Number((entry.area.limit - entry.area.start) / PAGE);\n        continue;",
    replace:
      "        this.pending.push(entry);\n        this.held += Number((entry.area.limit - entry.area.start) / PAGE);",
    ...order,
  },
  {
    promise: "what stays is counted",
    file: free,
    find: "        this.held += Number((entry.area.limit - entry.area.start) / PAGE);\n        continue;",
    replace: "        continue;",
    ...order,
  },
  {
    promise: "what stays is tried again",
    file: free,
    find: "        this.pending.push(entry);\n        this.held +=",
    replace: "        this.held +=",
    ...order,
  },
  {
    promise: "aliases are absent before the flush, so that no stale executable entry meets a writable alias",
    file: free,
    find: "      for (const { runs } of batch) this.aliases.forbid(editor, runs);\n",
    replace: "      if (batch.length < 0) for (const { runs } of batch) this.aliases.forbid(editor, runs);\n",
    ...order,
  },
  {
    promise: "aliases become writable only after the flush",
    file: free,
    find: "      for (const { runs } of batch) this.aliases.forbid(editor, runs);\n    });",
    replace:
      "      for (const { runs } of batch) this.aliases.forbid(editor, runs);\n      for (const { runs } of batch) this.aliases.restore(editor, runs);\n    });",
    ...order,
  },
  {
    promise: "addresses and frames go back only after the flush",
    file: free,
    find: "    this.tables.flushRanges(\n",
    replace: "    setTimeout(this.tables.flushRanges.bind(this.tables), 0,\n",
    ...order,
  },
  {
    promise: "every copy's alias is flushed with the area",
    file: free,
    find: "        ...runsOf(flushed).map(",
    replace: "        ...runsOf(flushed.slice(0, area.pages)).map(",
    ...order,
  },
  {
    promise: "frames of the copies go back with the area",
    file: free,
    find: "        freeBlocks(this.allocator, entry.area.copyBlocks);\n",
    replace: "",
    ...fakes,
  },
  {
    promise: "addresses go back with the area",
    file: free,
    find: "      this.space.release({ start: entry.area.start, end: entry.area.limit });\n",
    replace: "",
    ...fakes,
  },
  {
    promise: "copies that lack memory half-way are given back",
    file: "src/replicate-range.ts",
    find: "    for (const copy of copies) freeBlocks(this.allocator, copy.blocks);\n",
    replace: "",
    ...fakes,
  },
  {
    promise: "copies are complete before any holder's leaves lead to them",
    file: "src/replicate-range.ts",
    find: "      for (let page = 0; page < area.pages; page++) this.memory.copyFrame(area.frames[page]!, frames[page]!);",
    replace:
      "      for (let page = 0; page < area.pages; page++)\n        queueMicrotask(() => this.memory.copyFrame(area.frames[page]!, frames[page]!));",
    ...order,
  },
  {
    promise: "blocks taken before one was refused go back",
    file: "src/blocks.ts",
    find: "      freeBlocks(allocator, blocks);\n      return undefined;",
    replace: "      return undefined;",
    ...fakes,
  },
  {
    promise: "interleaved blocks taken before one was refused go back",
    file: core,
    find: "        freeBlocks(this.allocator, blocks);\n        return undefined;",
    replace: "        return undefined;",
    ...order,
  },
  {
    promise: "an area that cannot be mapped keeps no frame",
    file: core,
    find: "    freeBlocks(this.allocator, got.blocks);\n    return undefined;",
    replace: "    return undefined;",
    ...fakes,
  },
  {
    promise: "addresses of a refused area go back",
    file: core,
    find: "    this.space.release(taken);\n",
    replace: "",
    ...fakes,
  },
  {
    promise: "what was mapped of a refused area is flushed before its addresses are used again",
    file: core,
    find: "        this.tables.flush({ start: area.start, pages: mapped });\n",
    replace: "",
    ...order,
  },
  {
    promise: "shadow of a refused area goes back",
    file: core,
    find: "      this.shadow.uncover(area);\n      return false;",
    replace: "      return false;",
    ...fakes,
  },
  {
    promise: "pages of copies are taken back from the account",
    file: core,
    find: '        for (const copy of area.copies.values()) this.account.remove(copy, "replica");\n',
    replace: "",
    ...fakes,
  },
  {
    promise: "frames that a base copy replaces leave the account",
    file: core,
    find: '    this.account.remove(area.frames, "base");\n    freeBlocks',
    replace: "    freeBlocks",
    ...fakes,
  },
  {
    promise: "shadow frames go back only after the flush",
    file: "src/shadow.ts",
    find: "    this.tables.edit((editor) => {\n      for (const { page } of gone) editor.unmap(page, 1);\n    });",
    replace:
      "    this.tables.editLazily((editor) => {\n      for (const { page } of gone) editor.unmap(page, 1);\n    });",
    ...order,
  },
  {
    promise: "shadow that lacks a page half-way is given back",
    file: "src/shadow.ts",
    find: "          this.drop(done);\n",
    replace: "",
    test: "test/vmalloc.test.ts",
    pattern: "table pages that give out",
  },
];
