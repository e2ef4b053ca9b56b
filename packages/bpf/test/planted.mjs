/** Faults of order and of failure paths that this package's tests must notice: planted by scripts/planted.mjs. */
const packs = "src/image/prog-pack.ts";
const trampolines = "src/image/trampoline.ts";
const dispatcher = "src/image/dispatcher.ts";
const load = "src/load.ts";
const test = "test/image.test.ts";

export default [
  {
    promise: "a pack is filled with traps before it gets copies",
    file: packs,
    find: "    this.areas.write(address, new Uint8Array(bytes).fill(TRAP));\n    this.replication.replicate(address);\n",
    replace:
      "    this.replication.replicate(address);\n    this.areas.write(address, new Uint8Array(bytes).fill(TRAP));\n",
    test,
  },
  {
    promise: "a pack gets copies before its permissions change",
    file: packs,
    find: "    this.replication.replicate(address);\n    this.permissions.readOnlyExecutable({ start: address, pages: bytes / PAGE_BYTES });\n",
    replace:
      "    this.permissions.readOnlyExecutable({ start: address, pages: bytes / PAGE_BYTES });\n    this.replication.replicate(address);\n",
    test,
  },
  {
    promise: "code that is freed is written over with traps",
    file: packs,
    find: "    this.writer.set(bytesAt(place.address, chunks * CHUNK_BYTES), TRAP);\n",
    replace: "",
    test,
  },
  {
    promise: "chunks that are freed are counted back",
    file: packs,
    find: "    pack.free += chunks;\n",
    replace: "",
    test,
  },
  {
    promise: "a place is freed once",
    file: packs,
    find: "    this.placed.delete(place.address);\n",
    replace: "",
    test,
  },
  {
    promise: "the last pack stays",
    file: packs,
    find: " && this.packs.length > 1",
    replace: "",
    test,
  },
  {
    promise: "an old image goes only when everybody left it",
    file: trampolines,
    find: "    this.writer.settle();\n    this.permissions",
    replace: "    setTimeout(() => this.writer.settle());\n    this.permissions",
    test,
  },
  {
    promise: "an image that goes is writable and not executable before it is given back",
    file: trampolines,
    find: "    this.permissions.writableNoExecute({ start: old, pages: 1 });\n    this.areas.release(old);\n",
    replace: "    this.areas.release(old);\n    this.permissions.writableNoExecute({ start: old, pages: 1 });\n",
    test,
  },
  {
    promise: "an image is written before it gets copies",
    file: trampolines,
    find: "    this.areas.write(image, code);\n    this.replication.replicate(image);\n",
    replace: "    this.replication.replicate(image);\n    this.areas.write(image, code);\n",
    test,
  },
  {
    promise: "an image is sealed before a call turns to it",
    file: trampolines,
    find: "    this.permissions.readOnlyExecutable({ start: image, pages: 1 });\n",
    replace: "    setTimeout(() => this.permissions.readOnlyExecutable({ start: image, pages: 1 }));\n",
    test,
  },
  {
    promise: "an attachment that is refused leaves the function's programs as they were",
    file: trampolines,
    find: "      old = now.image;\n",
    replace: "      old = now.image;\n    Object.assign(now, next);\n",
    test,
  },
  {
    promise: "a half of the dispatcher's page is written over only when nobody runs it",
    file: dispatcher,
    find: "    this.writer.settle();\n",
    replace: "",
    test,
  },
  {
    promise: "the half is written before calls are led to it",
    file: dispatcher,
    find: "    this.writer.copy(address, code);\n    this.half = half;\n",
    replace: "    this.writer.copy(address - BigInt(half * HALF) + BigInt(this.half * HALF), code);\n",
    test,
  },
  {
    promise: "a program stays dispatched until its last user goes",
    file: dispatcher,
    find: "    if (--this.programs[at]!.users > 0) return;\n",
    replace: "    this.programs[at]!.users--;\n",
    test,
  },
  {
    promise: "a structure's image is made writable and not executable before it is given back",
    file: "src/image/struct-ops.ts",
    find: "    this.permissions.writableNoExecute({ start: image.address, pages: 1 });\n    this.areas.release(image.address);\n",
    replace:
      "    this.areas.release(image.address);\n    this.permissions.writableNoExecute({ start: image.address, pages: 1 });\n",
    test,
  },
  {
    promise: "what fails to load leaves nothing",
    file: load,
    find: "      this.unload();\n      throw error;",
    replace: "      throw error;",
    test: "test/load.test.ts",
    pattern: "unloading, and loading that fails",
  },
  {
    promise: "room for code that cannot be compiled into it is given back",
    file: load,
    find: "    this.places.push({ place, packs });\n    const { bytes } = compile({ ...request, address: place.address });\n    packs.write(place, bytes);\n",
    replace:
      "    const { bytes } = compile({ ...request, address: place.address });\n    packs.write(place, bytes);\n    this.places.push({ place, packs });\n",
    test: "test/load.test.ts",
    pattern: "not to be had",
  },
];
