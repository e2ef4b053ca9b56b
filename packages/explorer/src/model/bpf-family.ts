/**
 * BPF programs loaded and unloaded: verified, compiled, and put into a pack of the module range that all nodes share,
 * as patch 12 of the series leaves it. An operation of the explorer's alone: the checker draws none.
 */
import { assemble, bpf, Helpers, LoadedObject, Packs, ProgramMemory } from "@kreplica/bpf";
import { FAMILIES, type OperationFamily } from "@kreplica/check";
import type { BootParts } from "@kreplica/kernel";
import { Vmalloc } from "@kreplica/vmalloc";

/** What can be loaded, in words and as source. */
const PROGRAMS = [
  { name: "factorial", source: "r0 = 1; r2 = 5; loop: r0 *= r2; r2 += -1; if r2 != 0 goto loop; exit" },
  { name: "filter", source: "r0 = *(u64 *)(r1 + 0); if r0 > 7 goto out; r0 = 0; out: exit" },
] as const;

export type BpfOperation =
  | { readonly op: "bpfload"; readonly program: number }
  | { readonly op: "bpfunload"; readonly nth: number };

const programOf = (number: number): (typeof PROGRAMS)[number] => PROGRAMS[number % PROGRAMS.length]!;

export const bpfFamily: OperationFamily<BpfOperation> = {
  name: "bpf",
  rare: true,
  kinds: {
    bpfload: { weight: 1, fields: { program: "number" } },
    bpfunload: { weight: 1, fields: { nth: "number" } },
  },
  draw: (op, drawing) =>
    op === "bpfload" ? { op, program: drawing.random(PROGRAMS.length) } : { op, nth: drawing.random(2) },
  describe: (o) =>
    o.op === "bpfload"
      ? `a BPF program, ${programOf(o.program).name}, is verified, compiled and loaded`
      : `BPF program ${o.nth} of those loaded is unloaded`,
  // Those of patching's family, the same values: each is installed once.
  plugins: [...FAMILIES.find(({ name }) => name === "patching")!.plugins!, bpf()],
  start: ({ parts }) => new BpfAtWork(parts),
};

/** Programs of one kernel. */
class BpfAtWork {
  private readonly loaded: LoadedObject[] = [];

  constructor(private readonly parts: BootParts) {
    // Tables that the first pack of code needs stay, as in Linux: they are no leak of the story.
    this.load(0);
    this.undo();
  }

  perform(operation: BpfOperation): void {
    if (operation.op === "bpfload") this.load(operation.program);
    else if (this.loaded.length > 0) this.loaded.splice(operation.nth % this.loaded.length, 1)[0]!.unload();
  }

  undo(): void {
    const { assembly } = this.parts;
    for (const each of this.loaded.splice(0)) each.unload();
    assembly.get(Packs).dispose();
    assembly.get(Helpers).dispose();
    assembly.get(Vmalloc).purge();
  }

  private load(number: number): void {
    const { assembly, machine } = this.parts;
    const { name, source } = programOf(number);
    const code = assemble(source.replaceAll("; ", "\n"));
    const program = {
      name,
      section: "raw_tp",
      type: "raw_tracepoint" as const,
      target: "",
      code,
      functions: [{ name, start: 0 }],
      lines: new Map(),
    };
    this.loaded.push(
      new LoadedObject(
        { license: "GPL", programs: [program], maps: [], structOps: [], btf: undefined },
        {
          memory: assembly.get(ProgramMemory),
          cpus: machine.cpuIds.length,
          cpu: () => 0,
          node: () => 0,
          now: () => 0n,
          random: () => 0,
          task: () => ({ pidTgid: 1n, name: "explorer" }),
          trace: () => undefined,
        },
        { packs: assembly.get(Packs), helperAddress: (id) => assembly.get(Helpers).address(id) },
      ),
    );
  }
}
