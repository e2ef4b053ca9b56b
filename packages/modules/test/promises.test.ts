/**
 * Promises of the loader that no step of a plain load shows: of thunks, of errors' causes, of findings, of per-CPU
 * room.
 */
import { ElfError } from "@kreplica/elf";
import { MmError, TextUsers } from "@kreplica/mm-core/api";
import { SetMemory, SetMemoryError } from "@kreplica/set-memory/api";
import { TextPatchError } from "@kreplica/text-patch/api";
import { VmallocError } from "@kreplica/vmalloc/api";
import { describe, expect, test } from "vitest";
import {
  checkModules,
  type LoadedModule,
  MODULE_INVARIANTS,
  ModuleError,
  ModulePatcher,
  modulePolicy,
  placements,
  readModule,
  type ModulePolicy,
} from "../src/index.js";
import { refusing } from "../src/patch-tables.js";
import { PercpuReserve } from "../src/percpu.js";
import { isNamed } from "../src/resolve.js";
import { tinyModule, type TinyModule } from "../src/testing.js";
import { loaderKernel, type LoaderKernel, type LoaderOptions } from "./support/kernel.js";
import { nothingLeft } from "./support/refused.js";

const PAGE = 4096n;
const load = (kernel: LoaderKernel, options: TinyModule = {}, node = 0): LoadedModule =>
  kernel.loader.load(readModule(tinyModule(options)), node);
const findings = (kernel: LoaderKernel): string[] =>
  checkModules({ ...kernel, vmalloc: kernel.vm }).map(({ id, detail }) => `${id}: ${detail}`);
