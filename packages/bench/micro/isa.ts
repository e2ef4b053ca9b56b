/**
 * How fast the interpreter executes compiled code: instructions a second of processor time per program of hw-x86's
 * proof (gcc -O2), on a flat memory with and without page windows, and through a machine's page tables without and with
 * the account of every access.
 *
 * In packages/bench: npm run micro -- isa [program | all [ground | all [warm [round]]]]
 *
 * with seconds of it before anything is measured, and of a round: 3 and 0.6, and V8's optimiser is done with the
 * compiled blocks; 0.5 and 0.1, unless said otherwise, and it mostly is not.
 *
 * Measured: docs/speed.md, "Instructions".
 * Registers as 32-bit halves are 1.9 to 2.3 times as fast as a BigInt64Array once flags and address arithmetic are done
 * with them (bigints win, by 1.5, only where bare sums and logic are all there is). A handler call per instruction
 * reaches 0.8 of a two-way switch; it was kept because 300 operations do not fit a function that the optimising
 * compiler takes.
 */
/// <reference types="node" />
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assemble } from "@kreplica/di";
import { hwX86, Machine } from "@kreplica/hw-x86";
import { FlatMemory, FlatMemoryPort, Interpreter, MachinePort } from "@kreplica/hw-x86/isa";
import { tinyMachine } from "@kreplica/hw-x86/testing";
import { e52690v3 } from "@kreplica/machines";
import { optimizeLarge } from "../src/inlining.js";
import { bestRate, chosen } from "./timing.js";

// As the command has it.
optimizeLarge();

const PROGRAMS = [
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
];
const IMAGE = 0x3000_0000n,
  SCRATCH = 0x3100_0000n,
  STACK = 0x3200_0000n,
  RETURN = 0x3300_0000n;
const PAGES = 64;
/** Frames of image, scratch memory, stack and the page with the final HLT; and where each is mapped. */
const AREAS = [
  [IMAGE, 1],
  [SCRATCH, 65],
  [STACK, 129],
  [RETURN, 193],
] as const;
const FRAMES = 257;

