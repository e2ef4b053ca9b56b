/// <reference types="node" />
/**
 * kreplica bugs as a person runs it: the list by rooms, one whole, JSON, a name that is none; check --bug goes the
 * path.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { placeOf } from "@kreplica/explorer";
import { BUGS, ROOMS } from "@kreplica/museum";
import { SERIES_DEFECTS } from "@kreplica/series-as-posted";
import { afterAll, describe, expect, test } from "vitest";
import { invoke } from "./invoke.js";

test("every bug once, the series' room first, 80 columns wide", async () => {
  const { code, out } = await invoke(["bugs"], { COLUMNS: "80" });
  expect(code).toBe(0);
  expect(out.split("\n")[0]).toBe("the series as posted");
  for (const { id } of [...SERIES_DEFECTS, ...BUGS])
    expect(out.split(new RegExp(`^  ${id}  `, "m")), id).toHaveLength(2);
  expect(out.split("\n").filter((line) => line.length > 80)).toEqual([]);
  const { bugs } = JSON.parse((await invoke(["bugs", "--json"])).out) as { bugs: { name: string }[] };
  expect(bugs.map(({ name }) => name)).toEqual([...SERIES_DEFECTS, ...BUGS].map(({ id }) => id));
});

test("one whole, of Linux and of the series, in text and JSON", async () => {
  const { out } = await invoke(["bugs", "ldt-exec"], { COLUMNS: "80" });
  expect(out).toMatch(/a4828f81037f x86\/ldt: Prevent LDT inheritance on exec/);
  expect(out).toMatch(/1\. {2}a new process, asked for on CPU 0\n {2}2\. .*\n {2}3\. {2}process 0 execs on CPU 0/);
  expect(out.split("\n").filter((line) => line.length > 80)).toEqual([]);
  expect(out).toMatch(/\n {2}http:\/\/127\.0\.0\.1:6510\/#lesson=ldt-exec\n$/);
  expect((await invoke(["bugs", "D4"])).out).toMatch(/#lesson=D4\n$/);
  const whole = JSON.parse((await invoke(["bugs", "ldt-exec", "--json"])).out) as Record<string, unknown>;
  expect([whole["invariant"], (whole["path"] as unknown[]).length]).toEqual(["F7", 3]);
  expect((await invoke(["bugs", "D4"])).out).toMatch(/caught by {3}C2: [^]*kreplica check --defect D4/);
});

test("a name that is none is refused with one that is near", async () => {
  const { code, error } = await invoke(["bugs", "ldt-exex"]);
  expect([code, error]).toEqual([2, expect.stringContaining("ldt-exec")]);
});

test("check --bug --shortest goes the path, exit code 1; what it says goes on to the bug", async () => {
  const { code, out, error } = await invoke(["check", "--bug", "ldt-exec", "--shortest"]);
  expect(code).toBe(1);
  // Where to look at it: the bug laid, its path done.
  const { laid, operations } = placeOf(new URL(/http:\S+/.exec(error)![0]).hash, {} as never);
  expect([laid, operations.map(({ op }) => op)]).toEqual([["ldt-exec"], ["spawn", "ldt", "exec"]]);
  expect(out).toMatch(
    /ldt-exec: 1 run, 3 operations on 1 kind of kernel: 1 defect found[^]*ldt-exec: F7 [^]*kreplica bugs/,
  );
});

describe("check --bug --save, then --replay", () => {
  const folder = mkdtempSync(join(tmpdir(), "kreplica-bugs-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "bug.json");

  // One of each room: a bug's kernel is booted six times for it.
  const some = ROOMS.map((room) => BUGS.find((bug) => bug.room === room)!.id);
  test.each([...new Set(["ldt-exec", ...some])])(
    "%s breaks its rule again; without the bug nothing breaks",
    async (id) => {
      expect((await invoke(["check", "--bug", id, "--shortest", "--save", file])).code).toBe(1);
      const saved = JSON.parse(readFileSync(file, "utf8")) as { laid: string[]; invariant: string };
      expect(saved.laid).toEqual([id]);
      const again = await invoke(["check", "--replay", file, "--json"]);
      const { violations } = JSON.parse(again.out) as { violations: { invariant: string }[] };
      expect([again.code, violations.map(({ invariant }) => invariant)]).toEqual([1, [saved.invariant]]);
      writeFileSync(file, JSON.stringify({ ...saved, laid: undefined }));
      expect((await invoke(["check", "--replay", file])).code).toBe(0);
    },
  );

  test.each([
    [{ laid: ["mremap-flush", "D4"] }, "mremap-flush is laid over a kernel by itself"],
    [{ policy: "rfc-v1" }, "mremap-flush is laid over a correct kernel, not over rfc-v1"],
    [{ laid: ["mremap-flsh"] }, "laid"],
  ])("%o is refused", async (change, reason) => {
    await invoke(["check", "--bug", "mremap-flush", "--shortest", "--save", file]);
    writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, "utf8")) as object), ...change }));
    const { code, error } = await invoke(["check", "--replay", file]);
    expect([code, error]).toEqual([2, expect.stringContaining(reason)]);
  });
});
