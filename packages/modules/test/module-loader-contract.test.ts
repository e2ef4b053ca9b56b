/** The contract of ModuleLoader on ours, and on loaders that each break a promise. */
import { describe, expect, test } from "vitest";
import type { PhysMemory } from "@kreplica/hw-x86/api";
import { KernelTables } from "@kreplica/mm-core/api";
import type { LoadedModule, ModuleLoader } from "../src/index.js";
import { ModuleError } from "../src/index.js";
import { type LoaderSubject, moduleLoaderContract } from "../src/testing.js";
import { loaderKernel } from "./support/kernel.js";

const ours = (holders: readonly number[]): LoaderSubject => {
  const { loader, host, vm, allocator, view, assembly } = loaderKernel({ holders });
  return { loader, host, vm, allocator, view, tables: assembly.get(KernelTables) };
};

test.each([[[0]], [[0, 1]], [[1, 3]]])("ours keeps it on holders %j", (holders) => {
  moduleLoaderContract(() => ours(holders));
});

describe("is not kept by a loader", () => {
  type Wrong = (right: ModuleLoader, subject: LoaderSubject & { readonly memory: PhysMemory }) => Partial<ModuleLoader>;
  const sealed =
    (change: Record<string, boolean>, types: readonly string[]): Wrong =>
    (right, { tables, view }) => ({
      load: (file, node) => {
        const module = right.load(file, node);
        for (const [type, { area }] of module.memories)
          if (types.includes(type) && view.holders.length > 1) tables.edit((editor) => editor.protect(area, change));
        return module;
      },
    });
  const wrong: Record<string, [broken: string, Wrong]> = {
    "that leaves code writable": ["code is executable and not writable", sealed({ writable: true }, ["text"])],
    "that leaves data executable": ["code is executable and not writable", sealed({ executable: true }, ["data"])],
    "that runs the init function itself": [
      "a loaded module is coming",
      (right) => ({
        load: (file, node) => {
          const module = right.load(file, node);
          right.finishInit(module);
          return module;
        },
      }),
    ],
    "that finishes nothing": ["once its init function has run", () => ({ finishInit: () => {} })],
    "that copies one byte wrong": [
      "the same bytes on every node",
      (right, { tables, view, memory }) => ({
        load: (file, node) => {
          const module = right.load(file, node);
          memory.write32(tables.lookup(view.holders[1]!, module.memories.get("text")!.area.start)!.frame, 30, 0xbad);
          return module;
        },
      }),
    ],
    "that forgets the names": ["a loaded module is found by its name", () => ({ find: () => undefined })],
    "that knows the first page alone": [
      "by every address",
      (right) => ({
        containing: (address) => (right.containing(address - 4096n) ? undefined : right.containing(address)),
      }),
    ],
    "that lists the last first": [
      "in the order of loading",
      (right) => ({
        get loaded() {
          return [...right.loaded].reverse();
        },
      }),
    ],
    "that loads twice": [
      "a name is loaded once",
      (right) => ({
        load: (file, node) => {
          try {
            return right.load(file, node);
          } catch (error) {
            if (error instanceof ModuleError && error.code === "already-loaded") return right.loaded[0]!;
            throw error;
          }
        },
      }),
    ],
    "that lets a used module go": [
      "the used one goes last",
      (right) => ({
        unload: (name) => {
          for (const user of [...(right.find(name)?.users ?? [])]) right.unload(user);
          right.unload(name);
        },
      }),
    ],
    "that keeps what goes": [
      "what goes takes everything",
      (right) => {
        const gone = new Set<string>();
        return {
          unload: (name) => {
            if (!right.find(name) || right.find(name)!.users.size > 0 || name === "stays" || gone.has(name))
              right.unload(name);
            else gone.add(name);
          },
        };
      },
    ],
    "that leaves half of what is refused": [
      "a load that is refused leaves nothing",
      (right, { vm, view }) => ({
        load: (file, node) => {
          try {
            return right.load(file, node);
          } catch (error) {
            vm.allocate({ bytes: 4096, placement: { node: view.master }, purpose: "module" });
            throw error;
          }
        },
      }),
    ],
    "that says no and not why": [
      "one short of memory says so",
      (right) => ({
        load: (file, node): LoadedModule => {
          try {
            return right.load(file, node);
          } catch (error) {
            if (error instanceof ModuleError && error.code === "no-memory") throw new ModuleError("bad-elf", "x", "no");
            throw error;
          }
        },
      }),
    ],
  };
  test.each(Object.entries(wrong))("%s", (_what, [broken, change]) => {
    const make = (): LoaderSubject => {
      const kernel = loaderKernel({ holders: [0, 1] });
      const subject: LoaderSubject = {
        loader: kernel.loader,
        host: kernel.host,
        vm: kernel.vm,
        allocator: kernel.allocator,
        view: kernel.view,
        tables: kernel.assembly.get(KernelTables),
      };
      const changes = change(kernel.loader, { ...subject, memory: kernel.memory });
      return {
        ...subject,
        loader: new Proxy(kernel.loader, {
          get: (target, key) => {
            const value: unknown =
              key in changes ? changes[key as keyof ModuleLoader] : Reflect.get(target, key, target);
            return typeof value === "function" ? (value.bind(target) as unknown) : value;
          },
        }),
      };
    };
    expect(() => {
      moduleLoaderContract(make, { shrink: false });
    }).toThrow(broken);
  });
});
