/// <reference types="node" />
/** Assembler text to bytes at a fixed address, through gas and ld; with its labels. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Linkers since binutils 2.39 warn of segments both writable and executable; older ones do not know the option that
 * keeps them quiet.
 */
export const quietLinker: readonly string[] =
  spawnSync("ld", ["--no-warn-rwx-segments", "--version"]).status === 0 ? ["--no-warn-rwx-segments"] : [];

/** Code and where its labels are. */
export interface Assembled {
  readonly bytes: Uint8Array;
  readonly symbols: ReadonlyMap<string, bigint>;
}

/** @param text Intel syntax, one instruction a line @param base address of the first byte @throws with gas's message */
export function assembleAt(text: string, base: bigint): Assembled {
  const key = `${base}\n${text}`;
  const known = done.get(key) ?? assembleNow(text, base);
  done.set(key, known);
  return known;
}
/** The same text is asked for once by each ground. */
const done = new Map<string, Assembled>();

function assembleNow(text: string, base: bigint): Assembled {
  const directory = mkdtempSync(join(tmpdir(), "kreplica-as-"));
  const path = (name: string): string => join(directory, name);
  try {
    writeFileSync(path("t.s"), `.intel_syntax noprefix\n.text\n.globl _start\n_start:\n${text}\n`);
    execFileSync("as", ["-o", path("t.o"), path("t.s")]);
    execFileSync("ld", [
      "-o",
      path("t"),
      "-Ttext",
      `0x${BigInt.asUintN(64, base).toString(16)}`,
      "-z",
      "max-page-size=4096",
      ...quietLinker,
      path("t.o"),
    ]);
    execFileSync("objcopy", ["-O", "binary", "-j", ".text", path("t"), path("t.bin")]);
    const symbols = new Map(
      execFileSync("nm", [path("t")], { encoding: "utf8" })
        .trim()
        .split("\n")
        .map((line) => {
          const [value, , name] = line.split(" ");
          return [name!, BigInt(`0x${value!}`)];
        }),
    );
    return { bytes: readFileSync(path("t.bin")), symbols };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
