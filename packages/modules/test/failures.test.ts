/** What a load, an end of init or an unload that is refused in its last step leaves: all as it was. */
import { describe, expect, test } from "vitest";
import { type AddressRange, PAGE } from "@kreplica/hw-x86/api";
import { TextUsers } from "@kreplica/mm-core/api";
import { SetMemory, SetMemoryError } from "@kreplica/set-memory/api";
import { ModulePatcher, readModule, type LoadedModule } from "../src/index.js";
import { tinyModule, type TinyModule } from "../src/testing.js";
import { loaderKernel, type LoaderKernel } from "./support/kernel.js";
import { nothingLeft, refusal } from "./support/refused.js";

const load = (kernel: LoaderKernel, options: TinyModule = {}): LoadedModule =>
  kernel.loader.load(readModule(tinyModule(options)), 0);
/** Runs with every change of permissions refused, as where a large leaf cannot be split for want of a frame. */
function withoutPermissions(kernel: LoaderKernel, act: () => void): void {
  const setMemory = kernel.assembly.get(SetMemory);
  const { changeAll } = setMemory;
  setMemory.changeAll = ([change]) => {
    throw new SetMemoryError("out-of-frames", change!.range.start, "no frame for a table");
  };
  try {
    act();
  } finally {
    setMemory.changeAll = changeAll;
  }
}
/** Its branches take thunks of their own, a page of them. */
function withThunks(kernel: LoaderKernel): void {
  kernel.assembly.get(ModulePatcher).finalize = (_image, _tables, thunks) => {
    thunks!.take(0);
    return {};
  };
}

test("a load that cannot be protected exports nothing, uses nobody and gives all memory back", () => {
  const kernel = loaderKernel();
  withThunks(kernel);
  const base = load(kernel, { name: "base", exports: ["shared"] });
  const user: TinyModule = {
    name: "user",
    exports: ["own"],
    symbols: [{ name: "shared" }],
    sections: [{ name: ".data..percpu", flags: 3, bytes: new Uint8Array(8192), align: 8 }],
  };
  withoutPermissions(kernel, () => {
    expect(refusal(() => load(kernel, user))).toBe("no-memory ENOMEM");
  });
  expect([kernel.loader.find("user"), kernel.host.symbols.find("own"), [...base.users]]).toEqual([
    undefined,
    undefined,
    [],
  ]);
  // All of the per-CPU room is there for it again.
  expect([...load(kernel, user).uses]).toEqual(["base"]);
  kernel.loader.unload("user");
  kernel.loader.unload("base");
  nothingLeft(kernel);
});

test("a module whose constants cannot be sealed after init goes as a whole", () => {
  const kernel = loaderKernel();
  withThunks(kernel);
  const module = load(kernel, { exports: ["own"] });
  withoutPermissions(kernel, () => {
    expect(refusal(() => kernel.loader.finishInit(module))).toBe("no-memory ENOMEM");
  });
  expect([module.state, kernel.host.symbols.find("own")]).toEqual(["going", undefined]);
  nothingLeft(kernel);
  expect(refusal(() => kernel.loader.finishInit(module))).toBe("not-loaded ENOENT");
});

describe("somebody who keeps addresses of its text", () => {
  const using = (): { kernel: LoaderKernel; module: LoadedModule; keeps: { text: boolean }; gone: AddressRange[] } => {
    const kernel = loaderKernel();
    withThunks(kernel);
    const module = load(kernel, { exports: ["own"] });
    const keeps = { text: true };
    const gone: AddressRange[] = [];
    kernel.assembly.get(TextUsers).add({
      name: "a probe",
      sites: () => [],
      refusal: () => (keeps.text ? "a probe is being written" : undefined),
      forget: (range) => {
        expect(kernel.vm.find(range.start)).toBeDefined();
        gone.push(range);
      },
    });
    return { kernel, module, keeps, gone };
  };

  test("may refuse that it goes, and all stays as it was", () => {
    const { kernel, module, gone } = using();
    expect(refusal(() => kernel.loader.unload("tiny"))).toBe("text-in-use EBUSY");
    expect([module.state, kernel.loader.find("tiny"), kernel.host.symbols.find("own")?.owner, gone]).toEqual([
      "coming",
      module,
      "tiny",
      [],
    ]);
    expect(refusal(() => kernel.loader.finishInit(module))).toBe("text-in-use EBUSY");
    expect([module.state, module.memories.has("init-text")]).toEqual(["coming", true]);
  });

  test("is told every range that goes, thunks too, while it is still there", () => {
    const { kernel, module, keeps, gone } = using();
    keeps.text = false;
    const whole = (areas: readonly { readonly start: bigint; readonly pages: number }[]): AddressRange[] =>
      areas.map(({ start, pages }) => ({ start, end: start + BigInt(pages) * PAGE }));
    const areasOf = (init: boolean) =>
      [...module.memories.values()].filter(({ type }) => type.startsWith("init") === init).map(({ area }) => area);
    const init = whole(areasOf(true));
    const rest = whole([...areasOf(false), ...module.thunkPages]);
    // Vmalloc asks once more when it frees, so that some are told twice.
    const told = (ranges: readonly AddressRange[]): Set<string> =>
      new Set(ranges.map(({ start, end }) => `${start} ${end}`));
    kernel.loader.finishInit(module);
    expect(told(gone.splice(0))).toEqual(told(init));
    kernel.loader.unload("tiny");
    expect(told(gone)).toEqual(told(rest));
    nothingLeft(kernel);
  });
});

test("sites in init memory are forgotten with it, all others stay", () => {
  const kernel = loaderKernel();
  const sites = ["init_module", "cleanup_module"].map((symbol, i) => ({ offset: 4 * i, type: 2, symbol, addend: 0 }));
  const module = load(kernel, {
    sections: [{ name: ".return_sites", flags: 2, bytes: new Uint8Array(8), align: 4, relocations: sites }],
  });
  const [init, exit] = [module.symbol("init_module"), module.symbol("cleanup_module")];
  expect([module.patchTables.returns, module.sites.return]).toEqual([[init, exit], 2]);
  kernel.loader.finishInit(module);
  expect(module.patchTables.returns).toEqual([exit]);
});
