/**
 * Files of one's own, read as the page's worker reads them: where they lead, and what is said of those that are wrong.
 */
import { smallKernel } from "@kreplica/kernel-files/testing";
import { acpiTables, machineDocument, preset } from "@kreplica/machines";
import { readDataFile } from "@kreplica/recordings";
import { expect, test } from "vitest";
import { hashOf, type Place, placeOf } from "../src/hash.js";
import { type OpenedFile, placeOfFiles, readMachineText } from "../src/model/files.js";
import { hasMachine, machineOf, ownKernel, ownRecording } from "../src/model/own.js";
import { BOOTED, Session } from "../src/model/session.js";
import { addressOfPage, FIRST_STORY, type Story, wrongWith } from "../src/model/setup.js";
import { faultOfOpening } from "./fault.js";

const now: Place = { ...FIRST_STORY, configuration: "late memory", moment: { step: BOOTED, store: 0 } };
const DIGEST = "0123456789abcdef".repeat(4);
const file = (name: string, content: string | Uint8Array): OpenedFile => ({
  name,
  digest: DIGEST,
  bytes: typeof content === "string" ? new TextEncoder().encode(content) : content,
});
const e5 = preset("e5-2690v3-2s")!;

const fault = (...of: OpenedFile[]): Promise<unknown> => faultOfOpening(of, now);

const NUMACTL = `available: 2 nodes (0-1)
node 0 cpus: 0 1 2 3
node 0 size: 32092 MB
node 0 free: 30000 MB
node 1 cpus: 4 5 6 7
node 1 size: 32252 MB
node 1 free: 31000 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
`;

test("a machine of kreplica's JSON is booted, and its address alone tells another browser all of it", async () => {
  const place = await placeOfFiles([file("mine.json", JSON.stringify(machineDocument(e5)))], now);
  expect(place).toMatchObject({ nodes: 2, machine: expect.stringMatching(/^e5-2690v3-2s~[\w-]+$/) as string });
  expect(place.configuration).toBeUndefined();
  const there = placeOf(`#${hashOf(place)}`, now);
  expect(there).toEqual(place);
  const { cpus } = new Session({ ...there, operations: [] } as Story).look({ step: BOOTED, store: 0 });
  expect(cpus.length).toBe(e5.cpus.length);
  // What the other browser does: it has the text alone, and reads it like a stranger's.
  const renamed = there.machine!.replace("e5-2690v3-2s", "other");
  expect(hasMachine(renamed)).toBe(false);
  await readMachineText(renamed);
  expect(JSON.stringify(machineDocument(machineOf(renamed)))).toBe(JSON.stringify(machineDocument(e5)));
  await expect(readMachineText(renamed.slice(0, -40))).rejects.toThrow(/cut or damaged/);
});

test("a preset is a machine by its name alone, and one that is none is refused with those there are", async () => {
  await readMachineText("xeon-8280-4s");
  expect(machineOf("xeon-8280-4s")).toBe(preset("xeon-8280-4s"));
  await expect(readMachineText("xeon-0")).rejects.toThrow(/no preset is called "xeon-0".*xeon-8280-4s/);
  expect(hasMachine("xeon-0")).toBe(false);
});

