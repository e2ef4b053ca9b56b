/** Faults of order and of failure paths that this package's tests must notice: planted by scripts/planted.mjs. */
const poke = "src/poke/text-poke.ts";
const space = "src/poke/poking-space.ts";
const probes = "src/users/kprobes.ts";
const pages = "src/users/insn-pages.ts";
const order = { test: "test/order.test.ts" };
const fetched = (pattern) => ({ test: "test/fetched.test.ts", pattern });
const concurrency = { test: "test/concurrency.test.ts", pattern: "every interleaving" };

export default [
  {
    promise: "INT3 first, then a synchronisation, then the tail",
    file: poke,
    find: '      yield* this.sync("int3");\n      let wrote = false;',
    replace: "      let wrote = false;",
    ...fetched("a batch turns .* nothing torn"),
  },
  {
    promise: "the first byte only after the tail is everywhere",
    file: poke,
    find: '      if (wrote) yield* this.sync("tail");\n',
    replace: "",
    ...fetched("a batch turns .* nothing torn"),
  },
  {
    promise: "the first byte is everywhere when a batch returns",
    file: poke,
    find: '      if (wrote) yield* this.sync("first");\n',
    replace: "",
    ...fetched("a batch turns .* nothing torn"),
  },
  {
    promise: "every CPU on line is interrupted by a synchronisation",
    file: poke,
    find: "    if (others.length > 0) this.machine.interrupt(this.cpus.current, others);",
    replace: "    if (others.length > 0) this.machine.interrupt(this.cpus.current, others.slice(1));",
    ...fetched("a batch turns .* nothing torn"),
  },
  {
    promise: "a probe's INT3 is everywhere when it is armed",
    file: probes,
    find: "    this.poke.poke(address, Uint8Array.of(INT3));\n    this.poke.synchronise();\n  }\n\n  /**\n   * Puts",
    replace: "    this.poke.poke(address, Uint8Array.of(INT3));\n  }\n\n  /**\n   * Puts",
    ...fetched("probes with their synchronisations"),
  },
  {
    promise: "a probe's original is everywhere when it is disarmed",
    file: probes,
    find: "    this.poke.synchronise();\n    this.probes.delete(address);",
    replace: "    this.probes.delete(address);",
    ...fetched("probes with their synchronisations"),
  },
  {
    promise: "an unoptimised probe's tail is everywhere before the original comes back",
    file: probes,
    find: "    this.poke.synchronise();\n    probe.detour = undefined;",
    replace: "    probe.detour = undefined;",
    ...fetched("probes with their synchronisations"),
  },
  {
    promise: "the tail before the first byte",
    file: poke,
    find: '        yield* this.phase("tail", address + 1n, bytes.subarray(1));',
    replace:
      '        yield* this.phase("first", address, bytes.subarray(0, 1));\n        yield* this.phase("tail", address + 1n, bytes.subarray(1));',
    ...concurrency,
  },
  {
    promise: "handlers know the sites before the first INT3 is written, and until the last synchronisation",
    file: poke,
    find: '    this.active = descriptors;\n    this.open = items.map(({ address, bytes }) => bytesAt(address, bytes.length));\n    try {\n      for (const { address } of items) yield* this.phase("int3", address, Uint8Array.of(INT3));',
    replace:
      '    this.open = items.map(({ address, bytes }) => bytesAt(address, bytes.length));\n    try {\n      for (const { address } of items) yield* this.phase("int3", address, Uint8Array.of(INT3));\n      this.active = descriptors;',
    ...concurrency,
  },
  {
    promise: "every copy is read after a batch",
    file: poke,
    find: "    for (const { address, bytes } of items) this.verify(address, bytes);",
    replace: "",
    ...order,
  },
  {
    promise: "a batch that ends lets go of the lock",
    file: poke,
    find: "      this.active = undefined;\n      this.open = [];\n      this.locked = false;",
    replace: "      this.active = undefined;\n      this.open = [];",
    test: "test/poke.test.ts",
  },
  {
    promise: "a poke that fails lets go of the lock",
    file: poke,
    find: "    try {\n      work();\n    } finally {\n      this.locked = false;\n    }",
    replace: "    work();\n    this.locked = false;",
    ...order,
  },
  {
    promise: "what is open is open no longer when a poke ends, however it ends",
    file: poke,
    find: "    } finally {\n      this.open = before;\n    }",
    replace: "    } finally {\n      if (before.length > 9) this.open = before;\n    }",
    ...order,
  },
  {
    promise: "the alias is gone from the tables before its translation is",
    file: space,
    find: "      copy.frames.forEach((_, page) => entries.write(this.leaves, index + page, 0, 0));\n",
    replace: "",
    ...order,
  },
  {
    promise: "no translation of the alias survives",
    file: space,
    find: "      for (let page = 0; page < copy.frames.length; page++) cpu.invlpg(this.address + BigInt(page) * PAGE);\n      switcher.leaveTemporary(poking);",
    replace: "      switcher.leaveTemporary(poking);",
    test: "test/poke.test.ts",
  },
  {
    promise: "translations of the alias go while its PCID is loaded",
    file: space,
    find: "      for (let page = 0; page < copy.frames.length; page++) cpu.invlpg(this.address + BigInt(page) * PAGE);\n      switcher.leaveTemporary(poking);",
    replace:
      "      switcher.leaveTemporary(poking);\n      for (let page = 0; page < copy.frames.length; page++) cpu.invlpg(this.address + BigInt(page) * PAGE);",
    ...order,
  },
  {
    promise: "tables of a poking space that lacks one go back",
    file: space,
    find: "          allocator.free(each, 0);\n",
    replace: "",
    ...order,
  },
  {
    promise: "kernel slots are brought up to date before the poking root is loaded",
    file: space,
    find: "    this.refresh(this.rootOf(poking), machine.nodeOfCpu(poking));\n",
    replace: "",
    ...order,
  },
  {
    promise: "an unoptimised probe has its INT3 before its tail",
    file: probes,
    find: "    this.poke.poke(address, Uint8Array.of(INT3));\n    this.poke.synchronise();\n    this.poke.poke(address + 1n, detour.covered.subarray(1, JUMP_BYTES));\n    this.poke.synchronise();",
    replace:
      "    this.poke.poke(address + 1n, detour.covered.subarray(1, JUMP_BYTES));\n    this.poke.synchronise();\n    this.poke.poke(address, Uint8Array.of(INT3));\n    this.poke.synchronise();",
    ...order,
  },
  {
    promise: "an unoptimised probe's INT3 is everywhere before its tail is written",
    file: probes,
    find: "    this.poke.synchronise();\n    this.poke.poke(address + 1n, detour",
    replace: "    this.poke.poke(address + 1n, detour",
    ...fetched("probes with their synchronisations"),
  },
  {
    promise: "a detour goes back only after a grace period",
    file: probes,
    find: "    this.grace();\n    this.detours.give(detour.slot);",
    replace: "    this.detours.give(detour.slot);\n    this.grace();",
    ...order,
  },
  {
    promise: "a probe's slot goes back only after a grace period",
    file: probes,
    find: "    this.grace();\n    this.slots.give(probe.slot);",
    replace: "    this.slots.give(probe.slot);\n    this.grace();",
    ...order,
  },
  {
    promise: "a detour that could not be jumped to goes back",
    file: probes,
    find: "      this.detours.give(slot);\n      throw error;",
    replace: "      throw error;",
    ...order,
  },
  {
    promise: "a probe's slot is whole before its INT3 is written",
    file: probes,
    find: "    this.probes.set(address, { address, original, slot, action, users: 1, detour: undefined });\n    this.poke.poke(address, Uint8Array.of(INT3));",
    replace:
      "    this.poke.poke(address, Uint8Array.of(INT3));\n    this.probes.set(address, { address, original, slot, action, users: 1, detour: undefined });",
    ...order,
  },
  {
    promise: "a page of slots that cannot be made executable goes back",
    file: pages,
    find: "      this.vmalloc.free(area);\n      throw error;",
    replace: "      throw error;",
    ...order,
  },
  {
    promise: "a slot that is given back is free",
    file: pages,
    find: "    page.used[index] = false;\n    if",
    replace: "    if",
    test: "test/users.test.ts",
    pattern: "instruction pages",
  },
];
