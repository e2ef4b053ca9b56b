/**
 * Reads what `likwid-topology` prints, with `-c` or without:
 *
 *     CPU name:       Intel(R) Xeon(R) CPU E5-2690 v3 @ 2.60GHz
 *     HWThread        Thread        Core        Die        Socket        Available      no Die before version 5
 *     0               0             0           0          0             *
 *     Level:                  3                  a block for each cache, a rule of dashes behind
 *     Size:                   30 MB
 *     Associativity:          20                 with -c; instruction caches then, too
 *     Cache groups:           ( 0 24 1 25 ) ( 12 36 ... )
 *     Domain:                 0                  a block for each node
 *     Processors:             ( 0 24 1 25 )      or as lists, without parentheses
 *     Distances:              10 21
 *     Total memory:           32068.1 MB         MB of 1,048,576 bytes
 *
 * @source likwid-topology(1)
 */
import { quoted, TextLines } from "@kreplica/inputs";
import { AccountOf, cacheNameOf, MOST_CACHE, MOST_CPU, MOST_MEMORY, MOST_NODE } from "./account.js";
import { groupBy } from "../group-by.js";
import { hertzIn } from "./processor-names.js";

/** Whether the text is likwid-topology's. */
export const isLikwid = (text: string): boolean =>
  /^Hardware Thread Topology\s*$/m.test(text) && /^HWThread\s+Thread/m.test(text);

const WHOLE = "give the whole output of `likwid-topology -c`";
const UNITS: Readonly<Record<string, number>> = { kB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 };

/** @throws InputError naming the line of every fault */
export function readLikwid(source: string, file: string): AccountOf {
  const text = new TextLines(file, source);
  const account = new AccountOf("likwid-topology", file);
  readProcessor(text, account);
  readThreads(text, account);
  let block: ReadonlyMap<string, Field> = new Map();
  let open = new Map<string, Field>();
  const nodes: Node[] = [];
  const settle = (): void => {
    block = open;
    open = new Map();
    if (block.has("Level")) readCache(block, account, text);
    if (block.has("Domain")) nodes.push(...readNode(block, account, text));
  };
  for (const [index, line] of text.lines.entries()) {
    if (/^(?:-{20,}|\*{20,})\s*$/.test(line)) settle();
    const field = /^([A-Z][A-Za-z ]{2,30}):\s*(.*?)\s*$/.exec(line);
    if (field && (open.has(field[1]!) || field[1] === "Level" || field[1] === "Domain")) settle();
    if (field) open.set(field[1]!, { value: field[2]!, index });
  }
  settle();
  readDistances(nodes, account, text);
  if (account.facts.length === 0) text.report(undefined, undefined, "no line says anything of CPUs or caches", WHOLE);
  text.settle();
  return account;
}

interface Field {
  readonly value: string;
  /** From 0. */
  readonly index: number;
}

interface Node {
  readonly id: number;
  readonly distances: Field | undefined;
}

function readProcessor(text: TextLines, account: AccountOf): void {
  const index = text.lines.findIndex((line) => /^CPU name:/.test(line));
  const name = text.lines[index] ?? "";
  if (/Intel\(R\)/.test(name)) account.say("vendor", "", "intel", index + 1);
  if (/\bAMD\b/.test(name)) account.say("vendor", "", "amd", index + 1);
  const hertz = hertzIn(name);
  if (hertz !== undefined) account.say("hertz", "", hertz, index + 1);
  const architecture = /^CPU type:\s*.*\b(ARM|Cortex|ThunderX|POWER\d*|Neoverse|A64FX|Apple)\b/i;
  const other = text.lines.findIndex((line) => architecture.test(line));
  if (other >= 0)
    throw text.fault(
      other,
      "CPU type",
      `${quoted(text.lines[other]!.replace(/^CPU type:\s*/, ""))}: kreplica models x86-64 machines only`,
      "give the output of an x86-64 machine",
    );
}

function readThreads(text: TextLines, account: AccountOf): void {
  const head = text.lines.findIndex((line) => /^HWThread\s+Thread/.test(line));
  const columns = (text.lines[head] ?? "").trim().split(/\s+/);
  const [core, socket, thread] = ["Core", "Socket", "Thread"].map((name) => columns.indexOf(name));
  if (core === undefined || socket === undefined || core < 0 || socket < 0)
    return text.report(head, "HWThread", "no columns Core and Socket", WHOLE);
  const rows: { readonly cpu: number; readonly core: string; readonly socket: string }[] = [];
  const seen = new Set<number>();
  let index = head + 1;
  for (; /^\d/.test(text.lines[index] ?? ""); index++) {
    const cells = text.lines[index]!.trim().split(/\s+/);
    const numbers = cells.slice(0, columns.length - 1);
    if (
      numbers.length < columns.length - 1 ||
      numbers.some((cell) => !/^\d{1,5}$/.test(cell)) ||
      Number(cells[0]) > MOST_CPU ||
      seen.has(Number(cells[0]))
    ) {
      text.report(
        index,
        "HWThread",
        `${quoted(text.lines[index]!)} is no row of ${columns.slice(0, -1).join(", ")}, each thread once`,
        WHOLE,
      );
      continue;
    }
    const cpu = Number(cells[0]);
    seen.add(cpu);
    rows.push({ cpu, core: cells[core]!, socket: cells[socket]! });
  }
  if (rows.length === 0) return text.report(head, "HWThread", "no row below", WHOLE);
  const cpusOf = (of: typeof rows): number[] => of.map(({ cpu }) => cpu).sort((a, b) => a - b);
  account.say("cpus", "", cpusOf(rows), head + 2);
  const cores = groupBy(rows, (each) => `${each.socket} ${each.core}`);
  // Cores are numbered from 0 in each die by some versions: two threads at most share one.
  const threads = new Set(text.lines.slice(head + 1, index).map((line) => line.trim().split(/\s+/)[thread ?? 1])).size;
  if (cores.every((list) => list.length <= threads))
    for (const list of cores) account.group("coreOf", cpusOf(list), head + 2);
  else account.remark("numbers of cores repeat within a socket: which CPUs are threads of one core is left open");
  for (const list of groupBy(rows, (each) => each.socket)) account.group("packageOf", cpusOf(list), head + 2);
}

