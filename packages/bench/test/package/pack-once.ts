/// <reference types="node" />
/**
 * Before the tests of what is published: every package packed once, and all of them installed by npm into one empty
 * project.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { besides, pack, run } from "./packed.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** Path of each tarball by the package's name. */
    readonly tarballs: readonly (readonly [string, string])[];
    /** A project that has all packages, and what they say must be installed beside them. */
    readonly consumer: string;
  }
}

export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), "kreplica-packed-"));
  const tarballs = pack(join(folder, "tarballs"));
  const consumer = join(folder, "consumer");
  mkdirSync(consumer);
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  run("npm", ["install", "--no-fund", "--no-audit", "--prefer-offline", ...tarballs.values(), ...besides()], consumer);
  project.provide("tarballs", [...tarballs]);
  project.provide("consumer", consumer);
  return () => {
    rmSync(folder, { recursive: true, force: true });
  };
}
