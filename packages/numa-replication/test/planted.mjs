/** Faults of order and of failure paths that this package's tests must notice: planted by scripts/planted.mjs. */
const reserve = "src/reserve.ts";
const copies = "src/copy-per-node.ts";
const repoint = "src/repoint.ts";
const alias = "src/linear-alias.ts";
const refusal = { test: "test/refusal.test.ts", pattern: "^ends inside 2 MiB[^,]" };
const order = { test: "test/order.test.ts" };

export default [
  {
    promise: "where the master gets no room nobody holds a copy",
    file: reserve,
    find: "rooms.length > 1 && rooms.some(({ room }) => room.node === plan.master)",
    replace: "rooms.length > 1",
    ...order,
  },
  {
    promise: "rooms of a kernel that stays with one copy go back",
    file: reserve,
    find: "  for (const { taken } of rooms) giveBack(early, taken);\n",
    replace: "",
    ...order,
  },
  {
    promise: "a node that cannot get all it needs keeps nothing",
    file: reserve,
    find: "    giveBack(early, taken);\n    return undefined;",
    replace: "    return undefined;",
    ...order,
  },
  {
    promise: "reserved tables are empty: what lay there before is no entry",
    file: reserve,
    find: "  for (const frame of tables) machine.memory.clearFrame(frame);\n",
    replace: "",
    ...order,
  },
  {
    promise: "a reserved PGD is empty",
    file: reserve,
    find: "  for (let frame = root; frame < root + plan.rootFrames; frame++) machine.memory.clearFrame(frame);\n",
    replace: "",
    ...order,
  },
  {
    promise: "nobody sees holders before their tables are whole",
    file: copies,
    find: "    let masterTables: readonly Frame[] = [];\n    for (const room of this.rooms) {",
    replace:
      "    let masterTables: readonly Frame[] = [];\n    this.replicated = true;\n    for (const room of this.rooms) {",
    ...order,
  },
  {
    promise: "text is copied in the step that shows the copy",
    file: copies,
    find: "      copyPages(entries.memory, text, room.text);\n",
    replace: "      setTimeout(() => copyPages(entries.memory, text.original, room.text, text.pages));\n",
    ...order,
  },
  {
    promise: "rodata is copied before a holder's leaves lead to the copy",
    file: copies,
    find: "      if (copies.rodata) copyPages(entries.memory, rodata, room.rodata);\n",
    replace: "      if (copies.rodata) setTimeout(() => copyPages(entries.memory, rodata, room.rodata));\n",
    ...order,
  },
  {
    promise: "table pages of a refused rodata step go back",
    file: "src/table-pages.ts",
    find: "        for (const each of taken) allocator.free(each, 0);\n",
    replace: "",
    ...refusal,
  },
  {
    promise: "a page that was taken is known to whoever gives all back",
    file: "src/table-pages.ts",
    find: "      taken.push(frame);\n",
    replace: "",
    ...refusal,
  },
  {
    promise: "a large leaf is divided before its table is linked",
    file: repoint,
    find: "    if (isLeaf(lo, 2)) writeSplit(entries, small, lo, hi, 2);\n",
    replace:
      "    if (isLeaf(lo, 2)) entries.write(pmd, index, entryLow(small, KERNEL_TABLE_BITS), entryHigh(small, false));\n    if (isLeaf(lo, 2)) writeSplit(entries, small, lo, hi, 2);\n",
    test: "test/repoint.test.ts",
  },
  {
    promise: "a leaf of the direct map is divided before its table is linked",
    file: alias,
    find: "      writeSplit(entries, lower, lo, hi, level);\n      entries.write(table, index, entryLow(lower, KERNEL_TABLE_BITS), entryHigh(lower, false));",
    replace:
      "      entries.write(table, index, entryLow(lower, KERNEL_TABLE_BITS), entryHigh(lower, false));\n      writeSplit(entries, lower, lo, hi, level);",
    ...order,
  },
  {
    promise: "a PTE page that the boot table uses too is copied before its leaves are changed",
    file: repoint,
    find: "  if (!isShared(entries, levels, bootTable, address, page)) return page;\n",
    replace: "  if (levels > 0) return page;\n",
    test: "test/repoint.test.ts",
  },
  {
    promise: "a cloned table is filled before it is linked",
    file: "src/clone-tables.ts",
    find: "    entries.copy(frameOf(lo, hi), lower, 0, 512);\n    entries.write(above, index, entryLow(lower, lo & 0xfff), (entryHigh(lower, false) | (hi & 0x8000_0000)) >>> 0);\n",
    replace:
      "    entries.write(above, index, entryLow(lower, lo & 0xfff), (entryHigh(lower, false) | (hi & 0x8000_0000)) >>> 0);\n    entries.copy(frameOf(lo, hi), lower, 0, 512);\n",
    survives:
      "nobody runs on a root that is being cloned: it is given to CPUs when it is whole, which the row above on holders checks",
    ...order,
  },
  {
    promise: "the addresses of the copies are forgotten when they are said to be",
    file: copies,
    find: "    this.linearKnown = false;\n  }",
    replace: "  }",
    test: "test/replica-view-contract.test.ts",
    pattern: "keeps it",
  },
];
