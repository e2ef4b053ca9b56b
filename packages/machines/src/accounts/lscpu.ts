/**
 * Reads what `lscpu` and `lscpu -J` print:
 *
 *     Address sizes:          46 bits physical, 48 bits virtual
 *     Thread(s) per core:     2              Core(s) per socket, Socket(s)
 *     L1d cache:              768 KiB (24 instances)      util-linux before 2.37: 32K, of one cache
 *     NUMA node0 CPU(s):      0-11,24-35                  nothing behind the colon: memory only
 *
 * The JSON has the same names in `field`, with or without the colon, nested in `children` since util-linux 2.37.
 *
 * @source lscpu(1)
 */
import { fieldName, parseCpuList, parseJsonText, quoted, TextLines } from "@kreplica/inputs";
import { AccountOf, type CacheName, MOST_CACHE, MOST_CPU, MOST_NODE } from "./account.js";
import { hertzIn, vendorOf } from "./processor-names.js";

/** A line, or a field of the JSON. */
interface Entry {
  readonly name: string;
  readonly value: string;
  /** From 0. */
  readonly index: number;
}

/** Whether the text is lscpu's, in either form. */
export const isLscpu = (text: string): boolean =>
  /^[ \t]*(?:Architecture|CPU op-mode\(s\)|Thread\(s\) per core):/m.test(text.slice(0, 1 << 16)) ||
  /^\uFEFF?\s*\{\s*"lscpu"\s*:/.test(text);

const WHOLE = "give the whole output of `LC_ALL=C lscpu`";
const CACHES: Readonly<Record<string, CacheName>> = { L1d: "l1d", L1i: "l1i", L2: "l2", L3: "l3" };
const UNITS: Readonly<Record<string, number>> = { "": 1, B: 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** @throws InputError naming the line of every fault */
export function readLscpu(source: string, file: string): AccountOf {
  const text = new TextLines(file, source);
  const account = new AccountOf("lscpu", file);
  const entries = /^\uFEFF?\s*\{/.test(source) ? fromJson(source, file, text) : fromLines(text);
  const said = new Map<string, Entry>();
  for (const entry of entries) {
    if (said.has(entry.name))
      throw text.fault(entry.index, entry.name, "given twice", "keep the output of one machine");
    said.set(entry.name, entry);
  }
  const architecture = said.get("Architecture");
  if (architecture && !/^(?:x86_64|i[3-6]86|amd64)$/.test(architecture.value))
    throw text.fault(
      architecture.index,
      "Architecture",
      `${quoted(architecture.value)}: kreplica models x86-64 machines only`,
      "give the output of an x86-64 machine",
    );
  const count = (name: string): number | undefined => {
    const entry = said.get(name);
    if (!entry || entry.value === "" || entry.value === "-") return undefined;
    if (/^\d{1,4}$/.test(entry.value) && Number(entry.value) > 0) return Number(entry.value);
    text.report(entry.index, name, `${quoted(entry.value)} is not a count from 1`, WHOLE);
    return undefined;
  };
  readProcessor(said, account, text);
  const online = said.get("On-line CPU(s) list");
  const cpus = online === undefined ? undefined : listOf(online, text);
  if (online && cpus) account.say("cpus", "", cpus, online.index + 1);
  const nodes = readNodes(entries, account, text);
  const [threads, cores, sockets] = ["Thread(s) per core", "Core(s) per socket", "Socket(s)"].map(count);
  readCaches(said, account, text, threads, cores, sockets);
  const all = [...nodes.values()].flat();
  if (threads !== undefined && cores !== undefined && sockets !== undefined) {
    const listed = cpus ?? all;
    const line = said.get("Socket(s)")!.index + 1;
    if (threads * cores * sockets !== listed.length)
      account.remark(
        `${sockets} sockets x ${cores} cores x ${threads} threads are not the ${listed.length} CPUs listed, so cores and sockets are left open`,
      );
    else placeByCounts(account, nodes, listed, { threads, cores, sockets }, line);
  }
  if (account.facts.length === 0) text.report(undefined, undefined, "no line says anything of CPUs or caches", WHOLE);
  text.settle();
  return account;
}

function fromLines(text: TextLines): Entry[] {
  const entries: Entry[] = [];
  for (const [index, line] of text.lines.entries()) {
    const found = /^[ \t]*([A-Z][^:]{0,60}?):(?:[ \t]+(.*))?$/.exec(line);
    // Flags and vulnerabilities go on in lines of their own on narrow terminals; these are passed over.
    if (found) entries.push({ name: found[1]!, value: (found[2] ?? "").trim(), index });
  }
  return entries.filter(({ name }) => !/^(?:Flags|Vulnerability)/.test(name));
}

function fromJson(source: string, file: string, text: TextLines): Entry[] {
  const document = parseJsonText(source.replace(/^\uFEFF/, ""), file);
  const entries: Entry[] = [];
  const walk = (list: unknown, path: readonly PropertyKey[]): void => {
    if (!Array.isArray(list))
      throw text.fault(
        document.lineOf(path) - 1,
        fieldName(path),
        "not a list of fields",
        "give what `lscpu -J` prints",
      );
    for (const [i, each] of list.entries()) {
      const here = [...path, i];
      const { field, data, children } = (each ?? {}) as { field?: unknown; data?: unknown; children?: unknown };
      if (typeof field === "string" && !/^(?:Flags|Vulnerability)/.test(field))
        entries.push({
          name: field.replace(/:\s*$/, ""),
          value: typeof data === "string" ? data.trim() : "",
          index: document.lineOf(here) - 1,
        });
      if (children !== undefined) walk(children, [...here, "children"]);
    }
  };
  walk((document.value as { lscpu?: unknown }).lscpu, ["lscpu"]);
  // Group titles ("Virtualization features") have no value and may be there more than once.
  return entries.filter(({ name, value }) => value !== "" || /^NUMA node/.test(name));
}

function listOf({ name, value, index }: Entry, text: TextLines): readonly number[] | undefined {
  const list = parseCpuList(value);
  if (list && list.every((cpu) => cpu <= MOST_CPU)) return list;
  text.report(index, name, `${quoted(value)} is not a list of CPUs from 0 to ${MOST_CPU}`, WHOLE);
  return undefined;
}

function readProcessor(said: ReadonlyMap<string, Entry>, account: AccountOf, text: TextLines): void {
  const vendor = said.get("Vendor ID");
  const known = vendor && vendorOf(vendor.value);
  if (known) account.say("vendor", "", known, vendor.index + 1);
  else if (vendor) account.remark(`vendor ${vendor.value} is not among those modelled`);
  for (const [name, kind] of [
    ["CPU family", "family"],
    ["Model", "model"],
  ] as const) {
    const entry = said.get(name);
    if (entry && /^\d{1,4}$/.test(entry.value)) account.say(kind, "", Number(entry.value), entry.index + 1);
  }
  const sizes = said.get("Address sizes");
  if (sizes) {
    const bits = /^(\d{1,2}) bits physical, (\d{1,2}) bits virtual$/.exec(sizes.value);
    if (!bits || Number(bits[1]) < 36 || Number(bits[1]) > 52 || !["48", "57"].includes(bits[2]!))
      text.report(
        sizes.index,
        "Address sizes",
        `${quoted(sizes.value)}: physical 36 to 52 bits and virtual 48 or 57 are expected`,
        "write it like `46 bits physical, 48 bits virtual`",
      );
    else {
      account.say("physicalBits", "", Number(bits[1]), sizes.index + 1);
      account.say("virtualBits", "", Number(bits[2]), sizes.index + 1);
    }
  }
  const nominal = said.get("Model name");
  const hertz = nominal && hertzIn(nominal.value);
  if (hertz !== undefined) account.say("hertz", "", hertz, nominal!.index + 1);
  const most = said.get("CPU max MHz");
  if (most && /^\d{3,5}(?:\.\d{1,6})?$/.test(most.value))
    account.say("mostHertz", "", Math.round(Number(most.value) * 1e6), most.index + 1);
}

function readNodes(entries: readonly Entry[], account: AccountOf, text: TextLines): Map<number, readonly number[]> {
  const nodes = new Map<number, readonly number[]>();
  for (const entry of entries) {
    const id = /^NUMA node(\d{1,6}) CPU\(s\)$/.exec(entry.name)?.[1];
    if (id === undefined) continue;
    if (Number(id) > MOST_NODE)
      text.report(entry.index, entry.name, `node ids go from 0 to ${MOST_NODE}`, "leave the node out");
    else {
      const cpus = listOf(entry, text);
      if (!cpus) continue;
      nodes.set(Number(id), cpus);
      account.say("nodeCpus", Number(id), cpus, entry.index + 1);
    }
  }
  return nodes;
}

/**
 * Since 2.37 the size is of all caches together, with their number; before, of one. A sum without a number is divided
 * by what the counts say: L1 and L2 are a core's, L3 a socket's.
 */
function readCaches(
  said: ReadonlyMap<string, Entry>,
  account: AccountOf,
  text: TextLines,
  threads: number | undefined,
  cores: number | undefined,
  sockets: number | undefined,
): void {
  for (const [name, cache] of Object.entries(CACHES)) {
    const entry = said.get(`${name} cache`);
    if (!entry) continue;
    const size = /^(\d{1,9}(?:\.\d{1,3})?) ?([KMG]?)(i?B)?(?: \((\d{1,4}) instances?\))?$/.exec(entry.value);
    const bytes = size ? Number(size[1]) * UNITS[size[2]!]! : NaN;
    const divided = size?.[4] === undefined ? 1 : Number(size[4]);
    if (!size || divided === 0 || !(bytes / divided >= 64 && bytes / divided <= MOST_CACHE)) {
      text.report(
        entry.index,
        entry.name,
        `${quoted(entry.value)} is not a size`,
        "write it like `32 KiB (24 instances)`",
      );
      continue;
    }
    // 2.34 to 2.36 print the sum in KiB and MiB, and no number of instances.
    let share = divided;
    if (size[4] === undefined && size[3] === "iB") {
      if (threads === undefined || cores === undefined || sockets === undefined) {
        account.remark(`${entry.name}: the sum over an unknown number of caches, passed over`);
        continue;
      }
      share = cache === "l3" ? sockets : cores * sockets;
      account.remark(
        `${entry.name}: the sum over ${share} caches, one a ${cache === "l3" ? "socket" : "core"}, taken for granted`,
      );
    }
    account.say("cacheBytes", cache, Math.round(bytes / share), entry.index + 1);
  }
}

/**
 * Cores and packages from counts alone: nodes are dealt to the sockets in order, and a node's threads are numbered in
 * runs, first threads first, as Linux numbers them on most servers.
 */
function placeByCounts(
  account: AccountOf,
  nodes: ReadonlyMap<number, readonly number[]>,
  cpus: readonly number[],
  counts: { readonly threads: number; readonly cores: number; readonly sockets: number },
  line: number,
): void {
  const { threads, cores, sockets } = counts;
  if (sockets === 1) account.group("packageOf", cpus, line);
  if (threads === 1) for (const cpu of cpus) account.group("coreOf", [cpu], line);
  const withCpus = [...nodes].filter(([, list]) => list.length > 0).sort(([a], [b]) => a - b);
  const even = withCpus.length % sockets === 0 && withCpus.every(([, list]) => list.length === withCpus[0]![1].length);
  if (sockets > 1 && withCpus.length > 0 && even) {
    const perSocket = withCpus.length / sockets;
    for (let socket = 0; socket < sockets; socket++) {
      const own = withCpus.slice(socket * perSocket, (socket + 1) * perSocket).flatMap(([, list]) => list);
      if (own.length === threads * cores)
        account.group(
          "packageOf",
          own.sort((a, b) => a - b),
          line,
        );
    }
    if (perSocket > 1) account.remark(`${perSocket} nodes a socket, in the order of their ids: taken for granted`);
  }
  if (threads === 2) {
    const groups = withCpus.length > 0 ? withCpus.map(([, list]) => list) : [cpus];
    // Two runs: siblings are half a list apart. Neighbours: 0,1 is a core.
    for (const list of groups) {
      if (list.length % 2 !== 0) continue;
      const half = list.length / 2;
      const twoRuns = half === 1 || list[half]! !== list[half - 1]! + 1;
      if (!twoRuns) {
        account.remark(
          "which CPUs are threads of one core, lscpu does not say: left open where a node's CPUs are one run",
        );
        continue;
      }
      for (let i = 0; i < half; i++) account.group("coreOf", [list[i]!, list[i + half]!], line);
    }
  }
}
