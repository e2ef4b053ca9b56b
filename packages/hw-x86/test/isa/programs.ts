/// <reference types="node" />
/** Compiles native/programs.c to a flat image, and runs it natively or in the interpreter. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { quietLinker } from "./assembly.js";
import { FlatMemory, FlatMemoryPort, Interpreter } from "../../src/isa/index.js";

export const PROGRAMS = [
  "sorting",
  "checksums",
  "sha256",
  "strings",
  "tree",
  "bitmaps",
  "wide",
  "text",
  "compressor",
  "recursion",
] as const;
export const SCRATCH_BYTES = 0x40000;
const IMAGE = 0x3000_0000n,
  SCRATCH = 0x3100_0000n,
  STACK = 0x3200_0000n,
  RETURN = 0x3300_0000n;
const IMAGE_PAGES = 64,
  STACK_PAGES = 64,
  SCRATCH_PAGES = SCRATCH_BYTES / 4096;
const here = fileURLToPath(new URL("native", import.meta.url));

/**
 * As kernels are compiled: no vector registers, no red zone.
 * @param sources directory of the C files
 * @returns the image's bytes
 */
export function compile(directory: string, flags: readonly string[], sources = here): Uint8Array {
  const object = join(directory, "programs.elf");
  const image = join(directory, "programs.bin");
  execFileSync("gcc", [
    ...flags,
    "-ffreestanding",
    "-fno-pic",
    "-no-pie",
    "-static",
    "-nostdlib",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-w",
    `-Wl,${["--build-id=none", ...quietLinker].join(",")}`,
    "-T",
    join(sources, "programs.ld"),
    "-o",
    object,
    join(sources, "programs.c"),
    "-lgcc",
  ]);
  execFileSync("objcopy", ["-O", "binary", object, image]);
  return readFileSync(image);
}

/** Scratch memory after each program, on the processor. */
export function runNatively(directory: string, seed: number): Uint8Array[] {
  const runner = join(directory, "run-programs");
  execFileSync("gcc", ["-O1", "-o", runner, join(here, "run-programs.c")]);
  const results = join(directory, "scratch");
  execFileSync(runner, [join(directory, "programs.bin"), results, String(seed), String(PROGRAMS.length)]);
  const all = readFileSync(results);
  return PROGRAMS.map((_, n) => all.subarray(n * SCRATCH_BYTES, (n + 1) * SCRATCH_BYTES));
}

/** A CPU at level 0 with image, scratch memory and stack; `fast` false sends every access through the port. */
export class ProgramMachine {
  readonly memory = new FlatMemory(IMAGE_PAGES + SCRATCH_PAGES + STACK_PAGES + 2);
  readonly port = new FlatMemoryPort(this.memory);
  readonly cpu: Interpreter;
  constructor(image: Uint8Array, fast = true) {
    this.port.fast = fast;
    this.cpu = new Interpreter(this.port);
    this.memory.bytes.set(image, 4096);
    this.port.map(IMAGE, 1, IMAGE_PAGES, { writable: true, user: false, executable: true });
    this.port.map(SCRATCH, 1 + IMAGE_PAGES, SCRATCH_PAGES, { writable: true, user: false, executable: false });
    this.port.map(STACK, 1 + IMAGE_PAGES + SCRATCH_PAGES, STACK_PAGES, {
      writable: true,
      user: false,
      executable: false,
    });
    // Where the entry function returns to: HLT.
    this.port.map(RETURN, 0, 1, { writable: false, user: false, executable: true });
    this.memory.bytes[0] = 0xf4;
  }

  /** Runs one program to its end. @returns its scratch memory @throws when it does not come to its end */
  run(which: number, seed: number, budget = 200_000_000): Uint8Array {
    const { cpu } = this;
    const at = (1 + IMAGE_PAGES) * 4096;
    const scratch = this.memory.bytes.subarray(at, at + SCRATCH_BYTES);
    scratch.fill(0);
    const top = STACK + BigInt(STACK_PAGES * 4096 - 8);
    this.memory.words.set([Number(RETURN), 0], (at + SCRATCH_BYTES + STACK_PAGES * 4096 - 8) / 4);
    cpu.context.halted = false;
    cpu.setRegister(4, top);
    cpu.setRegister(7, SCRATCH);
    cpu.setRegister(6, BigInt(seed));
    cpu.setRegister(2, BigInt(which));
    cpu.rip = IMAGE;
    const stop = cpu.run(budget);
    if (stop !== "halted")
      throw new Error(
        `program ${PROGRAMS[which]!} ended with "${stop}" at 0x${cpu.rip.toString(16)}: ${cpu.stopReason}`,
      );
    return scratch;
  }
}
