/// <reference types="node" />
/**
 * Recorded outcomes of instructions, for hosts of the other vendor: what test/isa/data/README.md describes, as
 * instances.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import type { Instance, Outcome } from "./native.js";

/** One line. `intel` holds what Intel's processors have otherwise. */
export interface Recorded {
  readonly index: number;
  readonly instance: Instance;
  readonly amd: Outcome;
  readonly intel: Outcome;
}

interface Line {
  instance: number;
  text: string;
  mnemonic: string;
  bits: number;
  count?: number;
  code: string;
  codeAt: string;
  seed: number;
  registers: string[];
  flags: string;
  pokeAt: string;
  poke: string[];
  pokeBytes: number;
  processor: {
    trap: number;
    error: number;
    cr2: string;
    rip: string;
    flags: string;
    registers: string[];
    hash: string;
  };
  intel?: { flags?: string; rip?: string };
}

const big = (text: string): bigint => BigInt(`0x${text}`);

function recordedFrom(line: Line): Recorded {
  const { text, mnemonic, bits, count, processor, intel } = line;
  const amd: Outcome = {
    trap: processor.trap,
    error: processor.error,
    cr2: big(processor.cr2),
    rip: big(processor.rip),
    flags: big(processor.flags),
    registers: processor.registers.map(big),
    hash: Number(big(processor.hash)),
  };
  return {
    index: line.instance,
    amd,
    intel: {
      ...amd,
      ...(intel?.flags === undefined ? {} : { flags: big(intel.flags) }),
      ...(intel?.rip === undefined ? {} : { rip: big(intel.rip) }),
    },
    instance: {
      shape: { text, mnemonic, bits, ...(count === undefined ? {} : { count }), prepare: () => undefined },
      code: Uint8Array.from(line.code.match(/../g)!, (byte) => parseInt(byte, 16)),
      codeAt: big(line.codeAt),
      seed: line.seed,
      state: {
        registers: line.registers.map(big),
        flags: big(line.flags),
        pokeAt: big(line.pokeAt),
        poke: line.poke.map(big),
        pokeBytes: line.pokeBytes,
      },
    },
  };
}

/**
 * All of a file, in the order in which they were drawn.
 * @param file "amd-outcomes", or "amd-by-hand", in which nothing is known of Intel's processors
 */
export function recordedOutcomes(file: "amd-outcomes" | "amd-by-hand"): Recorded[] {
  const text = gunzipSync(readFileSync(fileURLToPath(new URL(`data/${file}.jsonl.gz`, import.meta.url)))).toString(
    "utf8",
  );
  return text
    .trimEnd()
    .split("\n")
    .map((line) => recordedFrom(JSON.parse(line) as Line));
}
