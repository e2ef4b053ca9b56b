/// <reference types="node" />
/** One code, one place that throws it: grep finds it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

test("every error code stands in one place of the sources beside its declaration", () => {
  const root = join(import.meta.dirname, "../src"),
    files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const texts = files
    .filter((name) => name !== "errors.ts")
    .map((name) => readFileSync(join(root, name), "utf8"))
    .join("\n");
  const codes = [...readFileSync(join(root, "errors.ts"), "utf8").matchAll(/"([a-z0-9]+(?:-[a-z0-9]+)+)"/g)].map(
    (match) => match[1]!,
  );
  expect(codes.length).toBeGreaterThan(100);
  expect(new Set(codes).size).toBe(codes.length);
  expect(
    codes.map((code) => `${code}: ${texts.split(`"${code}"`).length - 1}`).filter((line) => !line.endsWith(": 1")),
  ).toEqual([]);
});