/** Groups of numbers in parentheses; numbers without any are one group. @returns undefined for anything else */
function groupsOf(value: string): number[][] | undefined {
  if (!/^(?:\(\s*(?:\d{1,5}[\s,]*)*\)\s*)+$/.test(value)) {
    const plain = value.replaceAll(",", " ").trim();
    if (!/^\d{1,5}(?:\s+\d{1,5})*$/.test(plain)) return undefined;
    value = `(${plain})`;
  }
  return [...value.matchAll(/\(([^)]*)\)/g)].map(([, list]) =>
    [...new Set((list!.match(/\d+/g) ?? []).map(Number))].sort((a, b) => a - b),
  );
}

function sizeOf(value: string): number {
  const size = /^(\d{1,9}(?:\.\d{1,6})?) (kB|MB|GB|TB)$/.exec(value);
  return size ? Number(size[1]) * UNITS[size[2]!]! : NaN;
}

function readCache(block: ReadonlyMap<string, Field>, account: AccountOf, text: TextLines): void {
  const level = block.get("Level")!;
  const type = block.get("Type")?.value ?? "";
  const name = cacheNameOf(level.value, /instruction/i.test(type) ? "instructions" : "data");
  const size = block.get("Size");
  if (!name || !size) return;
  const bytes = sizeOf(size.value);
  if (!(bytes >= 64 && bytes <= MOST_CACHE))
    text.report(size.index, "Size", `${quoted(size.value)} is not a size`, WHOLE);
  else account.say("cacheBytes", name, Math.round(bytes), size.index + 1);
  const ways = block.get("Associativity");
  if (ways && /^[1-9]\d{0,3}$/.test(ways.value)) account.say("cacheWays", name, Number(ways.value), ways.index + 1);
  const kind = block.get("Cache type");
  if (name !== "l3") return;
  if (kind) account.say("inclusion", name, /non/i.test(kind.value) ? "independent" : "inclusive", kind.index + 1);
  const groups = block.get("Cache groups");
  const lists = groups && groupsOf(groups.value);
  if (groups && !lists)
    text.report(groups.index, "Cache groups", `${quoted(groups.value)} are no groups of CPUs`, WHOLE);
  for (const list of lists ?? [])
    if (list.every((cpu) => cpu <= MOST_CPU)) account.group("l3Of", list, groups!.index + 1);
}

function readNode(block: ReadonlyMap<string, Field>, account: AccountOf, text: TextLines): Node[] {
  const domain = block.get("Domain")!;
  const id = /^\d{1,4}$/.test(domain.value) ? Number(domain.value) : NaN;
  if (!(id <= MOST_NODE)) {
    text.report(domain.index, "Domain", `${quoted(domain.value)} is no node from 0 to ${MOST_NODE}`, WHOLE);
    return [];
  }
  const cpus = block.get("Processors");
  const list = cpus && (cpus.value === "" || /^\(\s*\)$/.test(cpus.value) ? [] : groupsOf(cpus.value)?.flat());
  if (!list || list.some((cpu) => cpu > MOST_CPU))
    text.report(
      (cpus ?? domain).index,
      "Processors",
      cpus ? `${quoted(cpus.value)} is no list of CPUs` : "missing",
      WHOLE,
    );
  else
    account.say(
      "nodeCpus",
      id,
      [...new Set(list)].sort((a, b) => a - b),
      cpus.index + 1,
    );
  const total = block.get("Total memory");
  const bytes = total ? sizeOf(total.value) : NaN;
  if (total && !(bytes >= 0 && bytes <= MOST_MEMORY))
    text.report(total.index, "Total memory", `${quoted(total.value)} is not a size`, WHOLE);
  else if (total) account.say("nodeMemory", id, Math.round(bytes), total.index + 1);
  return [{ id, distances: block.get("Distances") }];
}

function readDistances(nodes: readonly Node[], account: AccountOf, text: TextLines): void {
  const ids = nodes.map(({ id }) => id);
  for (const { id, distances } of nodes) {
    if (!distances) continue;
    const words = distances.value.split(/\s+/);
    const wrong = words.find((each) => !/^\d{2,3}$/.test(each) || Number(each) < 10 || Number(each) > 255);
    if (words.length !== ids.length || wrong !== undefined)
      text.report(
        distances.index,
        "Distances",
        wrong === undefined ? `${words.length} for ${ids.length} nodes` : `${quoted(wrong)} is not a distance`,
        "a distance is 10 to 255, one for each node",
      );
    else
      for (const [j, each] of words.entries())
        account.say("distance", `${id} ${ids[j]!}`, Number(each), distances.index + 1);
  }
}
