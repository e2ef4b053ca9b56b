/// <reference types="node" />
/**
 * lstopo's XML of hwloc 1 and 2, as hwloc 2.9 writes both of one synthetic machine, and of hwloc 3 in its shape; what
 * is refused, with its line.
 */
import { readFileSync } from "node:fs";
import { InputError } from "@kreplica/inputs";
import { expect, test } from "vitest";
import { accountsFromText, checkMachine, machineFromAccounts } from "../../src/index.js";

const fixture = (name: string): string => readFileSync(new URL(`../fixtures/${name}`, import.meta.url), "utf8");
const v2 = fixture("synthetic-v2.xml");
const v1 = fixture("synthetic-v1.xml");
const distances = `<distances2 type="NUMANode" nbobjs="4" kind="5" name="NUMALatency" indexing="os">
  <indexes length="8">0 1 2 3 </indexes>
  <u64values length="24">10 12 21 21 12 10 21 21 </u64values>
  <u64values length="24">21 21 10 12 21 21 12 10 </u64values>
</distances2>
</topology>`;
const withDistances = v2.replace("</topology>", distances);
const machine = (text: string) => machineFromAccounts(accountsFromText(text, "box.xml"), "box");

test.each([
  ["hwloc 2", v2],
  ["hwloc 1", v1],
  ["CRLF and a byte-order mark", `\uFEFF${v2.replaceAll("\n", "\r\n")}`],
  ["hwloc 3", v2.replace('version="2.0"', 'version="3.0"').replace("hwloc2.dtd", "hwloc3.dtd")],
])("%s: nodes, packages, cores, L3s and caches", (_name, text) => {
  const read = machine(text);
  expect(checkMachine(read)).toEqual([]);
  expect(read.nodes).toEqual([0, 1, 2, 3].map((id) => ({ id, memoryBytes: 2 ** 30 })));
  expect(read.cpus).toHaveLength(32);
  expect(read.cpus[9]).toEqual({ id: 9, node: 1, core: 4, l3: 1, socket: 0 });
  expect(read.cpus[31]).toEqual({ id: 31, node: 3, core: 15, l3: 3, socket: 1 });
  expect(read.assumedTopology).toBeUndefined();
  expect([read.l1d.bytes, read.l2.bytes, read.l3.bytes]).toEqual([32 << 10, 4 << 20, 16 << 20]);
  expect(read.distance[0]).toEqual([10, 20, 20, 20]);
  expect(read.sources).toContain("assumed: distance 20 between nodes where no input says one, as Linux does");
});

test("a memory-side cache that stands as an L3 is none, and the L3s behind it are", () => {
  const side = `<object type="L3Cache" subtype="MemorySideCache" cpuset="0xffffffff" depth="3" cache_type="0" cache_size="2147483648" cache_associativity="1">`;
  const package_ = /<object type="Package"[^>]*>/.exec(v2)![0];
  const close = v2.lastIndexOf("</object>", v2.lastIndexOf("</object>") - 1);
  const text = `${v2.slice(0, v2.indexOf(package_))}${side}${v2.slice(v2.indexOf(package_), close)}</object>${v2.slice(close)}`;
  expect(machine(text)).toEqual(machine(v2));
});

test("distances in pieces as hwloc 2 writes them, and as factors as hwloc 1 does", () => {
  const expected = [
    [10, 12, 21, 21],
    [12, 10, 21, 21],
    [21, 21, 10, 12],
    [21, 21, 12, 10],
  ];
  expect(machine(withDistances).distance).toEqual(expected);
  const factors = expected.flat().map((each) => `<latency value="${(each / 10).toFixed(6)}"/>`);
  const old = v1.replace(
    "</topology>",
    `<distances nbobjs="4" relative_depth="2" latency_base="10.000000">${factors.join("\n")}</distances></topology>`,
  );
  expect(machine(old).distance).toEqual(expected);
});

test("processor and ways; -1 and 0 ways say nothing; a cpuset of several words, and node without CPUs", () => {
  const small = `<topology version="2.0"><object type="Machine" cpuset="0x00000003,,0x0">
<info name="CPUVendor" value="AuthenticAMD"/><info name="CPUFamilyNumber" value="25"/><info name="CPUModelNumber" value="1"/>
<object type="NUMANode" os_index="0" cpuset="0x00000003,,0x0" local_memory="4294967296"/>
<object type="NUMANode" os_index="7" cpuset="0x0" local_memory="8589934592"/>
<object type="L2Cache" cpuset="0x00000001" cache_size="1048576" depth="2" cache_associativity="8" cache_type="0">
<object type="L1Cache" cpuset="0x00000001" cache_size="32768" depth="1" cache_associativity="-1" cache_type="1">
<object type="PU" os_index="65" cpuset="0x00000002,,0x0"/></object></object>
<object type="PU" os_index="64" cpuset="0x00000001,,0x0"/></object></topology>`;
  const read = machine(small);
  expect(read.nodes.map(({ id }) => id)).toEqual([0, 7]);
  expect(read.cpus.map(({ id, node }) => [id, node])).toEqual([
    [64, 0],
    [65, 0],
  ]);
  expect([read.l2.bytes, read.l2.ways, read.l1d.ways, read.vendor]).toEqual([1 << 20, 8, 8, "amd"]);
  expect(read.sources).toContain("l2.ways: lstopo XML (box.xml:5)");
  expect(read.sources.join("\n")).toContain("as epyc-7713-2s, the nearest to AMD family 25 model 1");
});

