/// <reference types="node" />
/** One small sound file of each kind that a reader of kreplica's takes and no package fuzzes by itself. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { readElf, SectionType } from "@kreplica/elf";
import { bzImageAround, smallKernel } from "@kreplica/kernel-files/testing";
import { elfObject } from "@kreplica/modules/testing";
import { importTrace, recordingOf } from "@kreplica/trace";

/** An LZ4 block: eight letters, 64 bytes from eight back, then five letters, as the format's end wants them. */
export const lz4Block = (): Uint8Array =>
  Uint8Array.of(0x8f, 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 8, 0, 45, 0x50, 1, 2, 3, 4, 5);

/** A KTRC1 recording of a few references. */
export function recording(): Uint8Array {
  const din = "2 1000\n0 7fff00001234\n2 1003\n1 2000\n".repeat(12);
  const parts: Uint8Array[] = [];
  importTrace(recordingOf("a.din", new TextEncoder().encode(din)), "din", (part) => parts.push(part.slice()));
  return new Uint8Array(Buffer.concat(parts));
}

/** An object with a program that returns 0, a legacy map and a license, as clang lays one out. */
export function bpfObject(): Uint8Array {
  const code = new Uint8Array(32);
  code.set([0x18, 1, 0, 0, 0, 0, 0, 0], 0);
  code.set([0xb7, 0, 0, 0, 0, 0, 0, 0], 16);
  code.set([0x95, 0, 0, 0, 0, 0, 0, 0], 24);
  const map = new Uint8Array(20);
  [1, 4, 8, 16, 0].forEach((value, i) => new DataView(map.buffer).setUint32(4 * i, value, true));
  const object = elfObject(
    [
      {
        name: "raw_tp/sys_enter",
        flags: 6,
        align: 8,
        bytes: code,
        relocations: [{ offset: 0, type: 1, symbol: "counts", addend: 0 }],
      },
      { name: "maps", flags: 3, align: 4, bytes: map },
      { name: "license", flags: 3, bytes: new TextEncoder().encode("MIT\0") },
    ],
    [
      { name: "enter", section: "raw_tp/sys_enter" },
      { name: "counts", section: "maps" },
    ],
  );
  object[18] = 247;
  // The first symbol is a function, the second a variable.
  const symbols = Number(readElf(object).sections.find(({ type }) => type === SectionType.Symtab)!.offset);
  object[symbols + 24 + 4]! |= 2;
  object[symbols + 48 + 4]! |= 1;
  object[symbols + 24 + 16] = code.length;
  object[symbols + 48 + 16] = map.length;
  return object;
}

/** Two table pages as `readPages` takes them. */
export function tablePages(): Uint8Array {
  const bytes = new Uint8Array(2 * 4104);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, 0x1000n, true);
  view.setBigUint64(8 + 8 * 511, 0x2063n, true);
  view.setBigUint64(4104, 0x2000n, true);
  view.setBigUint64(4112 + 8 * 510, 0xffff_f063n, true);
  return bytes;
}

export const smallVmlinux = smallKernel;
export const gzipped = (): Uint8Array => bzImageAround(gzipSync(smallKernel()), undefined);
/** An image whose LZ4 payload is one run of literals. */
export function lz4Packed(): Uint8Array {
  const elf = smallKernel();
  const rest = elf.length - 15;
  const run = [0xf0, ...new Array<number>(Math.floor(rest / 255)).fill(255), rest % 255];
  const frame = new Uint8Array(8 + run.length + elf.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 0x184c_2102, true);
  view.setUint32(4, run.length + elf.length, true);
  frame.set(run, 8);
  frame.set(elf, 8 + run.length);
  return bzImageAround(frame, elf.length);
}

/** Packed as Linux's build does, which appends the length. */
const packedBy = (program: string, words: readonly string[]): Uint8Array => {
  const elf = smallKernel();
  return bzImageAround(new Uint8Array(execFileSync(program, [...words, "-c"], { input: elf })), elf.length);
};
export const xzPacked = (): Uint8Array =>
  packedBy("xz", ["--format=xz", "--check=crc32", "--x86", "--lzma2=dict=1MiB"]);
export const zstdPacked = (): Uint8Array => packedBy("zstd", ["-q", "-19"]);

/** A sysfs tree of two nodes with caches and the classes of an HMAT: a line a file. */
export const sysfsTree = (): string => {
  const lines = ["node/online 0-1", "node/has_cpu 0-1", "node/has_memory 0-1"];
  for (const node of [0, 1]) {
    const at = `node/node${node}`;
    lines.push(`${at}/cpulist ${2 * node}-${2 * node + 1}`, `${at}/distance ${node === 0 ? "10 21" : "21 10"}`);
    lines.push(`${at}/meminfo Node ${node} MemTotal: 4194304 kB`);
    for (const kind of [0, 1]) {
      const access = `${at}/access${kind}/initiators`;
      lines.push(`${access}/node${node}/cpulist ${2 * node}-${2 * node + 1}`);
      lines.push(`${access}/read_latency ${80 + node}`, `${access}/read_bandwidth ${100_000 - node}`);
      lines.push(`${access}/write_latency ${82 + node}`, `${access}/write_bandwidth ${90_000 - node}`);
    }
  }
  for (const cpu of [0, 1, 2, 3]) {
    const at = `cpu/cpu${cpu}`;
    lines.push(`${at}/topology/physical_package_id ${cpu >> 1}`, `${at}/topology/core_id ${cpu}`);
    lines.push(`${at}/topology/thread_siblings_list ${cpu}`);
    for (const [index, level, type, size] of [
      [0, 1, "Data", "32K"],
      [1, 1, "Instruction", "32K"],
      [2, 2, "Unified", "1024K"],
      [3, 3, "Unified", "16384K"],
    ] as const) {
      const cache = `${at}/cache/index${index}`;
      lines.push(`${cache}/level ${level}`, `${cache}/type ${type}`, `${cache}/size ${size}`);
      lines.push(`${cache}/ways_of_associativity 8`, `${cache}/coherency_line_size 64`);
      lines.push(`${cache}/shared_cpu_list ${index < 3 ? cpu : cpu < 2 ? "0-1" : "2-3"}`);
    }
  }
  return lines.join("\n") + "\n";
};