/** Compiles the programs as programs.test.ts does. @returns the flat image */
function compile(): Uint8Array {
  const sources = join(import.meta.dirname, "../../hw-x86/test/isa/native");
  const directory = mkdtempSync(join(tmpdir(), "kreplica-micro-"));
  const [object, image] = [join(directory, "p.elf"), join(directory, "p.bin")];
  try {
    execFileSync("gcc", [
      "-O2",
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
      "-Wl,--build-id=none,--no-warn-rwx-segments",
      "-T",
      join(sources, "programs.ld"),
      "-o",
      object,
      join(sources, "programs.c"),
      "-lgcc",
    ]);
    execFileSync("objcopy", ["-O", "binary", object, image]);
    return readFileSync(image);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A CPU with the areas mapped, and how to clear and prepare them for a run. */
interface Ground {
  readonly name: string;
  readonly cpu: Interpreter;
  readonly write: (frame: number, offset: number, bytes: Uint8Array) => void;
}

function flat(fast: boolean): Ground {
  const memory = new FlatMemory(FRAMES);
  const port = new FlatMemoryPort(memory);
  port.fast = fast;
  for (const [address, frame] of AREAS)
    port.map(address, frame, PAGES, { writable: true, user: false, executable: true });
  return {
    name: fast ? "flat, windows" : "flat, port",
    cpu: new Interpreter(port),
    write(frame, offset, bytes) {
      memory.bytes.set(bytes, frame * 4096 + offset);
      memory.versions[frame]!++;
    },
  };
}

function machine(name: string, timed: boolean, spec = tinyMachine()): Ground {
  const box = assemble([hwX86(spec)]).get(Machine);
  const { memory } = box;
  let free = 1001;
  for (const [address, frame] of AREAS) {
    for (let n = 0; n < PAGES; n++) {
      const at = address + BigInt(n * 4096);
      let table = 1000n << 12n;
      for (let level = 4; level > 1; level--) {
        const slot = table + ((at >> BigInt(12 + 9 * (level - 1))) & 511n) * 8n;
        if ((memory.read64(slot) & 1n) === 0n) memory.write64(slot, (BigInt(free++) << 12n) | 3n);
        table = memory.read64(slot) & 0xf_ffff_ffff_f000n;
      }
      memory.write64(table + ((at >> 12n) & 511n) * 8n, (BigInt(frame + n) << 12n) | 3n);
    }
  }
  const cpu = box.cpu(0);
  cpu.cr4 = 0xa0;
  cpu.writeCr3(1000n << 12n);
  cpu.efer = 0x900;
  cpu.cr0 = 0x8001_0000;
  return {
    name,
    cpu: new Interpreter(new MachinePort(box, 0, { timed })),
    write(frame, offset, bytes) {
      memory.writeBytes(BigInt(frame * 4096 + offset), bytes);
    },
  };
}

const EMPTY = new Uint8Array(PAGES * 4096);
const RETURN_ADDRESS = new Uint8Array(new BigUint64Array([RETURN]).buffer);

/** One program to its end. */
function run({ cpu, write }: Ground, which: number): void {
  write(65, 0, EMPTY);
  write(129, PAGES * 4096 - 8, RETURN_ADDRESS);
  cpu.context.halted = false;
  const start = [
    [4, STACK + BigInt(PAGES * 4096 - 8)],
    [7, SCRATCH],
    [6, 1n],
    [2, BigInt(which)],
  ] as const;
  for (const [register, value] of start) cpu.setRegister(register, value);
  cpu.rip = IMAGE;
  const stop = cpu.run(1e9);
  if (stop !== "halted") throw new Error(`${PROGRAMS[which]!}: ${stop} at 0x${cpu.rip.toString(16)} ${cpu.stopReason}`);
}

/** Seconds of processor time before anything is measured, and of each of the rounds the best of which is told. */
const WARM = Number(process.argv[4] ?? 0.5),
  ROUND = Number(process.argv[5] ?? 0.1),
  ROUNDS = 5;
const best = (once: () => number): number => bestRate(ROUNDS, WARM, ROUND, once);

const image = compile();
const only = chosen(process.argv[2]);
const onlyOn = chosen(process.argv[3]);
for (const ground of [
  flat(true),
  flat(false),
  machine("exact", false),
  machine("accounted", true),
  // Caches of a few KiB miss where a real machine's do not.
  machine("accounted-e5", true, e52690v3),
]) {
  if (onlyOn !== undefined && ground.name !== onlyOn) continue;
  ground.write(1, 0, image);
  ground.write(193, 0, Uint8Array.of(0xf4));
  for (const [n, program] of PROGRAMS.entries()) {
    if (only !== undefined && program !== only) continue;
    const speed = best(() => {
      const before = ground.cpu.executed;
      run(ground, n);
      return ground.cpu.executed - before;
    });
    console.log(`${ground.name.padEnd(16)} ${program.padEnd(12)} ${speed.toFixed(1).padStart(6)} million/s`);
  }
}
// What follows has no ground to choose.
if (onlyOn !== undefined) process.exit(0);
{
  // Single steps, as interleavings are explored.
  const ground = flat(true);
  ground.write(1, 0, Uint8Array.of(0x48, 0xff, 0xc0, 0xeb, 0xfb));
  ground.cpu.rip = IMAGE;
  console.log(
    `step()           inc; jmp     ${best(() => {
      for (let n = 0; n < 10_000; n++) ground.cpu.step();
      return 10_000;
    })
      .toFixed(1)
      .padStart(6)} million/s`,
  );
}

/**
 * Two operations as the interpreter does them, an addition with flags and a memory address looked up in a window table,
 * on registers as halves and as 64-bit bigints; and the first through a switch.
 */
interface Small {
  readonly op: number;
  readonly to: number;
  readonly from: number;
  readonly low: number;
  readonly high: number;
  readonly wide: bigint;
  readonly call: (of: Small) => void;
}
const halves = Int32Array.from({ length: 32 }, (_, n) => 77 * n);
const tags = new Int32Array(512);
const flags = new Int32Array(8);
const whole = BigInt64Array.from({ length: 16 }, (_, n) => (77n * BigInt(n)) << 33n);
const wideTags = new BigInt64Array(256);
const wideFlags = new BigInt64Array(4);
let hits = 0;
const add32 = (of: Small): void => {
  const aLo = halves[of.to]!,
    aHi = halves[of.to + 1]!,
    bLo = halves[of.from]!,
    bHi = halves[of.from + 1]!;
  const lo = (aLo + bLo) | 0;
  const hi = (aHi + bHi + (((aLo & bLo) | ((aLo | bLo) & ~lo)) >>> 31)) | 0;
  halves[of.to] = lo;
  halves[of.to + 1] = hi;
  flags[0] = lo | hi;
  flags[1] = hi;
  flags[2] = lo;
  flags[3] = (aHi & bHi) | ((aHi | bHi) & ~hi);
  flags[4] = aLo ^ bLo ^ lo;
};
const address32 = (of: Small): void => {
  const base = halves[of.to]!,
    index = halves[of.from]!;
  let lo = (base + of.low) | 0;
  let hi = (halves[of.to + 1]! + of.high + (lo >>> 0 < base >>> 0 ? 1 : 0)) | 0;
  const scaled = index << 3;
  lo = (lo + scaled) | 0;
  hi = (hi + ((halves[of.from + 1]! << 3) | (index >>> 29)) + (lo >>> 0 < scaled >>> 0 ? 1 : 0)) | 0;
  const k = (lo >>> 12) & 255;
  if (tags[2 * k] === (lo & ~0xfff) && tags[2 * k + 1] === hi) hits += lo & 0xfff;
};
const add64 = (of: Small): void => {
  const a = whole[of.to >> 1]!,
    b = whole[of.from >> 1]!;
  const r = BigInt.asIntN(64, a + b);
  whole[of.to >> 1] = r;
  wideFlags[0] = r;
  wideFlags[1] = a;
  wideFlags[2] = b;
};
const address64 = (of: Small): void => {
  const at = BigInt.asIntN(
    64,
    BigInt.asIntN(64, whole[of.to >> 1]! + of.wide) + BigInt.asIntN(64, whole[of.from >> 1]! * 8n),
  );
  const lo = Number(BigInt.asIntN(32, at));
  if (wideTags[(lo >>> 12) & 255] === BigInt.asIntN(64, at & ~0xfffn)) hits += lo & 0xfff;
};
const list = (add: (of: Small) => void, address: (of: Small) => void): Small[] =>
  Array.from({ length: 64 }, (_, n) => ({
    op: (n * 7) & 1,
    to: 2 * ((n * 5) & 15),
    from: 2 * ((n * 3 + 1) & 15),
    low: 8 * n,
    high: 0,
    wide: BigInt(8 * n),
    call: ((n * 7) & 1) === 0 ? add : address,
  }));
const calls = (of: readonly Small[]) => (): number => {
  for (let round = 0; round < 2000; round++) for (let n = 0; n < of.length; n++) of[n]!.call(of[n]!);
  return 2000 * of.length;
};
const small = list(add32, address32);
const switched = (): number => {
  for (let round = 0; round < 2000; round++) {
    for (let n = 0; n < small.length; n++) {
      const of = small[n]!;
      switch (of.op) {
        case 0:
          add32(of);
          break;
        default:
          address32(of);
      }
    }
  }
  return 2000 * small.length;
};
const [byHalves, byBigint, bySwitch] = [best(calls(small)), best(calls(list(add64, address64))), best(switched)];
console.log(
  `registers        halves ${byHalves.toFixed(0)}, bigint ${byBigint.toFixed(0)} million operations/s: ratio ${(byHalves / byBigint).toFixed(1)}`,
);
console.log(
  `dispatch         handler call ${byHalves.toFixed(0)}, switch ${bySwitch.toFixed(0)} million operations/s: ratio ${(byHalves / bySwitch).toFixed(1)} (${hits})`,
);
