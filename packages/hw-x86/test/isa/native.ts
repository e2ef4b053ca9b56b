/// <reference types="node" />
/**
 * The native side of the proof: assembles shapes with gas, runs instances on this machine's processor, reads the
 * results.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
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
export interface Instance {
  readonly shape: Shape;
  readonly state: State;
  readonly code: Uint8Array;
  readonly codeAt: bigint;
  readonly seed: number;
}

const INSTANCE_BYTES = 128 + 8 + 8 + 8 + 32 + 8 + 16;
const RESULT_BYTES = 128 + 40 + 8;

const RUNNER = fileURLToPath(new URL("native/runner.c", import.meta.url));

/** Why texts cannot be assembled for x86-64 here; undefined when they can. */
export function whyNoAssembler(): string | undefined {
  if (process.arch !== "x64" || process.platform !== "linux")
    return `this is ${process.platform} on ${process.arch}, not Linux on x86-64`;
  for (const tool of ["gcc", "as", "ld", "objcopy", "nm"]) {
    try {
      execFileSync(tool, ["--version"], { stdio: "ignore" });
    } catch {
      return `${tool} is not installed (Debian: apt-get install gcc binutils)`;
    }
  }
  return undefined;
}

const firstLine = (error: unknown): string => {
  const { stderr, message } = error as { stderr?: Buffer; message: string };
  return (stderr?.toString("utf8").trim() || message).split("\n")[0]!;
};

/** Builds and runs nothing much below a directory. @returns why that failed */
function whyNotBelow(parent: string): string | undefined {
  let directory: string | undefined;
  try {
    mkdirSync(parent, { recursive: true });
    directory = mkdtempSync(join(parent, "kreplica-isa-"));
    const runner = join(directory, "runner");
    execFileSync("gcc", ["-O1", "-no-pie", "-o", runner, RUNNER], { stdio: "pipe" });
    writeFileSync(join(directory, "none"), "");
    execFileSync(runner, [join(directory, "none"), join(directory, "results")], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return firstLine(error);
  } finally {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Where programs can be built and started, or why nowhere: the system's temporary folder may be mounted noexec,
 * mappings may be forbidden.
 */
function findGround(): { parent: string } | { reason: string } {
  const reason = whyNoAssembler();
  if (reason !== undefined) return { reason };
  const reasons: string[] = [];
  for (const parent of [tmpdir(), fileURLToPath(new URL("../../.reports", import.meta.url))]) {
    const why = whyNotBelow(parent);
    if (why === undefined) return { parent };
    reasons.push(`${parent}: ${why}`);
  }
  return {
    reason: `programs built here cannot be run (${reasons.join("; ")}); set TMPDIR to a folder from which they can`,
  };
}
let ground: ReturnType<typeof findGround> | undefined;

/** Why native runs are impossible here; undefined when they are possible. */
export function whyNoNative(): string | undefined {
  ground ??= findGround();
  return "reason" in ground ? ground.reason : undefined;
}

/** A new folder in which what is built can be run. @throws where {@link whyNoNative} gives a reason */
export function nativeDirectory(): string {
  ground ??= findGround();
  if ("reason" in ground) throw new Error(ground.reason);
  return mkdtempSync(join(ground.parent, "kreplica-isa-"));
}

/** A temporary directory with the built runner. */
export class Native {
  readonly directory = nativeDirectory();
  private readonly runner = join(this.directory, "runner");
  constructor() {
    execFileSync("gcc", ["-O1", "-no-pie", "-o", this.runner, RUNNER]);
  }

  /**
   * Machine code of each shape, through gas.
   * @throws with gas's message and the line when a text is not an instruction
   */
  assemble(shapes: readonly Shape[]): Uint8Array[] {
    const lines = [".intel_syntax noprefix", ".text"];
    shapes.forEach(({ text }, n) => {
      // 16 bytes each, so that instruction n starts at 16 n; its length goes to a section of its own.
      lines.push(
        `.balign 16`,
        `A${n}: ${text.replace("@", `Z${n}`)}`,
        `Z${n}:`,
        `.pushsection .lengths,"a"`,
        `.byte Z${n}-A${n}`,
        ".popsection",
      );
    });
    const path = (name: string): string => join(this.directory, name);
    writeFileSync(path("i.s"), lines.join("\n") + "\n");
    execFileSync("as", ["-o", path("i.o"), path("i.s")], { stdio: ["ignore", "inherit", "pipe"] });
    for (const section of [".text", ".lengths"])
      execFileSync("objcopy", ["-O", "binary", "-j", section, path("i.o"), path(`i${section}`)]);
    const text = readFileSync(path("i.text"));
    const lengths = readFileSync(path("i.lengths"));
    return shapes.map((_, n) => text.subarray(16 * n, 16 * n + lengths[n]!));
  }

  run(instances: readonly Instance[]): Outcome[] {
    const bytes = new Uint8Array(instances.length * INSTANCE_BYTES);
    const view = new DataView(bytes.buffer);
    instances.forEach(({ state, code, codeAt, seed }, k) => {
      const at = k * INSTANCE_BYTES;
      state.registers.forEach((value, n) => {
        view.setBigUint64(at + 8 * n, value, true);
      });
      view.setBigUint64(at + 128, state.flags, true);
      view.setBigUint64(at + 136, codeAt, true);
      view.setBigUint64(at + 144, state.pokeAt, true);
      state.poke.forEach((value, n) => {
        view.setBigUint64(at + 152 + 8 * n, value, true);
      });
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
        flags: out.readBigUInt64LE(at + 128),
        rip: out.readBigUInt64LE(at + 136),
        trap: Number(out.readBigUInt64LE(at + 144)),
        error: Number(out.readBigUInt64LE(at + 152)),
        cr2: out.readBigUInt64LE(at + 160),
        hash: out.readUInt32LE(at + 168),
      };
    });
  }

  /** Removes the directory. */
  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
