/** What messages call a file. */
import { expect, test } from "vitest";
import { fileName } from "../src/index.js";

test.each([
  ["a/b/vmlinuz-6.1", "vmlinuz-6.1"],
  ["vmlinuz", "vmlinuz"],
  ["C:\\kernels\\System.map", "System.map"],
  ["/boot/", "boot"],
])("%s is called %s", (path, name) => {
  expect(fileName(path)).toBe(name);
});