/** The error of an act that is refused. */
function refused(act: () => unknown): Error {
  try {
    act();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was refused");
}

describe("a module with thunks of its own", () => {
  /** A kernel whose modules take so many thunks, each a jump over a register of its own. */
  function withThunks(taken: number, options: LoaderOptions = {}) {
    const kernel = loaderKernel(options);
    const given: (bigint | undefined)[] = [];
    kernel.assembly.get(ModulePatcher).finalize = (_image, _tables, thunks) => {
      for (let nth = 0; nth < taken; nth++) given.push(thunks!.take(nth % 8));
      return {};
    };
    return { kernel, given };
  }
  const only = (...types: string[]): ModulePolicy =>
    modulePolicy("some", placements.local, ({ type }) => types.includes(type));

  test("has them as text: run and not written on every node, what was written there, and found by address", () => {
    const { kernel, given } = withThunks(3);
    const module = load(kernel, {}, 1);
    expect(module.thunkPages.map(({ pages, purpose }) => [pages, purpose])).toEqual([[1, "module"]]);
    const [area] = module.thunkPages;
    expect(given.map((at) => Number(at! - area!.start))).toEqual([32, 35, 38]);
    for (const node of [0, 1]) {
      expect(kernel.tables.lookup(node, area!.start)).toMatchObject({ writable: false, executable: true });
      const bytes = new Uint8Array(12);
      kernel.vm.read(node, area!, 30, bytes);
      expect([...bytes]).toEqual([0xcc, 0xcc, 0xff, 0xe0, 0xcc, 0xff, 0xe1, 0xcc, 0xff, 0xe2, 0xcc, 0xcc]);
    }
    expect(kernel.loader.containing(area!.start + 40n)).toBe(module);
    expect(kernel.loader.containing(area!.start + PAGE)).toBeUndefined();
    expect(findings(kernel)).toEqual([]);
    kernel.loader.unload("tiny");
    nothingLeft(kernel);
  });

  test.each<[string, ModulePolicy, boolean]>([
    ["text", only("text"), true],
    ["text and rodata", only("text", "rodata"), true],
    ["rodata alone", only("rodata"), false],
    ["nothing", only(), false],
  ])("has copies of them where %s has: %#", (_, policy, copies) => {
    const { kernel } = withThunks(1, { policy });
    const module = load(kernel);
    const [area] = module.thunkPages;
    expect(area!.state).toBe(copies ? "replicated" : "shared");
    const frames = new Set([0, 1].map((node) => kernel.tables.lookup(node, area!.start)!.frame));
    expect(frames.size).toBe(copies ? 2 : 1);
    expect([...module.memories.values()].map(({ type, replication }) => [type, replication !== undefined])).toEqual(
      [...module.memories.keys()].map((type) => [type, policy.replicate({ type } as never)]),
    );
    kernel.loader.unload("tiny");
    nothingLeft(kernel);
  });

  test("takes another page where one is full, on the node the policy says; none is no reason to fail", () => {
    const policy = modulePolicy("far", placements.given(1), () => false);
    const { kernel, given } = withThunks(700, { policy });
    const module = load(kernel);
    expect(module.thunkPages.length).toBe(2);
    expect(module.thunkPages.map(({ node }) => node)).toEqual([1, 1]);
    expect(new Set(given).size).toBe(700);
    const last = given.at(-1)!;
    expect(kernel.vm.find(last)).toBe(module.thunkPages[1]);
    const bytes = new Uint8Array(3);
    kernel.vm.read(0, module.thunkPages[1]!, Number(last - module.thunkPages[1]!.start), bytes);
    expect([...bytes]).toEqual([0xff, 0xe0 + (699 % 8), 0xcc]);
    kernel.loader.unload("tiny");
    const { allocate } = kernel.vm;
    const broken = withThunks(1);
    broken.kernel.assembly.get(ModulePatcher).finalize = (_image, _tables, thunks) => {
      broken.kernel.vm.allocate = () => {
        throw new VmallocError("no-space", 0n, "no room");
      };
      broken.given.push(thunks!.take(0));
      broken.kernel.vm.allocate = allocate;
      return {};
    };
    expect([load(broken.kernel).thunkPages, broken.given]).toEqual([[], [undefined]]);
  });
});

describe("an error in a module's name has for its cause what was thrown", () => {
  test("by those who read its file and its tables", () => {
    const broken = refused(() => readModule(new Uint8Array(10), "short.ko"));
    expect([broken instanceof ModuleError, broken.cause instanceof ElfError]).toEqual([true, true]);
    expect(broken.message).toContain((broken.cause as Error).message);
    const image = { file: { name: "tiny" } } as Parameters<typeof refusing>[0];
    const cause = new TextPatchError("not-decodable", 5n, "no patch");
    const site = refused(() =>
      refusing(image, () => {
        throw cause;
      }),
    );
    expect([(site as ModuleError).code, site.cause]).toEqual(["bad-site", cause]);
    const other = new RangeError("ours");
    expect(
      refused(() =>
        refusing(image, () => {
          throw other;
        }),
      ),
    ).toBe(other);
    expect(refusing(image, () => 5)).toBe(5);
  });

  test("by those who give it memory, protect it, and keep its addresses", () => {
    const small = loaderKernel({ framesPerNode: 4 });
    const memory = refused(() => load(small));
    expect([(memory as ModuleError).code, memory.cause instanceof VmallocError]).toEqual(["no-memory", true]);
    const kernel = loaderKernel();
    const setMemory = kernel.assembly.get(SetMemory);
    const { changeAll } = setMemory;
    const cause = new SetMemoryError("out-of-frames", 0n, "no frame for a table");
    setMemory.changeAll = () => {
      throw cause;
    };
    const rights = refused(() => load(kernel));
    expect([rights.cause, rights.message]).toEqual([
      cause,
      expect.stringContaining("its memory cannot be protected: out-of-frames: 0x0: no frame for a table"),
    ]);
    setMemory.changeAll = () => {
      throw new RangeError("ours");
    };
    expect(refused(() => load(kernel))).toBeInstanceOf(RangeError);
    setMemory.changeAll = changeAll;
    load(kernel);
    const users = kernel.assembly.get(TextUsers);
    users.add({ name: "a probe", sites: () => [], refusal: () => "it is being written", forget: () => undefined });
    const kept = refused(() => kernel.loader.unload("tiny"));
    expect([(kept as ModuleError).code, kept.cause instanceof MmError]).toEqual(["text-in-use", true]);
    expect(kept.message).toContain("it is being written");
    const broken = loaderKernel();
    load(broken);
    const ours = new RangeError("ours");
    broken.assembly.get(TextUsers).add({
      name: "a broken probe",
      sites: () => [],
      refusal: () => {
        throw ours;
      },
      forget: () => undefined,
    });
    expect(refused(() => broken.loader.unload("tiny"))).toBe(ours);
  });
});

test("findings name the module, its memory, the page and the node", () => {
  const kernel = loaderKernel();
  const module = load(kernel, { name: "named" });
  expect(findings(kernel)).toEqual([]);
  const { area } = module.memories.get("text")!;
  kernel.tables.edit((editor) => editor.protect({ start: area.start + PAGE, pages: 1 }, { writable: true }));
  expect(findings(kernel)).toEqual(
    [0, 1].map((node) => `C1: named text page 1 on node ${node}: writable, executable, wanted read-only, executable`),
  );
  expect(MODULE_INVARIANTS.map(({ id }) => id)).toEqual(["E3", "E4", "E5", "E9"]);
  for (const { id, when, where, sentence } of MODULE_INVARIANTS) {
    expect(when, id).toMatch(/^(always|module load|stress)$/);
    expect(where, id).toEqual([expect.stringMatching(/^(areas|run|test packages\/\S+\.test\.ts)$/)]);
    expect(sentence.length, id).toBeGreaterThan(40);
  }
});

test("per-CPU room is the lowest that fits, in holes too, to the last byte; what was never given is no matter", () => {
  const reserve = new PercpuReserve(64, 256);
  expect([reserve.take(32, 8), reserve.take(32, 8), reserve.take(32, 8)]).toEqual([64, 96, 128]);
  reserve.give(96);
  reserve.give(64);
  reserve.give(999);
  expect(reserve.used).toBe(32);
  expect([reserve.take(40, 8), reserve.take(25, 8), reserve.take(24, 8)]).toEqual([64, 160, 104]);
  expect([reserve.take(1, 1), reserve.take(1, 64)]).toEqual([185, 192]);
  expect([reserve.take(128, 1), reserve.take(127, 1), reserve.take(1, 1)]).toEqual([undefined, 193, 186]);
  expect(reserve.used).toBe(32 + 40 + 25 + 24 + 1 + 1 + 127 + 1);
  expect(new PercpuReserve(0).take(8192, 8)).toBe(0);
  expect(new PercpuReserve(0).take(8193, 8)).toBeUndefined();
});

test("a namespace is a list of modules only where it says so: any other is imported by its name", () => {
  expect(isNamed("module:kvm", "kvm")).toBe(true);
  // As long as what stands in front of a list.
  expect([isNamed("CRYPTO_kvm", "kvm"), isNamed("MODULE:kvm", "kvm"), isNamed("kvm", "kvm")]).toEqual([
    false,
    false,
    false,
  ]);
});

test("what copies cost is counted of a load alone, and is nothing where there are none", () => {
  const kernel = loaderKernel();
  const cost = (name: string) => load(kernel, { name }).replicationCost;
  const first = cost("first");
  expect([first.requests > 0, first.stores > 0, first.flushes]).toEqual([true, true, 1]);
  // Table pages that the first took are there already.
  expect(cost("second").requests).toBeLessThanOrEqual(first.requests);
  const single = loaderKernel({ policy: modulePolicy("none", placements.local, () => false) });
  load(single, { name: "first" });
  expect(load(single, { name: "second" }).replicationCost).toEqual({ stores: 0, flushes: 0, requests: 0 });
});

test("a module's symbols are those with a name; what it exports for GPL modules alone is marked so", () => {
  const kernel = loaderKernel();
  // An entry: at its own address, its name right behind it, no namespace.
  const entry = Uint8Array.of(0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, ...[..."own\0"].map((each) => each.charCodeAt(0)));
  const module = load(kernel, {
    exports: ["plain"],
    sections: [{ name: "__ksymtab_gpl", flags: 2, bytes: entry, align: 4 }],
    symbols: [
      { name: "", section: ".data" },
      { name: "named", section: ".data" },
    ],
  });
  expect([module.symbol(""), module.symbol("named")]).toEqual([undefined, module.memories.get("data")!.area.start]);
  expect(module.exports.map(({ name, gpl, owner }) => [name, gpl, owner])).toEqual([
    ["plain", false, "tiny"],
    ["own", true, "tiny"],
  ]);
  expect(new ModuleError("in-use", "tiny", "why").name).toBe("ModuleError");
});
