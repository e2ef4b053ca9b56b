/** Each invariant of loaded modules is seen broken by its own check, where exactly that is broken. */
import { describe, expect, test } from "vitest";
import { checkLoaded, type LoadedModule, type MemoryType, readModule } from "../src/index.js";
import { tinyModule } from "../src/testing.js";
import { loaderKernel, type LoaderKernel } from "./support/kernel.js";

function loaded(): {
  kernel: LoaderKernel;
  module: LoadedModule;
  found: (patchedNow?: readonly { start: bigint; end: bigint }[]) => { id: string; detail: string }[];
} {
  const kernel = loaderKernel({ holders: [0, 1] });
  const module = kernel.loader.load(readModule(tinyModule({})), 0);
  kernel.loader.finishInit(module);
  return {
    kernel,
    module,
    found: (patchedNow = []) => checkLoaded({ ...kernel, vmalloc: kernel.vm, patchedNow }, module),
  };
}

test("a module as it is breaks none", () => {
  expect(loaded().found()).toEqual([]);
});

test("E4: another byte of text on one node, but for a site that is being patched", () => {
  const { kernel, module, found } = loaded();
  const { start, copies } = module.memories.get("text")!.area;
  const frame = copies.get(1)![0]!;
  kernel.memory.write32(frame, 1, kernel.memory.read32(frame, 1) ^ 0xff);
  expect(found()).toMatchObject([{ id: "E4", detail: "tiny text + 0x4: node 1 has another byte" }]);
  expect(found([{ start: start + 4n, end: start + 5n }])).toEqual([]);
});

test("E5: data with copies", () => {
  const { module, found } = loaded();
  const { area } = module.memories.get("data")!;
  const copied = new Proxy(area, {
    get: (target, name) => (name === "state" ? "replicated" : (Reflect.get(target, name) as unknown)),
  });
  (module.memories as Map<MemoryType, unknown>).set("data", { ...module.memories.get("data")!, area: copied });
  expect(found()).toMatchObject([{ id: "E5", detail: "tiny data is replicated" }]);
});

describe("C1: permissions that are not strict", () => {
  test.each<[MemoryType, { writable?: boolean; executable?: boolean }, string]>([
    ["text", { writable: true }, "writable, executable, wanted read-only, executable"],
    ["rodata", { executable: true }, "read-only, executable, wanted read-only, not executable"],
    ["data", { executable: true }, "writable, executable, wanted writable, not executable"],
    ["ro-after-init", { writable: true }, "writable, not executable, wanted read-only, not executable"],
  ])("%s %j", (type, change, said) => {
    const { kernel, module, found } = loaded();
    kernel.tables.edit((editor) => editor.protect({ start: module.memories.get(type)!.area.start, pages: 1 }, change));
    expect(found()).toMatchObject(
      [0, 1].map((node) => ({ id: "C1", detail: `tiny ${type} page 0 on node ${node}: ${said}` })),
    );
  });

  test("a page that nobody maps", () => {
    const { kernel, module, found } = loaded();
    const { start } = module.memories.get("data")!.area;
    const { lookup } = kernel.tables;
    kernel.tables.lookup = (node, address) =>
      node === 1 && address === start ? undefined : lookup.call(kernel.tables, node, address);
    expect(found()).toMatchObject([
      { id: "C1", detail: "tiny data page 0 on node 1: a hole, wanted writable, not executable" },
    ]);
  });
});
