/** Faults of order and of failure paths that this package's tests must notice: planted by scripts/planted.mjs. */
const join = "src/join-leaves.ts";
const change = "src/set-memory.ts";
const test = "test/set-memory.test.ts";
const order = "test/join-order.test.ts";
const encryption = "test/encryption.test.ts";

export default [
  {
    promise: "tables that were joined go back only after the flush",
    file: join,
    find: "  tables.flush(range);\n  let freed = 0;",
    replace: "  setTimeout(() => tables.flush(range));\n  let freed = 0;",
    test: order,
  },
  {
    promise: "the large leaf stands before the flush: nothing of the old table is cached after it",
    file: join,
    find: "      entries.write(table, index, lo, hi);\n      retired.add(lower);",
    replace: "      tables.flush(range);\n      entries.write(table, index, lo, hi);\n      retired.add(lower);",
    test: order,
  },
  {
    promise: "a joined table that is given back is no copy's any more",
    file: join,
    find: "    entries.disown(frame);\n",
    replace: "",
    test: order,
  },
  {
    promise: "tables of early boot and of the replicas' rooms are not the allocator's to take back",
    file: join,
    find: "    if (!allocator.owns(frame, 0)) continue;\n",
    replace: "",
    test: order,
  },
  {
    promise: "joined tables are counted",
    file: join,
    find: "    freed++;\n",
    replace: "",
    test,
  },
  {
    promise: "nothing is flushed where nothing was joined",
    file: join,
    find: "  if (joined === 0) return { joined, freed: 0 };\n",
    replace: "",
    test: order,
  },
  {
    promise: "user halves get the large leaf, too",
    file: join,
    find: "rootsOfBothHalves(view.roots, pti)",
    replace: "rootsOfBothHalves(view.roots, false)",
    test,
  },
  {
    promise: "several changes happen all or none",
    file: change,
    find: "      editor.together(() =>\n        changes.every(",
    replace: "      ((each) => each())(() =>\n        changes.every(",
    test,
  },
  {
    promise: "what is refused is refused before anything changes",
    file: change,
    find: "    for (const { range } of changes) this.check(range);\n",
    replace: "",
    test,
  },
  {
    promise: "a refusal is said",
    file: change,
    find: "    if (!done) {\n",
    replace: "    if (!done && changes.length > 9) {\n",
    test,
  },
  {
    promise: "the image's own view follows a change of the direct map",
    file: change,
    find: " && high.every((view) => editor.protect(view, withoutLocal(change)))",
    replace: "",
    test,
  },
  {
    promise: "one shootdown, after all changes",
    file: change,
    find: "    const done = this.tables.edit((editor) =>",
    replace: "    const done = this.tables.editLazily((editor) =>",
    test,
  },
  {
    promise: "the W+X check looks at NX",
    file: "src/wx-check.ts",
    find: "      if (!isExecutable(hi)) return undefined;\n",
    replace: "",
    test,
    pattern: "W\\+X",
  },
  {
    promise: "W+X that several roots share is reported once, under the first",
    file: "src/wx-check.ts",
    find: "        return isNew(lower, level - 1) ? lower : undefined;",
    replace: "        return lower;",
    test: order,
  },
  {
    promise: "what is shared does not become one leaf with what is private",
    file: join,
    find: "(NO_EXECUTE | SHARED_HIGH)",
    replace: "NO_EXECUTE",
    test: encryption,
  },
  {
    promise: "what is unmapped and not flushed yet is flushed before memory is shared",
    file: change,
    find: "      this.tables.flushRanges(this.tables.unflushed);\n",
    replace: "      void 0;\n",
    test: encryption,
  },
  {
    promise: "the host is told of what was done, not of what was refused",
    file: change,
    find: "    if (!done) {\n",
    replace: "    for (const { range } of changes) this.shared.note(this.framesOf(range), true);\n    if (!done) {\n",
    test: encryption,
  },
  {
    promise: "the image's own view follows an area that lies in its memory",
    file: change,
    find: "      encrypted === undefined || this.inDirectMap(range.start)\n",
    replace: "      true\n",
    test: encryption,
  },
];
