/** Faults of order and of failure paths that this package's tests must notice: planted by scripts/planted.mjs. */
const campaign = "src/campaign.ts";
const system = "src/checked-system.ts";
const differential = "src/differential.ts";
const schedules = "src/schedules.ts";
const shrinking = { test: "test/shrinking.test.ts" };
const runs = { test: "test/runs.test.ts" };
const twin = { test: "test/differential.test.ts", pattern: "an allocation refused|alone has no memory" };

export default [
  {
    promise: "the shrinker goes over a list again once something behind an operation went",
    file: campaign,
    find: "    if (size === 1 && !removed) break;\n",
    replace: "    if (size === 1) break;\n",
    ...shrinking,
  },
  {
    promise: "the shrinker takes another rule that breaks for no failure",
    file: campaign,
    find: "        if (found?.invariant !== invariant) continue;\n",
    replace: "        if (!found) continue;\n",
    ...shrinking,
  },
  {
    promise: "the shrinker tells the failure of what is left",
    file: campaign,
    find: "        best = each;\n        failure = found;\n",
    replace: "        best = each;\n",
    ...shrinking,
  },
  {
    promise: "a kernel on which a rule broke runs no more",
    file: campaign,
    find: "      systems.set(kernel, undefined);\n",
    replace: "      systems.delete(kernel);\n",
    ...runs,
  },
  {
    promise: "a kernel that was changed for good makes room for a fresh one",
    file: campaign,
    find: "        systems.delete(kernel);\n",
    replace: "",
    ...runs,
  },
  {
    promise: "families undo in the reverse of their order",
    file: system,
    find: "for (let index = this.families.length - 1; index >= 0; index--) this.families[index]!.undo?.();",
    replace: "for (const family of this.families) family.undo?.();",
    ...runs,
  },
  {
    promise: "a refusal ends with the run",
    file: system,
    find: "    this.parts.allocator.refuse(0);\n",
    replace: "",
    ...runs,
  },
  {
    promise: "what waits for a point of an operation ends with it",
    file: system,
    find: "      this.watch.stopProbe();\n",
    replace: "",
    ...runs,
  },
  {
    promise: "frames that an operation in the middle took are not gone for good",
    file: system,
    find: " - (this.within[index]! - within[index]!),",
    replace: ",",
    ...runs,
  },
  {
    promise: "the explorer begins each pair behind a broken rule on a fresh kernel",
    file: schedules,
    find: "      system = booted(kernel);\n      return false;",
    replace: "      return false;",
    ...runs,
  },
  {
    promise: "the explorer counts the points of an operation on a kernel that it leaves as it was",
    file: schedules,
    find: "  system.finish(true);\n  return points;",
    replace: "  return points;",
    ...runs,
  },
  {
    promise: "the explorer has the second come after the first, too",
    file: schedules,
    find: "point <= points + 1;",
    replace: "point <= points;",
    ...runs,
  },
  {
    promise: "both kernels are compared before what the run made goes",
    file: differential,
    find: "    if (theirs.parted) this.parted++;\n    else this.compare();\n    subject.finish();\n    twin.finish();\n",
    replace:
      "    subject.finish();\n    twin.finish();\n    if (theirs.parted) this.parted++;\n    else this.compare();\n",
    ...runs,
  },
  {
    promise: "the single copy is refused what the kernel under check was refused",
    file: differential,
    find: "      theirs.begin(mine);\n",
    replace: "      theirs.begin();\n",
    ...twin,
  },
  {
    promise: "a run that parted leaves nothing to the next",
    file: differential,
    find: "    theirs.parted = false;\n",
    replace: "",
    ...twin,
  },
  {
    promise: "PGDs are counted apart up to the end of each, also where memory gives out",
    file: "src/allocation-record.ts",
    find: "      this.inPgd--;\n",
    replace: "",
    ...twin,
  },
];
