/**
 * A copy of sysfs as one of several inputs: only what it says itself, with the file of each figure. Beside what {@link
 * readSysfs} reads, the caches:
 *
 *     cpuN/cache/indexM/{level,type,size,ways_of_associativity,shared_cpu_list}     2, Unified, 256K, 8, 0,24
 *
 * @source Linux Documentation/ABI/testing/sysfs-devices-system-cpu, "cache"
 */
import { parseCpuList } from "@kreplica/inputs";
import { AccountOf, cacheNameOf, type MachineAccount, type Place } from "../accounts/account.js";
import { groupBy } from "../group-by.js";
import type { SysfsFiles } from "./files.js";
import type { FolderTree } from "./folder-tree.js";
import { type NodeFiles, readSysfs } from "./nodes.js";

/** What a cache holds, as `type` says; "Unified" says nothing of a first-level one. */
const HOLDS: Readonly<Record<string, "data" | "instructions">> = { Data: "data", Instruction: "instructions" };

/** Levels and kinds of caches a CPU may list. */
const MOST_CACHES = 8;

/** @throws InputError naming the file and the field of every fault */
export function sysfsAccount(tree: FolderTree): MachineAccount {
  const account = new AccountOf("sysfs", tree.name);
  const { files, nodes, places } = readSysfs(tree);
  const at = (path: string): Place => ({ file: files.at(path) });
  for (const node of nodes) {
    const folder = `node${node.id}`;
    account.say("nodeCpus", node.id, node.cpus, at(`${folder}/cpulist`));
    account.say("nodeMemory", node.id, node.memoryBytes, at(`${folder}/meminfo`));
    for (const [to, value] of node.distance.entries())
      account.say("distance", `${node.id} ${nodes[to]!.id}`, value, at(`${folder}/distance`));
  }
  sayAccess(account, nodes, at);
  if (places) {
    const all = nodes.flatMap(({ cpus }) => cpus).sort((a, b) => a - b);
    const where = at(`node${nodes.find(({ cpus }) => cpus.length > 0)!.id}/cpu*/topology`);
    for (const group of groupBy(all, (cpu) => `${places.get(cpu)!.package}`)) account.group("packageOf", group, where);
    for (const group of groupBy(all, (cpu) => `${places.get(cpu)!.package} ${places.get(cpu)!.core}`))
      account.group("coreOf", group, where);
  }
  for (const { id, cpus } of nodes) for (const cpu of cpus) readCaches(files, account, id, cpu);
  files.settle();
  return account;
}

/** Only what the firmware says: from the nodes that are entries of the class, else from the memory's nearest CPUs. */
function sayAccess(account: AccountOf, nodes: readonly NodeFiles[], at: (path: string) => Place): void {
  for (const [j, node] of nodes.entries()) {
    const withCpus = nodes.filter((each) => each.cpus.length > 0 && each.distance[j] !== 255);
    const least = Math.min(...withCpus.map((each) => each.distance[j]!));
    for (const kind of ["latencyNs", "bandwidthMBs"] as const) {
      const devices = nodes.some((each) => each.cpus.length === 0 && each.memoryBytes === 0);
      const access = node.access.find(
        (each) =>
          each[kind] !== undefined &&
          (each.from.length > 0 ? withCpus.some(({ id }) => each.from.includes(id)) : each.kind === 1 || !devices),
      );
      if (!access) continue;
      const from = withCpus.filter((each) =>
        access.from.length > 0 ? access.from.includes(each.id) : each.distance[j] === least,
      );
      const file = kind === "latencyNs" ? "read_latency" : "read_bandwidth";
      for (const { id } of from)
        account.say(
          kind,
          `${id} ${node.id}`,
          access[kind]!,
          at(`node${node.id}/access${access.kind}/initiators/${file}`),
        );
    }
  }
}

function readCaches(files: SysfsFiles, account: AccountOf, node: number, cpu: number): void {
  const folder = [`node${node}/cpu${cpu}/cache`, ...(files.besideCpus ? [`../cpu/cpu${cpu}/cache`] : [])].find((each) =>
    files.has(each),
  );
  if (folder === undefined) return;
  for (let index = 0; index < MOST_CACHES && files.has(`${folder}/index${index}`); index++) {
    const path = `${folder}/index${index}`;
    const word = (name: string): string => files.text(`${path}/${name}`)?.trim() ?? "";
    const cache = cacheNameOf(word("level"), HOLDS[word("type")]);
    if (!cache) continue;
    const at = { file: files.at(path) };
    const size = word("size");
    const bytes = /^\d{1,9}[KM]$/.test(size) ? Number(size.slice(0, -1)) * (size.endsWith("M") ? 2 ** 20 : 1024) : NaN;
    if (size !== "" && !(bytes >= 64 && bytes <= 2 ** 32))
      files.report(`${path}/size`, `${JSON.stringify(size.slice(0, 40))} is not a size`, "write it like 256K");
    else if (size !== "" && !account.facts.some(({ kind, of }) => kind === "cacheBytes" && of === cache))
      account.say("cacheBytes", cache, bytes, at);
    const ways = word("ways_of_associativity");
    if (/^[1-9]\d{0,3}$/.test(ways) && !account.facts.some(({ kind, of }) => kind === "cacheWays" && of === cache))
      account.say("cacheWays", cache, Number(ways), at);
    if (cache !== "l3") continue;
    const shared = parseCpuList(word("shared_cpu_list"));
    if (shared?.includes(cpu)) account.say("l3Of", cpu, shared, at);
  }
}
