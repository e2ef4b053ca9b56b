/// <reference types="node" />
/** The native side of the proof: assembles shapes with gas, runs instances on this machine's processor, reads the results. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Shape, State } from "./instance-operands.js";

/** What the processor did with one instance. */
export interface Outcome {
  readonly registers: bigint[];
  readonly flags: bigint;
  readonly rip: bigint;
  /** Vector, 255 for none. */
  readonly trap: number;
  readonly error: number;
  readonly cr2: bigint;
  readonly hash: number;
}

/** One instance with its bytes. */
export interface Instance { readonly shape: Shape; readonly state: State; readonly code: Uint8Array; readonly codeAt: bigint; readonly seed: number }

const INSTANCE_BYTES = 128 + 8 + 8 + 8 + 32 + 8 + 16;
const RESULT_BYTES = 128 + 40 + 8;

/** Flags of the first processor in /proc/cpuinfo. */
export function hostFeatures(): Set<string> {
  const line = /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
  return new Set(line?.[1]?.split(/\s+/) ?? []);
}

/** Why native runs are impossible here; undefined when they are possible. */
export function whyNoNative(): string | undefined {
  if (process.arch !== "x64" || process.platform !== "linux") return `this is ${process.platform} on ${process.arch}, not Linux on x86-64`;
  for (const tool of ["gcc", "as", "objcopy"]) {
    try {
      execFileSync(tool, ["--version"], { stdio: "ignore" });
    } catch {
      return `${tool} is not installed (Debian: apt-get install gcc binutils)`;
    }
  }
  return undefined;
}

/** A temporary directory with the built runner. */
export class Native {
  readonly directory = mkdtempSync(join(tmpdir(), "kreplica-isa-"));
  private readonly runner = join(this.directory, "runner");
  constructor(source: string) {
    execFileSync("gcc", ["-O1", "-no-pie", "-o", this.runner, source]);
  }

  /** Machine code of each shape, through gas. @throws with gas's message and the line when a text is not an instruction */
  assemble(shapes: readonly Shape[]): Uint8Array[] {
    const lines = [".intel_syntax noprefix", ".text"];
    shapes.forEach(({ text }, n) => {
      // 16 bytes each, so that instruction n starts at 16 n; its length goes to a section of its own.
      lines.push(`.balign 16`, `A${n}: ${text.replace("@", `Z${n}`)}`, `Z${n}:`, `.pushsection .lengths,"a"`, `.byte Z${n}-A${n}`, ".popsection");
    });
    const path = (name: string): string => join(this.directory, name);
    writeFileSync(path("i.s"), lines.join("\n") + "\n");
    execFileSync("as", ["-o", path("i.o"), path("i.s")], { stdio: ["ignore", "inherit", "pipe"] });
    for (const section of [".text", ".lengths"]) execFileSync("objcopy", ["-O", "binary", "-j", section, path("i.o"), path(`i${section}`)]);
    const text = readFileSync(path("i.text"));
    const lengths = readFileSync(path("i.lengths"));
    return shapes.map((_, n) => text.subarray(16 * n, 16 * n + lengths[n]!));
  }

  run(instances: readonly Instance[]): Outcome[] {
    const bytes = new Uint8Array(instances.length * INSTANCE_BYTES);
    const view = new DataView(bytes.buffer);
    instances.forEach(({ state, code, codeAt, seed }, k) => {
      const at = k * INSTANCE_BYTES;
      state.registers.forEach((value, n) => { view.setBigUint64(at + 8 * n, value, true); });
      view.setBigUint64(at + 128, state.flags, true);
      view.setBigUint64(at + 136, codeAt, true);
      view.setBigUint64(at + 144, state.pokeAt, true);
      state.poke.forEach((value, n) => { view.setBigUint64(at + 152 + 8 * n, value, true); });
      view.setUint32(at + 184, state.pokeBytes, true);
      view.setUint32(at + 188, seed, true);
      bytes.set(code, at + 192);
      bytes[at + 207] = code.length;
    });
    const input = join(this.directory, "instances");
    const output = join(this.directory, "results");
    writeFileSync(input, bytes);
    execFileSync(this.runner, [input, output]);
    const out = readFileSync(output);
    return instances.map((_, k) => {
      const at = k * RESULT_BYTES;
      return {
        registers: Array.from({ length: 16 }, (_x, n) => out.readBigUInt64LE(at + 8 * n)),
        flags: out.readBigUInt64LE(at + 128), rip: out.readBigUInt64LE(at + 136), trap: Number(out.readBigUInt64LE(at + 144)),
        error: Number(out.readBigUInt64LE(at + 152)), cr2: out.readBigUInt64LE(at + 160), hash: out.readUInt32LE(at + 168),
      };
    });
  }

  /** Removes the directory. */
  close(): void { rmSync(this.directory, { recursive: true, force: true }); }
}
