/**
 * Programs attached to what the kernel runs all the time, on every node: tracing programs to a kernel function by a
 * trampoline, XDP programs behind the dispatcher, struct_ops programs behind their structure's image. What each kind of
 * image costs in memory, writes and shootdowns is counted while it is made.
 */
import { PAGE_BYTES } from "@kreplica/hw-x86/api";
import {
  type BpfObject,
  CodeAreas,
  CodePermissions,
  KernelDispatcher,
  KernelStructOps,
  KernelTrampolines,
  type LoadedProgram,
  type StructOpsImage,
  type TraceTarget,
} from "@kreplica/bpf";
import type { Booted } from "@kreplica/kernel";
import { KernelTables } from "@kreplica/mm-core";
import { TextPoke } from "@kreplica/text-patch";
import { Vmalloc } from "@kreplica/vmalloc";
import { type BpfBench, type BpfNodeRun, homeOf, inputFor, runOnCpu } from "./bpf-node-run.js";

/** What an image of generated code is. */
export type ImageKind = "pack" | "trampoline" | "dispatcher" | "struct_ops";
/** What making images of one kind took. */
export interface ImageCost {
  readonly kind: ImageKind;
  readonly images: number;
  /** Memory of code by node. */
  readonly bytes: readonly { readonly node: number; readonly bytes: number }[];
  /** Frames that writes to read-only or live text reached, all copies; bytes stored in them. */
  readonly framesWritten: number;
  readonly bytesWritten: number;
  /** Shootdowns: flushes of the tables' edits, and waits for every CPU of text patching. */
  readonly flushes: number;
  readonly synchronisations: number;
  /** Permissions of the images' first pages on the nodes: one, when they are equal everywhere. */
  readonly permissions: readonly string[];
}
/** One program on its hot path. */
export interface BpfPathRun {
  readonly program: string;
  readonly through: Exclude<ImageKind, "pack">;
  /** What is called: `traced function`, `dispatcher`, `structure.member`. */
  readonly path: string;
  readonly image: string;
  /** Node whose memory holds the image, by node. */
  readonly imageOn: readonly number[];
  readonly nodes: readonly BpfNodeRun[];
}

const MOST_ARGUMENTS = 6;
/** nop5; lea rax, [rdi + 2 rdi]; ret: the kernel function that programs are attached to. */
const TRACED = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00, 0x48, 0x8d, 0x04, 0x7f, 0xc3);

/** Counts what `make` takes of a kernel. @param make its images' first addresses */
export function costOf(kernel: Booted, kind: ImageKind, make: () => readonly bigint[]): ImageCost {
  const { machine, allocator, assembly } = kernel,
    poke = assembly.get(TextPoke),
    tables = assembly.get(KernelTables);
  const used = (): number[] => machine.nodes.map((node) => allocator.usedFrames(node, "module"));
  const frames = used(),
    before = poke.cost,
    flushes = tables.flushes;
  const images = make(),
    after = poke.cost,
    now = used();
  const permissions = new Set(
    images.flatMap((address) =>
      machine.nodes.map((node) => {
        const leaf = tables.lookup(node, address);
        return leaf ? `${leaf.writable ? "rw" : "r"}${leaf.executable ? "x" : ""}` : "none";
      }),
    ),
  );
  return {
    kind,
    images: images.length,
    bytes: machine.nodes.map((node, i) => ({ node, bytes: (now[i]! - frames[i]!) * PAGE_BYTES })),
    framesWritten: after.framesWritten - before.framesWritten,
    bytesWritten: after.bytesWritten - before.bytesWritten,
    flushes: tables.flushes - flushes,
    synchronisations: after.syncs - before.syncs,
    permissions: [...permissions].sort(),
  };
}

/**
 * Attaches every program that has an image of its own kind, runs each path on the CPUs, and takes all of it away again.
 */
