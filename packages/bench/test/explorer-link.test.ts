/** Links into the explorer: the machine that was booted inside, and in words which files go onto the page. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";
import { BEHIND_ALL, FIRST, placeOf } from "@kreplica/explorer";
import { NO_EXTENSIONS, useExtensions } from "@kreplica/kernel";
import { machineDocument, preset } from "@kreplica/machines";
import { afterAll, expect, test } from "vitest";
import { linkTo, linkToBoot } from "../src/commands/explorer-link.js";
import { invoke } from "./invoke.js";

const e5 = preset("e5-2690v3-2s")!;
const BOOTED = { levels: 4, pti: false, policy: "per-node" } as const;
const folder = mkdtempSync(join(tmpdir(), "kreplica-link-"));
const vmlinuz = join(folder, "vmlinuz-mine");
writeFileSync(vmlinuz, "a kernel");
const KEY = `vmlinuz-mine~${createHash("sha256").update("a kernel").digest("hex").slice(0, 16)}`;
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Where the words lead. */
const placeIn = (words = ""): ReturnType<typeof placeOf> => placeOf(new URL(/http:\S+/.exec(words)![0]).hash);

test("a preset goes into the link by its name, and what is usual is left out", async () => {
  const words = await linkToBoot({ ...BOOTED, machine: e5 }, {});
  expect(words).toBe("open http://127.0.0.1:6510/#nodes=2&machine=e5-2690v3-2s");
  const other = await linkToBoot({ levels: 5, pti: true, kasan: true, policy: "text", machine: e5 }, {});
  expect(placeIn(other)).toMatchObject({ levels: 5, pti: true, kasan: true, policy: "text", machine: e5.name });
});

test("a machine of one's own goes in whole, also one that is called as a preset", async () => {
  const own = { ...e5, description: "ours" };
  const words = await linkToBoot({ ...BOOTED, machine: own, machineFiles: ["/etc/ours.json"] }, {});
  expect(words).not.toContain("drop");
  const [name, letters] = placeIn(words).machine!.split("~") as [string, string];
  expect(name).toBe(e5.name);
  expect(JSON.parse(inflateRawSync(Buffer.from(letters, "base64url")).toString())).toEqual(
    JSON.parse(JSON.stringify(machineDocument(own))),
  );
});

test("a machine that is too long is said in words by its files, as is a kernel, by name and digest", async () => {
  // Digits that no packing makes shorter.
  const noise = Array.from({ length: 300 }, (_, at) => createHash("sha256").update(`${at}`).digest("hex")).join("");
  const own = { ...e5, description: noise };
  const words = await linkToBoot(
    { ...BOOTED, machine: own, machineFiles: ["/etc/ours.json", "mlc.txt"] },
    { kernel: vmlinuz, systemMap: "/boot/System.map" },
  );
  expect(words).toMatch(/ and drop ours\.json and mlc\.txt and vmlinuz-mine and System\.map onto the page$/);
  expect(placeIn(words)).toMatchObject({ nodes: 2, kernel: KEY });
  expect(placeIn(words).machine).toBeUndefined();
});

test("a counterexample on a kernel of one's own is linked to with the kernel's name", () => {
  const saved = { ...BOOTED, nodes: 3, operations: [{ op: "spawn" }], defect: "D4" } as never;
  const words = linkTo(saved, { kernel: vmlinuz });
  expect(words).toMatch(/ and drop vmlinuz-mine onto the page$/);
  expect(placeIn(words)).toMatchObject({
    nodes: 3,
    kernel: KEY,
    laid: ["D4"],
    operations: [{ op: "spawn" }],
    moment: { step: BEHIND_ALL },
  });
  expect(linkTo(saved, {})).not.toMatch(/drop|kernel/);
});

test("no link where the explorer has no room, or where a plugin brought what it does not know", async () => {
  expect(await linkToBoot({ ...BOOTED, machine: preset("xeon-8260-8s")! }, {})).toBeUndefined();
  useExtensions({ ...NO_EXTENSIONS, files: ["/mine.js"] });
  try {
    expect(await linkToBoot({ ...BOOTED, machine: e5 }, {})).toBeUndefined();
  } finally {
    useExtensions(NO_EXTENSIONS);
  }
});

test("boot's steps are numbered as the explorer counts them, and its link leads to the last", async () => {
  const { out, error } = await invoke(["boot", "--machine", "tiny-2-node"]);
  const steps = [...out.matchAll(/^ *(\d+)[* ] [a-z-]+ {2}/gm)].map(([, number]) => Number(number));
  expect(steps).toEqual(Array.from({ length: FIRST.moment.step }, (_, at) => at + 1));
  expect(placeIn(error)).toEqual({ ...FIRST, machine: "tiny-2-node" });
});
