/// <reference types="node" />
/** A clone of the working tree as it stands, committed or not: what somebody gets who clones it once it is pushed. */
import { cpSync, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root, run } from "./packed.js";

/** @returns its folder, a repository with one commit; nothing is installed or built there */
export function freshClone(): string {
  const clone = mkdtempSync(join(tmpdir(), "kreplica-clone-"));
  const files = run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], root)
    .split("\0")
    .filter((file) => file !== "" && existsSync(join(root, file)));
  for (const file of files) {
    mkdirSync(dirname(join(clone, file)), { recursive: true });
    cpSync(join(root, file), join(clone, file));
  }
  const git = (...words: string[]): string =>
    run("git", ["-c", "user.name=kreplica", "-c", "user.email=kreplica@localhost", ...words], clone);
  git("init", "--quiet", "--initial-branch=main");
  git("add", "--all");
  git("commit", "--quiet", "--message=A clone");
  return clone;
}

/** Files that are not as they were in the clone: new, changed, or gone. */
export const touched = (clone: string): string[] =>
  run("git", ["status", "--porcelain", "--untracked-files=all", "-z"], clone)
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => line.slice(3));
