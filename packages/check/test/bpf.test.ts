/**
 * BPF programs under the checker: as they are nothing is found, on any node, with memory refused at every place; each
 * rule is broken once and said.
 */
import { CodePermissions, CodeWriter } from "@kreplica/bpf/api";
import { overlay, plugin, type Plugin } from "@kreplica/di";
import { addressOfFrame, Machine } from "@kreplica/hw-x86/api";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { KernelTables } from "@kreplica/mm-core";
import { Vmalloc } from "@kreplica/vmalloc";
import { describe, expect, test } from "vitest";
import { CheckedSystem } from "../src/checked-system.js";
import { bpfFamily, type BpfOperation } from "../src/families/bpf.js";
import { refusalFamily, type RefusalOperation } from "../src/families/refusal.js";

const kernel = (policy: string, plugins: readonly Plugin[] = []) => ({
  spec: smallMachine(2),
  policy,
  image: smallImage(),
  plugins,
});
const load = (program: number): BpfOperation => ({ op: "bpfload", program });
const unload = (program: number): BpfOperation => ({ op: "bpfunload", program });
const ON_EVERY_CPU = [0, 1, 2, 3].map((cpu): BpfOperation => ({ op: "bpfrun", program: 0, cpu }));

function outcome(policy: string, steps: readonly (BpfOperation | RefusalOperation)[], ...plugins: Plugin[]): string {
  try {
    new CheckedSystem(kernel(policy, plugins), { families: [bpfFamily, refusalFamily] }).run(steps);
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing";
}

describe.each(["single-copy", "per-node", "lazy-pgd"])("%s", (policy) => {
  test("programs come and go, fill a pack and take another, and every CPU fetches its node's copy", () => {
    const steps = [load(0), ...ON_EVERY_CPU, load(1), load(2), load(0), unload(1), load(1), unload(2), unload(0)];
    expect(outcome(policy, steps)).toBe("nothing");
  });

  test("memory refused at any of the first forty places: nothing is lost, and it can be loaded later", () => {
    const system = new CheckedSystem(kernel(policy), { families: [bpfFamily, refusalFamily] });
    for (let nth = 1; nth <= 40; nth++)
      system.run([
        { op: "refuse", nth },
        load(2),
        load(1),
        { op: "refuse", nth: 0 },
        load(2),
        load(1),
        ...ON_EVERY_CPU,
      ] as BpfOperation[]);
  });
});

describe("on two nodes each is noticed:", () => {
  const broken = (...bindings: Parameters<typeof plugin>[1]): string =>
    outcome("per-node", [load(0), ...ON_EVERY_CPU, unload(0)], plugin("broken", bindings));

  test("a program that is written on one node only", () => {
    const said = broken(
      overlay(CodeWriter, (writer, get) => {
        const [vmalloc, { memory }] = [get(Vmalloc), get(Machine)];
        return Object.assign(Object.create(writer) as CodeWriter, {
          copy: (address: bigint, bytes: Uint8Array): void =>
            memory.writeBytes(addressOfFrame(vmalloc.find(address)!.frames[0]!) + (address & 0xfffn), bytes),
        });
      }),
    );
    expect(said).toMatch(/^E2: /);
  });

  test("traps that are not put over a program when it goes", () => {
    const said = broken(
      overlay(CodeWriter, (writer) => Object.assign(Object.create(writer) as CodeWriter, { set: () => undefined })),
    );
    expect(said).toMatch(/^E2: node 0 has 0x[0-9a-f]+ in its copy of the pack at 0x[0-9a-f]+, not 0xcc/);
  });

  test("a pack that stays writable", () => {
    const said = broken(
      overlay(CodePermissions, (permissions) =>
        Object.assign(Object.create(permissions) as CodePermissions, { readOnlyExecutable: () => undefined }),
      ),
    );
    expect(said).toMatch(/^E10: the pack at 0x[0-9a-f]+ is writable on node 0/);
  });

  test("a pack that one node cannot execute", () => {
    const said = broken(
      overlay(CodePermissions, (permissions, get) => {
        const tables = get(KernelTables);
        return Object.assign(Object.create(permissions) as CodePermissions, {
          readOnlyExecutable: (range: Parameters<CodePermissions["readOnlyExecutable"]>[0]): void => {
            permissions.readOnlyExecutable(range);
            tables.edit((editor) => editor.protect(range, { executable: false }));
          },
        });
      }),
    );
    expect(said).toMatch(/^E10: the pack at 0x[0-9a-f]+ is not executable on node 0/);
  });
});
