/**
 * BPF programs: verified, compiled into a pack that they share, fetched by CPUs, unloaded; each pack with a copy on
 * every node. After every step on them E10 and E11, and the bytes: on each node programs where programs are, traps
 * everywhere else.
 */
import {
  assemble,
  type BpfHost,
  fixedHost,
  type BpfObject,
  kernelCode,
  LoadedObject,
  ProgramPacks,
  RegionMemory,
} from "@kreplica/bpf";
import { BpfError, PackSize, Packs } from "@kreplica/bpf/api";
import { bind, bindValue, override, type Plugin, plugin } from "@kreplica/di";
import { addressOfFrame, hex, PAGE, PAGE_BYTES } from "@kreplica/hw-x86/api";
import { textPatch } from "@kreplica/text-patch";
import { checkArea, checkPageCounts, Vmalloc } from "@kreplica/vmalloc";
import type { Drawing } from "../drawing.js";
import type { FamilyAtWork, Operation, OperationFamily } from "../family.js";
import type { Subject } from "../subject.js";
import { AREA_PLUGINS } from "./area-plugins.js";
import { fetchFromArea, ownRootsOnly } from "./own-copy.js";
import type { RefusalOperation } from "./refusal.js";
import { firstWindowTable, fullCheckNowAndThen, quietly, splitDirectMap } from "./splits.js";

export type BpfOperation =
  | { readonly op: "bpfload" | "bpfunload"; readonly program: number }
  | { readonly op: "bpfrun"; readonly program: number; readonly cpu: number };

const TRAP = 0xcc;
/** Bytes that a CPU fetches at once. */
const LINE = 64;

/** The second and the third do not fit one pack. */
const TEXTS: readonly (readonly [name: string, text: string])[] = [
  ["pass", "r0 = 1\nexit"],
  ["sum", `r0 = 0\n${"r0 += 7\n".repeat(330)}exit`],
  ["mix", `r0 = 3\nr6 = 5\n${"r0 ^= r6\nr6 += r0\n".repeat(200)}exit`],
];
const OBJECT: BpfObject = {
  license: "MIT",
  maps: [],
  structOps: [],
  btf: undefined,
  programs: TEXTS.map(([name, text]) => ({
    name,
    section: "socket",
    type: "socket_filter",
    target: "",
    code: assemble(text),
    functions: [{ name, start: 0 }],
    lines: new Map(),
  })),
};

/** Packs with a copy on every node; of a page, so that a run fills one and needs the next. */
const BPF_PLUGINS: readonly Plugin[] = [
  ...AREA_PLUGINS,
  textPatch,
  ...override([kernelCode(true)], bindValue(PackSize, { bytes: PAGE_BYTES })),
  plugin("bpf packs", [bind(Packs, ProgramPacks)]),
];

const nameOf = (program: number): string => TEXTS[program % TEXTS.length]![0];

export const bpfFamily: OperationFamily<BpfOperation> = {
  name: "bpf",
  kinds: {
    bpfload: { weight: 1, fields: { program: "number" } },
    bpfunload: { weight: 1, fields: { program: "number" } },
    bpfrun: { weight: 1, fields: { program: "number", cpu: "number" } },
  },
  draw: (op, drawing) => {
    const program = drawing.random(TEXTS.length);
    return op === "bpfrun" ? { op, program, cpu: drawing.cpu() } : { op, program };
  },
  describe(o) {
    const program = `BPF program ${nameOf(o.program)}`;
    if (o.op === "bpfrun") return `CPU ${o.cpu} fetches ${program}`;
    return o.op === "bpfload" ? `${program} is verified, compiled and put into a pack` : `${program} is unloaded`;
  },
  rare: true,
  scenes: [refusedScene],
  plugins: BPF_PLUGINS,
  start: (system) => new BpfAtWork(system),
};

/** Memory gives out anywhere in the life of a pack: copies and tables ask for up to about a dozen frames. */
function refusedScene(drawing: Drawing): Operation[] {
  const program = drawing.random(TEXTS.length);
  const steps: (BpfOperation | RefusalOperation)[] = [
    { op: "refuse", nth: 1 + drawing.random(12) },
    { op: "bpfload", program },
    { op: "refuse", nth: 0 },
    { op: "bpfload", program },
    { op: "bpfrun", program, cpu: drawing.cpu() },
    { op: "bpfunload", program },
  ];
  return steps;
}

