/**
 * Faults of order and of what a check looks at that this package's tests must notice: planted by scripts/planted.mjs.
 */
const reader = "src/cached-reader.ts";
const cached = "test/cached-reader.test.ts";
const witness = "src/witness.ts";
const beside = "test/beside.test.ts";

export default [
  {
    promise: "the root that a PCID stands for is asked anew for each PCID",
    file: reader,
    find: "      this.root = this.cached!.rootOf(pcid);\n",
    replace: "      if (this.root === NONE) this.root = this.cached!.rootOf(pcid);\n",
    test: cached,
  },
  {
    promise: "a PCID that owes a flush is passed over before anything is said of it",
    file: reader,
    find: '    if (use === "owed") return;\n',
    replace: '    if (use === "owed" && before === NONE) return;\n',
    test: cached,
  },
  {
    promise: "what outlives another root is told once a PCID",
    file: reader,
    find: "      this.reused.add(pcid);\n",
    replace: "",
    test: cached,
  },
  {
    promise: "rights are gathered on every level before a leaf is judged",
    file: reader,
    find: "    this.writable = this.user = this.executable = true;\n    this.level = 0;\n    for (let level: number = this.kernel.layout.levels; level >= last; level--) {\n",
    replace:
      "    this.level = 0;\n    for (let level: number = this.kernel.layout.levels; level >= last; level--) {\n      this.writable = this.user = this.executable = true;\n",
    test: cached,
  },
  {
    promise: "what is changed lazily is nothing wrong before it is flushed",
    file: reader,
    find: " || this.isUnflushed(entry)) return;",
    replace: ") return;",
    test: cached,
  },
  {
    promise: "a table that was given back is told of a lazy CPU too",
    file: reader,
    find: '      if (purpose !== undefined && purpose !== "page-table")\n',
    replace: '      if (use === "used" && purpose !== undefined && purpose !== "page-table")\n',
    test: cached,
  },
  {
    promise: "the image is looked at before it is replicated",
    file: witness,
    find: '    kernel.boot.during("mm-core-init", () => {\n      witness.before = witness.look();',
    replace: '    kernel.boot.during("running", () => {\n      witness.before = witness.look();',
    test: beside,
  },
  {
    promise: "versions of rodata are noted when it is sealed",
    file: witness,
    find: '    kernel.boot.during("mark-rodata-ro", () => {',
    replace: '    kernel.boot.during("running", () => {',
    test: beside,
  },
  {
    promise: "early roots are noted up to the step that makes others, and no longer",
    file: witness,
    find: 'BOOT_STEPS.slice(0, BOOT_STEPS.indexOf("numa-replicate-kernel"))',
    replace: "BOOT_STEPS",
    test: beside,
  },
  {
    promise: "a pair is marked as looked at only once it is",
    file: "src/halves.ts",
    find: "          if (!isPresent(lo) || !isPresent(kernelLow)) continue;\n",
    replace: "",
    test: beside,
  },
  {
    promise: "a page that was written meanwhile is another, wherever it lies",
    file: witness,
    find: "memory.version(was) === before.versions[page] && ",
    replace: "",
    test: beside,
  },
  {
    promise: "order of the boot's steps is asked of those that were done",
    file: "src/order.ts",
    find: "if (order.includes(later) && order.indexOf(earlier) > order.indexOf(later))",
    replace: "if (order.includes(later) && order.indexOf(earlier) < 0)",
    test: "test/witnessed.test.ts",
  },
];