test("outputs of tools and tables of ACPI are machines, several together one", async () => {
  const numactl = await placeOfFiles([file("numactl.txt", NUMACTL)], now);
  expect(machineOf(numactl.machine!).cpus.map(({ node }) => node)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
  const tables = [...acpiTables(e5)].map(([name, bytes]) => file(`${name}.dat`, bytes));
  expect(tables.length).toBeGreaterThan(1);
  const acpi = await placeOfFiles(tables, now);
  expect(machineOf(acpi.machine!).distance).toEqual(e5.distance);
});

test("a recording and a counterexample lead to their places", async () => {
  const bytes = readDataFile("traces/hsw-n16-touch.kt.zst");
  const place = await placeOfFiles([file("mine.kt.zst", bytes)], now);
  expect(place.recording).toBe("mine.kt.zst~0123456789abcdef");
  expect(placeOf(`#${hashOf(place)}`, now).recording).toBe(place.recording);
  expect(ownRecording(place.recording!)).toBeDefined();
  const saved = { schema: "kreplica.counterexample/1", nodes: 3, levels: 5, pti: true, policy: "single-copy" };
  const operations = [{ op: "spawn", cpu: 0 }];
  expect(
    await placeOfFiles([file("found.json", JSON.stringify({ ...saved, operations, defect: "D6" }))], now),
  ).toMatchObject({ nodes: 3, levels: 5, pti: true, policy: "single-copy", laid: ["D6"], operations });
});

test("what is wrong is told by file, place, field and remedy", async () => {
  expect(await fault(file("cut.json", '{\n  "schema": "kreplica.machine/1",\n  "nodes": ['))).toMatchObject({
    file: "cut.json",
    line: 3,
    remedy: expect.stringMatching(/./) as string,
  });
  expect(await fault(file("fields.json", JSON.stringify({ ...machineDocument(e5), cpus: 7 })))).toMatchObject({
    file: "fields.json",
    field: "cpus",
  });
  expect(await fault(file("notes.txt", "hello"))).toMatchObject({
    file: "notes.txt",
    remedy: expect.stringContaining("numactl") as string,
  });
  const elf = smallKernel();
  expect(await fault(file("vmlinux", elf))).toMatchObject({ file: "vmlinux", field: "symbols" });
  const arm = elf.slice();
  arm[18] = 183;
  expect(await fault(file("Image", arm))).toMatchObject({ file: "Image", offset: 16, field: "e_type, e_machine" });
  const trace = readDataFile("traces/hsw-n16-touch.kt.zst");
  expect(await fault(file("cut.kt.zst", trace.subarray(0, 9000)))).toMatchObject({
    file: "cut.kt.zst",
    offset: expect.any(Number) as number,
    remedy: expect.stringContaining("again") as string,
  });
  expect(await fault(file("System.map", "ffffffff81000000 T _text\n"))).toMatchObject({
    remedy: "open it together with its vmlinuz",
  });
  const counterexample = file("found.json", '{"schema":"kreplica.counterexample/1","nodes":9}');
  expect(await fault(counterexample)).toMatchObject({ file: "found.json", field: "nodes" });
  expect(await fault(counterexample, file("numactl.txt", NUMACTL))).toMatchObject({ remedy: "open it by itself" });
});

test("a machine of more nodes than there is room for is refused", async () => {
  const rows = Array.from({ length: 9 }, (_, node) => node);
  const text = `available: 9 nodes (0-8)
${rows.map((node) => `node ${node} cpus: ${node}\nnode ${node} size: 1024 MB\nnode ${node} free: 1000 MB`).join("\n")}
node distances:
node ${rows.map((node) => String(node).padStart(3)).join(" ")}
${rows.map((row) => `  ${row}: ${rows.map((node) => (node === row ? " 10" : " 20")).join(" ")}`).join("\n")}
`;
  expect(await fault(file("nine.txt", text))).toMatchObject({ file: "nine.txt", field: "nodes" });
});

test("a link to what was opened elsewhere says which file to drop", () => {
  const key = "vmlinuz-mine~0123456789abcdef";
  expect(() => ownKernel(key)).toThrow(/^vmlinuz-mine: .* holds one\. .*0123456789abcdef\.$/);
  expect(ownRecording(key)).toBeUndefined();
  expect(wrongWith({ ...FIRST_STORY, configuration: "late memory", machine: "x~y" })).toContain("late memory");
});

test("a symbol is looked into, and one that is none is refused", () => {
  expect(addressOfPage(FIRST_STORY, "idt_table")).toBeGreaterThan(0xffff_ffff_8000_0000n);
  expect(addressOfPage(FIRST_STORY, "0x1000")).toBe(0x1000n);
  expect(() => addressOfPage(FIRST_STORY, "no_such")).toThrow(/no symbol is called "no_such"/);
});