class BpfAtWork implements FamilyAtWork<BpfOperation> {
  private readonly packs: Packs;
  private readonly vmalloc: Vmalloc;
  private readonly host: BpfHost;
  private readonly ownRootsOnly: boolean;
  private readonly loaded = new Map<string, LoadedObject>();

  constructor(private readonly system: Subject) {
    const { assembly, machine } = system.parts;
    this.packs = assembly.get(Packs);
    this.vmalloc = assembly.get(Vmalloc);
    this.ownRootsOnly = ownRootsOnly(system);
    // The programs have no maps and call nothing: what a host gives is never asked for.
    this.host = fixedHost(machine, new RegionMemory());
    splitDirectMap(system);
    firstWindowTable(system, this.vmalloc);
  }

  perform(o: BpfOperation): void {
    quietly(this.system, () => {
      const name = nameOf(o.program);
      const object = this.loaded.get(name);
      if (o.op === "bpfrun") {
        if (object) this.fetch(name, object, o.cpu);
        return;
      }
      if (o.op === "bpfunload") {
        object?.unload();
        this.loaded.delete(name);
      } else if (!object) this.load(name);
      this.check();
    });
  }

  compare(): void {
    this.check();
    fullCheckNowAndThen(this.system);
  }

  undo(): void {
    quietly(this.system, () => {
      for (const object of this.loaded.values()) object.unload();
      this.loaded.clear();
      this.packs.dispose();
      this.vmalloc.purge();
    });
    // The last pack goes here and nowhere else: what it leaves behind is this run's, not the next one's.
    this.checkCounts();
  }

  private load(name: string): void {
    try {
      this.loaded.set(name, new LoadedObject(OBJECT, this.host, { packs: this.packs, programs: [name] }));
    } catch (error) {
      if (!(error instanceof BpfError) || error.code !== "image-no-space") throw error;
    }
  }

  /** A CPU fetches all of a program, from its own node's copy. */
  private fetch(name: string, object: LoadedObject, cpu: number): void {
    const { entry, machineCode } = object.program(name);
    const area = this.vmalloc.find(entry)!;
    for (let at = entry; at < entry + BigInt(machineCode!.length); at += BigInt(LINE))
      fetchFromArea(this.system, cpu, area, at, {
        own: this.ownRootsOnly,
        rule: "E11",
        can: `fetch BPF program ${name} at ${hex(at)}`,
        does: `fetches BPF program ${name}`,
      });
  }

  private check(): void {
    const { system } = this;
    const { parts } = system;
    const subject = { ...parts, vmalloc: this.vmalloc, memory: parts.machine.memory };
    for (const { address } of this.packs.report()) {
      const found = checkArea(subject, this.vmalloc.find(address)!)[0];
      if (found) system.fail(found.id, found.detail);
      this.checkPack(address, this.wanted(address));
    }
    this.checkCounts();
  }

  private checkCounts(): void {
    const { parts } = this.system;
    const found = checkPageCounts({ ...parts, vmalloc: this.vmalloc, memory: parts.machine.memory })[0];
    if (found) this.system.fail(found.id, found.detail);
  }

  /** What stands in a pack: programs that were loaded there, and traps. */
  private wanted(pack: bigint): Uint8Array {
    const bytes = new Uint8Array(PAGE_BYTES).fill(TRAP);
    for (const object of this.loaded.values())
      for (const { entry, machineCode } of object.programs)
        if (entry >= pack && entry < pack + PAGE) bytes.set(machineCode!, Number(entry - pack));
    return bytes;
  }

  private checkPack(address: bigint, wanted: Uint8Array): void {
    const { system } = this;
    const { tables, machine } = system.parts;
    const bytes = new Uint8Array(PAGE_BYTES);
    for (const node of system.holders) {
      const leaf = tables.lookup(node, address);
      if (!leaf) return system.fail("E10", `the pack at ${hex(address)} is not mapped on node ${node}`);
      if (leaf.writable || !leaf.executable)
        system.fail(
          "E10",
          `the pack at ${hex(address)} is ${leaf.writable ? "writable" : "not executable"} on node ${node}`,
        );
      machine.memory.readBytes(addressOfFrame(leaf.frame), bytes);
      const at = bytes.findIndex((byte, i) => byte !== wanted[i]);
      if (at >= 0)
        system.fail(
          "E2",
          `node ${node} has ${hex(bytes[at]!)} in its copy of the pack at ${hex(address + BigInt(at))}, not ${hex(wanted[at]!)}`,
        );
    }
  }
}
