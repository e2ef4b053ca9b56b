/// <reference types="node" />
/** STYLE.md's blocks are ours: each is what the file it names has now. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "./documents.js";

test("every block is taken from a source of ours, and is as that source is", () => {
  const page = readFileSync(join(root, "STYLE.md"), "utf8");
  const blocks = page.match(/^```ts$/gm)!.length;
  expect([...page.matchAll(/^<!-- from packages\/\S+: .+ -->\n```ts$/gm)].length).toBe(blocks);
  expect(blocks).toBeGreaterThan(7);
  const { status, stderr } = spawnSync(process.execPath, ["scripts/style.mjs", "--check"], {
    cwd: root,
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
