/**
 * How fast the interpreter executes compiled code: instructions a second per program of hw-x86's proof (gcc -O2).
 *
 * Run from the workspace root:
 *   npx esbuild packages/bench/micro/isa.ts --bundle --platform=node --format=esm --conditions=@kreplica/source \
 *     --external:iced-x86 --outfile=packages/hw-x86/dist/micro-isa.mjs && node packages/hw-x86/dist/micro-isa.mjs
 */
/// <reference types="node" />
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, PROGRAMS, ProgramMachine } from "../../hw-x86/test/isa/programs.js";

const directory = mkdtempSync(join(tmpdir(), "kreplica-micro-"));
const image = compile(directory, ["-O2"], join(process.cwd(), "packages/hw-x86/test/isa/native"));
rmSync(directory, { recursive: true });
const only = process.argv[2];
for (const fast of [true, false]) {
  const machine = new ProgramMachine(image, fast);
  for (const [n, name] of PROGRAMS.entries()) {
    if (only !== undefined && name !== only) continue;
    let best = 0;
    let instructions = 0;
    for (let round = 0; round < 4; round++) {
      const before = machine.cpu.executed;
      const start = process.cpuUsage().user;
      for (let k = 0; k < (fast ? 3 : 1); k++) machine.run(n, 1);
      instructions = machine.cpu.executed - before;
      best = Math.max(best, instructions / (process.cpuUsage().user - start));
    }
    console.log(`${fast ? "windows" : "port   "}  ${name.padEnd(12)} ${best.toFixed(1).padStart(6)} million/s   (${instructions} instructions)`);
  }
}