export function runPaths(
  bench: BpfBench,
  object: BpfObject,
  cpus: readonly number[],
): { paths: BpfPathRun[]; costs: ImageCost[] } {
  const { kernel, loaded } = bench,
    { assembly } = kernel,
    of = (type: string): LoadedProgram[] => loaded.programs.filter(({ source }) => source.type === type);
  const paths: BpfPathRun[] = [],
    costs: ImageCost[] = [],
    words = new DataView(new Uint8Array([...bench.input, ...new Uint8Array(8 * MOST_ARGUMENTS)]).buffer);
  const registers = Array.from({ length: MOST_ARGUMENTS }, (_, i) => words.getBigUint64(8 * i, true));
  const run = (
    program: LoadedProgram,
    through: BpfPathRun["through"],
    path: string,
    image: bigint,
    entry: bigint,
    args: readonly bigint[],
  ): void => {
    paths.push({
      program: program.name,
      through,
      path,
      image: `0x${image.toString(16)}`,
      imageOn: cpus.map((cpu) => homeOf(kernel, kernel.machine.nodeOfCpu(cpu), image)),
      nodes: cpus.map((cpu) => runOnCpu(bench, cpu, { entry, code: program.entry, arguments: args })),
    });
  };

  const tracing = of("tracing"),
    trampolines = assembly.get(KernelTrampolines);
  if (tracing.length > 0) {
    const targets = tracing.map((): TraceTarget => ({ address: tracedFunction(kernel), arguments: MOST_ARGUMENTS }));
    costs.push(
      costOf(kernel, "trampoline", () =>
        tracing.map((program, i) => {
          trampolines.attach(targets[i]!, program.source.section.startsWith("fexit") ? "exit" : "entry", program.entry);
          return trampolines.imageOf(targets[i]!)!;
        }),
      ),
    );
    tracing.forEach((program, i) => {
      run(program, "trampoline", "traced function", trampolines.imageOf(targets[i]!)!, targets[i]!.address, registers);
    });
    tracing.forEach((program, i) => {
      trampolines.detach(targets[i]!, program.entry);
    });
    for (const { address } of targets) assembly.get(CodeAreas).release(address);
  }

  const xdp = of("xdp"),
    dispatcher = assembly.get(KernelDispatcher);
  if (xdp.length > 0) {
    costs.push(
      costOf(kernel, "dispatcher", () => {
        for (const program of xdp) dispatcher.add(program.entry);
        return [dispatcher.entry!];
      }),
    );
    for (const program of xdp) {
      const { context, release } = inputFor(program, bench.input, bench.memory);
      run(program, "dispatcher", "dispatcher", dispatcher.entry!, dispatcher.entry!, [context, 0n, program.entry]);
      release();
    }
    for (const program of xdp) dispatcher.remove(program.entry);
    dispatcher.dispose();
  }

  const operations = assembly.get(KernelStructOps),
    entries = new Map(of("struct_ops").map(({ name, entry }) => [name, entry]));
  const complete = object.structOps.filter(({ members }) => members.every(({ program }) => entries.has(program))),
    published: StructOpsImage[] = [];
  if (complete.length > 0) {
    costs.push(
      costOf(kernel, "struct_ops", () => {
        for (const each of complete) published.push(operations.publish(each, entries));
        return published.map(({ address }) => address);
      }),
    );
    complete.forEach((definition, i) => {
      const value = new DataView(published[i]!.value.buffer);
      for (const { name, offset, program } of definition.members)
        run(
          loaded.program(program),
          "struct_ops",
          `${definition.name}.${name}`,
          published[i]!.address,
          value.getBigUint64(offset, true),
          registers,
        );
    });
    for (const image of published) operations.retract(image);
  }
  return { paths, costs };
}

/** A page of kernel text with one function: on every holder, as kernel text is, whatever images have. */
function tracedFunction(kernel: Booted): bigint {
  const { assembly } = kernel,
    areas = assembly.get(CodeAreas),
    vmalloc = assembly.get(Vmalloc),
    address = areas.allocate(PAGE_BYTES, "traced function")!;
  areas.write(address, TRACED);
  const area = vmalloc.find(address)!;
  if (area.state === "shared") vmalloc.replicate(area);
  assembly.get(CodePermissions).readOnlyExecutable({ start: address, pages: 1 });
  return address;
}
