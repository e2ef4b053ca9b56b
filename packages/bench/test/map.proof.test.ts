/// <reference types="node" />
/** `kreplica map` as its page shows it; on the machine as it is, each gain is what `kreplica compare` says. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { MachineCompareDocument, MapDocument } from "../src/documents.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-map-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the example of docs/map.md, and its picture", async () => {
  const page = readFileSync(new URL("../../../docs/map.md", import.meta.url), "utf8");
  const [, shown] = /<!-- example map -->\s*```\n([\s\S]*?)```/.exec(page)!;
  const file = join(folder, "map.svg");
  const { code, out, error } = await invoke(["map", "-o", file]);
  expect([code, out]).toEqual([0, shown]);
  expect(error).toContain("map.svg is written");
  expect(readFileSync(file, "utf8").match(/class="turn"/g)).toHaveLength(8);
}, 600_000);

test("on the machine as it is a gain is compare's", async () => {
  const words = ["--machine", "tiny-2-node"];
  const map = JSON.parse((await invoke(["map", "mount", ...words, "--json"])).out) as MapDocument;
  const { tests } = JSON.parse(
    (await invoke(["compare", "--test", "mount", ...words, "--json"])).out,
  ) as MachineCompareDocument;
  for (const { cache, gainPercent, gainLow, gainHigh } of tests) {
    const own = map.cells.filter((each) => each.cache === cache && same(each, map.own));
    expect(own).toHaveLength(1);
    expect(own[0]!.gainPercent).toBeCloseTo(gainPercent, 5);
    expect([own[0]!.gainLow, own[0]!.gainHigh]).toEqual([expect.closeTo(gainLow, 5), expect.closeTo(gainHigh, 5)]);
  }
}, 600_000);

const same = (a: MapDocument["own"], b: MapDocument["own"]): boolean =>
  a.l2Bytes === b.l2Bytes && a.farOverNear === b.farOverNear && a.inclusion === b.inclusion;