const attributes = (node: number, cpuset: string): string => `<memattr name="Latency" flags="6">
<memattr_value target_obj_type="NUMANode" target_obj_gp_index="${node}" value="90" initiator_cpuset="${cpuset}"/>
<memattr_value target_obj_type="NUMANode" target_obj_gp_index="9" value="130" initiator_cpuset="${cpuset}"/></memattr>
<memattr name="Bandwidth" flags="5"><memattr_value target_obj_gp_index="9" value="100000" initiator_obj_gp_index="1"/></memattr>
<memattr name="Capacity" flags="1"><memattr_value target_obj_gp_index="9" value="1"/></memattr></topology>`;
/** One node with CPUs, HBM beside it. */
const besideIt = (
  more: string,
): string => `<topology version="2.0"><object type="Machine" cpuset="0x00000003" gp_index="1">
<object type="NUMANode" os_index="0" gp_index="8" cpuset="0x00000003" local_memory="4294967296"/>
<object type="NUMANode" os_index="1" gp_index="9" cpuset="0x00000003" local_memory="8589934592"/>
<object type="PU" os_index="0" cpuset="0x00000001"/><object type="PU" os_index="1" cpuset="0x00000002"/></object>
${more}`;

test("memory beside a node (HBM, CXL) has its cpuset and no CPUs; what hwloc says of latency and bandwidth", () => {
  const read = machine(besideIt(attributes(8, "0x00000003")));
  expect(checkMachine(read)).toEqual([]);
  expect(read.cpus.map(({ node }) => node)).toEqual([0, 0]);
  expect(read.nodes.map(({ memoryBytes }) => memoryBytes)).toEqual([2 ** 32, 2 ** 33]);
  expect(read.latencyNs[0]).toEqual([90, 130]);
  // MiB/s there, MB/s here.
  expect(read.bandwidthMBs[0]![1]).toBe(104_858);
  expect(read.sources).toContain(
    "lstopo XML (box.xml): node 1 is memory beside CPUs that are another node's: it has none of its own",
  );
  // An initiator of half the node's CPUs says nothing of the node.
  expect(machine(besideIt(attributes(8, "0x00000001"))).latencyNs[0]).not.toContain(90);
});

test.each([
  [
    "a figure of no node",
    besideIt(attributes(7, "0x00000003")),
    /^box\.xml:6: target_obj_gp_index: "7" is no NUMANode/,
  ],
  [
    "a figure that is none",
    besideIt(attributes(8, "0x00000003").replace('"90"', '"-1"')),
    /^box\.xml:6: value: "-1" is not a number/,
  ],
  ["cut off", v2.slice(0, 2000), /^box\.xml:\d+: unclosed tag/],
  ["another document", "<?xml version='1.0'?>\n<svg/>", /^box\.xml:2: svg: the document is no topology/],
  ["no CPU", '<topology version="2.0"></topology>', /^box\.xml: no object of type PU/],
  ["a set", v2.replace("0xffffffff", "0xfffffffff"), /^box\.xml:4: cpuset: "0xfffffffff" is not a set of CPUs/],
  ["a set without end", v2.replace("0xffffffff", "0xf...f"), /^box\.xml:4: cpuset: "0xf...f" is not a set/],
  ["a node twice", v2.replace('type="NUMANode" os_index="1"', 'type="NUMANode" os_index="0"'), /node 0 is there twice/],
  ["a CPU twice", v2.replace('type="PU" os_index="1"', 'type="PU" os_index="0"'), /os_index: CPU 0 is there twice/],
  ["memory", v2.replace('local_memory="1073741824"', 'local_memory="1e9"'), /local_memory: "1e9" is not a number/],
  ["a figure", withDistances.replace("10 12 21", "9 12 21"), /distances: "9" is not a distance/],
  ["too few", withDistances.replace("10 12 21", "10 12"), /distances: 4 indexes and 15 values for 4 nodes/],
  [
    "another architecture",
    v2.replace('name="Backend" value="Synthetic"', 'name="Architecture" value="aarch64"'),
    /^box\.xml:5: Architecture: "aarch64": kreplica models x86-64/,
  ],
])("refused: %s", (_what, text, message) => {
  expect(() => accountsFromText(text, "box.xml")).toThrow(InputError);
  expect(() => accountsFromText(text, "box.xml")).toThrow(message);
});