/** As `lstopo --of xml` writes a machine that hwloc made up. */
export const lstopo = (): string =>
  readFileSync(new URL("../../../machines/test/fixtures/synthetic-v2.xml", import.meta.url), "utf8");

export const texts = {
  numactl: `available: 2 nodes (0-1)
node 0 cpus: 0 1 2 3 4 5 6 7 8 9 10 11
node 0 size: 64215 MB
node 0 free: 60102 MB
node 1 cpus: 12 13 14 15 16 17 18 19 20 21 22 23
node 1 size: 64507 MB
node 1 free: 61333 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
`,
  mlc: `Intel(R) Memory Latency Checker - v3.9
Measuring idle latencies (in ns)...
\t\tNuma node
Numa node\t     0\t     1
       0\t  81.9\t 138.1
       1\t 139.2\t  81.0
`,
  strace: `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 37.49    0.001142         380         3         1 wait4
  9.62    0.000293           2       138        62 openat
  8.24    0.000251           2       106           mmap
------ ----------- ----------- --------- --------- ----------------
100.00    0.001686           6       247        63 total
`,
  "perf trace": `
 Summary of events:

 a (12), 88 events, 50.0%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   openat               100      62     0.200     0.001     0.005     0.010      9.12%
   mmap                 106       0     0.251     0.001     0.005     0.010      9.12%

`,
  "System.map": `0000000000001000 A cpu_tss
ffffffff81000000 T _text
ffffffff81000040 t twice
ffffffff81000080 t twice
ffffffff82000000 D _etext
`,
  readelf: `Section Headers:
  [Nr] Name              Type            Address          Off    Size   ES Flg Lk Inf Al
  [ 0]                   NULL            0000000000000000 000000 000000 00      0   0  0
  [ 1] .text             PROGBITS        ffffffff81000000 200000 e01f32 00  AX  0   0 4096
  [ 2] .comment          PROGBITS        0000000000000000 300000 00001f 01  MS  0   0  1
Key to Flags:
`,
  registers: `CPU#0
CR0=80050033 CR2=00007f0000001000 CR3=0000000002610000 CR4=000006f0
CPU#1
CR0=80050033 CR2=0000000000000000 CR3=0000000002612000 CR4=000016f0
`,
  "lscpu -J": `{"lscpu": [
  {"field": "Architecture:", "data": "x86_64"},
  {"field": "On-line CPU(s) list:", "data": "0-7"},
  {"field": "Vendor ID:", "data": "GenuineIntel", "children": [
    {"field": "Model name:", "data": "Intel(R) Xeon(R) CPU @ 2.60GHz", "children": [
      {"field": "CPU family:", "data": "6"}, {"field": "Model:", "data": "63"},
      {"field": "Thread(s) per core:", "data": "2"}, {"field": "Core(s) per socket:", "data": "2"},
      {"field": "Socket(s):", "data": "2"}]}]},
  {"field": "L2 cache:", "data": "1 MiB (4 instances)"},
  {"field": "NUMA node0 CPU(s):", "data": "0,1,4,5"},
  {"field": "NUMA node1 CPU(s):", "data": "2,3,6,7"}
]}
`,
  cpuinfo: [0, 1]
    .map(
      (cpu) => `processor\t: ${cpu}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 63
model name\t: Intel(R) Xeon(R) CPU E5-2690 v3 @ 2.60GHz
physical id\t: ${cpu}
siblings\t: 1
core id\t\t: 0
cpu cores\t: 1
address sizes\t: 46 bits physical, 48 bits virtual

`,
    )
    .join(""),
  plan: `schema: kreplica.sweep/1
title: two
axes: { machine: [tiny-2-node], farOverNear: [1.5, 3], policy: [per-node, text-only] }
together: [{ cpu: [0, 1], dataNode: [0, 1] }]
except: [{ farOverNear: { most: 2 }, policy: per-node }]
`,
} as const;

const acpi = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../machines/test/fixtures/acpi/${name}`, import.meta.url)));
/** As acpidump prints tables. */
export const acpidump = (): string =>
  ["SRAT", "SLIT", "APIC"]
    .map((name) => {
      const bytes = acpi(name);
      const lines: string[] = [];
      for (let at = 0; at < bytes.length; at += 16)
        lines.push(
          `    ${at.toString(16).padStart(4, "0")}: ${[...bytes.subarray(at, at + 16)].map((each) => each.toString(16).padStart(2, "0")).join(" ")}  ................`,
        );
      return `${name} @ 0x00000000BFFE1000\n${lines.join("\n")}\n\n`;
    })
    .join("");
