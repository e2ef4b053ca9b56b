/// <reference types="node" />
/**
 * Exports that are no text, read back by libraries of others: they have what the table in text has, figure by figure.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import Ajv from "ajv";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { Profile } from "pprof-format";
import { afterAll, expect, test } from "vitest";
import { type Format, FORMATS } from "../src/commands/export-forms.js";
import type { Sample } from "../src/report/export/samples.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-export-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const WHAT = ["--machine", "tiny-2-node", "--test", "kill"];

const file = join(folder, "kill.parquet");
const run = await invoke(["export", ...WHAT, "--format", "parquet", "-o", file]);
const bytes = readFileSync(file);
const parquet = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
const rows = (await parquetReadObjects({ file: parquet })) as unknown as readonly Sample[];
const kernels = ["one copy", "per-node"] as const;
const title = "kill, twice";
const written = async (format: Format): Promise<string | Uint8Array> =>
  FORMATS[format].write({ title, kernels, samples: rows });

test("parquet: the rows of csv, cycles as numbers; the title stands in it", async () => {
  expect(run).toEqual({ code: 0, out: "", error: `kreplica: ${file} is written\n` });
  const [head, ...lines] = (await invoke(["export", ...WHAT, "--format", "csv"])).out.trimEnd().split("\n");
  const columns = head!.split(",");
  expect(rows.map((row) => Object.entries(row))).toEqual(
    lines.map((line) =>
      line.split(",").map((cell, nth) => [columns[nth], columns[nth] === "cycles" ? Number(cell) : cell]),
    ),
  );
  expect(parquetMetadata(parquet).key_value_metadata).toContainEqual({
    key: "title",
    value: expect.stringMatching(/ on tiny-2-node, CPU 2: one copy against per-node$/) as string,
  });
});

test("pprof: four values a sample, a kernel and state each; stacks and labels say function, cause and test", async () => {
  const packed = (await written("pprof")) as Uint8Array;
  // Not when, nor on which system.
  expect([...packed.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, packed[8], 255]);
  const profile = Profile.decode(gunzipSync(packed));
  const text = (at: number | bigint): string => profile.stringTable.strings[Number(at)]!;
  expect(profile.stringTable.strings[0]).toBe("");
  const types = profile.sampleType.map(({ type, unit }) => [text(type), text(unit)]);
  expect(types).toEqual(["cold", "hot"].flatMap((cache) => kernels.map((kernel) => [`${kernel}, ${cache}`, "cycles"])));
  expect(text(profile.defaultSampleType)).toBe("one copy, cold");
  expect(profile.comment.map(text)).toEqual([title]);
  const functions = new Map(profile.function.map((each) => [Number(each.id), each]));
  const locations = new Map(profile.location.map((each) => [Number(each.id), each]));
  const found = new Map<string, number>();
  for (const { locationId, value, label } of profile.sample) {
    const stack = locationId.map((id) => locations.get(Number(id))!);
    const names = stack.map(({ line }) => text(functions.get(Number(line[0]!.functionId))!.name));
    const [cause, name, kill] = names as [string, string, string];
    expect(Object.fromEntries(label.map(({ key, str }) => [text(key), text(str)]))).toEqual({ test: kill, cause });
    const address = BigInt(stack[1]!.address);
    const where = address === 0n ? "" : `0x${BigInt.asUintN(64, address).toString(16)}`;
    value.forEach((count, nth) => {
      if (Number(count) !== 0) found.set([kill, types[nth]![0], name, where, cause].join("|"), Number(count));
    });
  }
  const sums = new Map<string, [number, number]>();
  for (const row of rows) {
    const type = `${row.kernel}, ${row.cache}`;
    const cycles = row.cycles;
    const count = found.get([row.test, type, row.function, row.address, row.cause].join("|")) ?? 0;
    expect(Math.abs(count - cycles)).toBeLessThan(1);
    const [whole, exact] = sums.get(type) ?? [0, 0];
    sums.set(type, [whole + count, exact + cycles]);
  }
  expect(sums.size).toBe(4);
  for (const [whole, exact] of sums.values()) expect(Math.abs(whole - exact)).toBeLessThan(1);
  expect(found.size).toBeLessThanOrEqual(rows.length);
});

test("speedscope: its own schema has nothing against it", async () => {
  const schema = JSON.parse(
    readFileSync(join(import.meta.dirname, "../node_modules/speedscope/dist/release/file-format-schema.json"), "utf8"),
  ) as object;
  const validate = new Ajv({ strict: false }).compile(schema);
  const document: unknown = JSON.parse(String(await written("speedscope")));
  validate(document);
  expect(validate.errors).toBeNull();
  expect(validate({ ...(document as object), profiles: [{ type: "sampled" }] })).toBe(false);
});

test("what is no text needs a file", async () => {
  for (const format of ["pprof", "parquet"]) {
    const { code, out, error } = await invoke(["export", ...WHAT, "--format", format]);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toBe(
      `kreplica: --output: ${format} is no text, and standard output is for text. Name a file with -o.\n`,
    );
  }
});
