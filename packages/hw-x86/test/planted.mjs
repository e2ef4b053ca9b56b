/** Words of the path that is written out, and of the one it stands for, changed one at a time: each must be noticed. */
const core = "src/core.ts";
const cache = "src/cache.ts";
const cpu = "src/cpu.ts";
const test = "test/written-out.test.ts";

export default [
  {
    promise: "L1D written out puts the way used last in front",
    file: core,
    find: "        words[base + 2] = (order & ~upTo) | ((order << 4) & upTo) | way;",
    replace: "        words[base + 2] = (order & ~upTo) | ((order << 4) & upTo) | (way ^ 1);",
    test,
  },
  {
    promise: "L2 written out does so too",
    file: core,
    find: "        words2[base2 + 2] = (order2 & ~upTo) | ((order2 << 4) & upTo) | way;",
    replace: "",
    test,
  },
  {
    promise: "a line brought into L1D is not shared as the one before it was",
    file: core,
    find: "    words[base + 1] = words[base + 1]! & ~bit;\n",
    replace: "",
    test,
  },
  {
    promise: "a line brought into L2 has its mark",
    file: core,
    find: "      words2[markAt] = (words2[markAt]! & ~(255 << shift)) | (mark << shift);",
    replace: "      words2[markAt] = (words2[markAt]! & ~(255 << shift)) | ((mark ^ 1) << shift);",
    test,
  },
  {
    promise: "a modified line that leaves L1D written out goes below",
    file: core,
    find: "    if ((modified & bit) !== 0) this.fromL1(victim, line, counters);",
    replace: "",
    test,
  },
  {
    promise: "hints are those that touch() keeps",
    file: core,
    find: "    this.l1dHints[hint] = way;\n    if (this.counting",
    replace: "    if (this.counting",
    test,
  },
  {
    promise: "the composed path is touch(): one word of it changed is a difference",
    file: cache,
    find: "    words[first + way] = frame;\n    words[base] = modified & ~(1 << way);",
    replace: "    words[first + way] = frame;\n    words[base] = modified;",
    test,
  },
  {
    promise: "a load that hits by its hint uses the line",
    file: cpu,
    find: "      if (this.l1dNarrow !== 0) words[base + 2] = promoted(words[base + 2]!, way);\n      counters[this.loadRow]",
    replace: "      counters[this.loadRow]",
    test,
  },
  {
    promise: "a store that hits by its hint finds the line modified already",
    file: cpu,
    find: "    if (words[base + this.l1dFirst + way] === frame && ((words[base]! >>> way) & 1) !== 0) {",
    replace: "    if (words[base + this.l1dFirst + way] === frame) {",
    test,
  },
  {
    promise: "L1I's policy hears of the first use after a fill",
    file: core,
    find: "    if (this.codeUsedAfterFill !== 0) this.tlbs.codeKept = 0;",
    replace: "    if (this.codeUsedAfterFill < 0) this.tlbs.codeKept = 0;",
    test,
  },
  {
    promise: "the code TLB's policy does",
    file: "src/tlb-levels.ts",
    find: "    this.smallKept = this.codeSmall.usedAfterFill === 1 ? 0 : 1;",
    replace: "    this.smallKept = 1;",
    test,
  },
  {
    promise: "the data TLB's policy does",
    file: "src/policy-tlb.ts",
    find: "    this.order[set] = this.usedAfterFill !== 0 ? this.ways : way;",
    replace: "    this.order[set] = way;",
    test,
  },
  {
    promise: "a front end that comes elsewhere than it foresaw forgets what lay ahead",
    file: "src/run-ahead.ts",
    find: "    if (!foreseen || this.count === 0) {\n      this.count = 0;",
    replace: "    if (!foreseen || this.count === 0) {",
    test: "test/run-ahead.test.ts",
  },
  {
    promise: "behind a jump that was not foreseen nothing ahead is kept, though it is the right line",
    file: "src/run-ahead.ts",
    find: "      restart === 0 && this.count > 0",
    replace: "      this.count > 0",
    test: "test/run-ahead.test.ts",
  },
  {
    promise: "a guess that came true makes room for another",
    file: "src/run-ahead.ts",
    find: "      this.guessed -= this.guesses[this.first]!;\n",
    replace: "",
    test: "test/run-ahead.test.ts",
  },
  {
    promise: "a front end that waits for a walk asks for nothing ahead",
    file: "src/run-ahead.ts",
    find: "this.walked ? 0 : core.lines",
    replace: "core.lines",
    test: "test/run-ahead.test.ts",
  },
  {
    promise: "a line asked for early is waited for until it arrives",
    file: "src/run-ahead.ts",
    find: "Math.max(0, core.arrivals[at]! - core.now)",
    replace: "0",
    test: "test/run-ahead.test.ts",
  },
  {
    promise: "emptying the caches leaves what a front end knows of jumps, emptying all does not",
    file: "src/run-ahead.ts",
    find: "    this.targets.flush(0, 0);\n",
    replace: "",
    test: "test/run-ahead.test.ts",
  },
];
