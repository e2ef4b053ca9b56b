/// <reference types="node" />
/**
 * Builds our C programs with clang into a cache; says loudly when there is no clang, so that a green run means
 * something.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { built } from "./build-cache.js";

const programs = join(import.meta.dirname, "../programs");

/**
 * Whether clang can be run and knows BPF. `.ci/run` installs it; elsewhere the tests that need it are skipped with a
 * warning.
 */
export const haveClang =
  spawnSync("clang", ["-target", "bpf", "-x", "c", "-fsyntax-only", "/dev/null"]).status === 0 &&
  /\bbpf\b/.test(spawnSync("clang", ["-print-targets"], { encoding: "utf8" }).stdout);
if (!haveClang)
  console.warn(
    "\n*** clang with the target bpf is missing: no test that builds BPF objects runs. apt-get install clang ***\n",
  );

/** Object of `test/programs/NAME.c`. @param options further clang options, such as `-mcpu=v4` */
export function buildObject(name: string, ...options: string[]): Uint8Array {
  const source = join(programs, `${name}.c`);
  const key = createHash("sha256")
    .update(readFileSync(source))
    .update(readFileSync(join(programs, "kreplica.h")))
    .update(options.join(" "))
    .digest("hex")
    .slice(0, 16);
  const out = built(`${name}-${key}.o`, (path) => {
    execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-Wall", ...options, "-c", source, "-o", path], {
      cwd: programs,
    });
  });
  return new Uint8Array(readFileSync(out));
}
