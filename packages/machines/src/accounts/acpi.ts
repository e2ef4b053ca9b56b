/**
 * What ACPI's SRAT, SLIT, HMAT and MADT say of a machine, together: SRAT knows CPUs by their APIC ids only, and MADT
 * lists these in the order in which Linux numbers CPUs.
 *
 * @source ACPI Specification, "System Resource Affinity Table (SRAT)", "System Locality Information Table (SLIT)",
 *   "Heterogeneous Memory Attribute Table (HMAT)"
 */
import { InputError } from "@kreplica/inputs";
import { type Affinity, type FirmwareCpu, readAffinity, readMadt } from "../acpi/affinity.js";
import { readHmat, readSlit } from "../acpi/matrices.js";
import type { AcpiTable, TableName } from "../acpi/tables.js";
import { AccountOf, MOST_CPU, MOST_MEMORY, MOST_NODE, type Place } from "./account.js";

const LIKE = "give SRAT, SLIT, HMAT and APIC of one machine";

/**
 * @param tables of one machine; each at most once
 * @throws InputError with the byte, or the line of a dump
 */
export function readAcpi(tables: readonly AcpiTable[]): AccountOf {
  const by = new Map<TableName, AcpiTable>();
  for (const table of tables) {
    if (by.has(table.name)) throw table.fault(0, "table", "given twice", LIKE);
    by.set(table.name, table);
  }
  const account = new AccountOf(
    `ACPI ${tables.map(({ name }) => (name === "APIC" ? "MADT" : name)).join(", ")}`,
    [...new Set(tables.map(({ file }) => file))].join(", "),
  );
  const at = (name: TableName, offset: number): Place => by.get(name)!.place(offset);
  const [srat, madt, slit, hmat] = (["SRAT", "APIC", "SLIT", "HMAT"] as const).map((name) => by.get(name));
  const affinity = srat && readAffinity(srat);
  const listed = madt && readMadt(madt);
  const domains = affinity ? domainsOf(affinity, account) : undefined;
  const node = (domain: number): number | undefined =>
    domains ? domains.get(domain) : domain <= MOST_NODE ? domain : undefined;
  if (affinity) sayNodes(affinity, listed, domains!, account, (offset) => at("SRAT", offset), srat);
  else if (listed && listed.length > 0)
    account.say("cpus", "", listed.map((_, i) => i).slice(0, MOST_CPU + 1), at("APIC", listed[0]!.at));
  for (const { from, to, value, at: where } of slit ? readSlit(slit) : []) {
    const [row, column] = [node(from), node(to)];
    if (row !== undefined && column !== undefined)
      account.say("distance", `${row} ${column}`, value, at("SLIT", where));
  }
  const withCpus = affinity && new Set(affinity.cpus.map(({ domain }) => domain));
  const memory = hmat ? readHmat(hmat) : { latencyNs: [], bandwidthMBs: [] };
  for (const kind of ["latencyNs", "bandwidthMBs"] as const)
    for (const { from, to, value, at: where } of memory[kind]) {
      const [row, column] = [node(from), node(to)];
      if (row === undefined || column === undefined || (withCpus && !withCpus.has(from))) continue;
      account.say(kind, `${row} ${column}`, value, at("HMAT", where));
    }
  if (affinity && affinity.initiators.length > 0)
    account.remark(
      `domains ${affinity.initiators.join(", ")} are of devices that are no CPUs (generic initiators): passed over`,
    );
  if (account.facts.length === 0)
    throw new InputError({ file: account.file, reason: "the tables say nothing of nodes or CPUs", remedy: LIKE });
  return account;
}

/** Proximity domains as node ids: themselves, where all of them can be; else in their order. */
function domainsOf({ cpus, memory }: Affinity, account: AccountOf): Map<number, number> {
  const all = [...new Set([...cpus.map(({ domain }) => domain!), ...memory.map(({ domain }) => domain)])].sort(
    (a, b) => a - b,
  );
  if ((all.at(-1) ?? 0) <= MOST_NODE) return new Map(all.map((each) => [each, each]));
  account.remark(`proximity domains ${all.join(", ")} are numbered as nodes from 0, in their order`);
  return new Map(all.slice(0, MOST_NODE + 1).map((each, i) => [each, i]));
}

function sayNodes(
  { cpus, memory }: Affinity,
  listed: readonly FirmwareCpu[] | undefined,
  domains: ReadonlyMap<number, number>,
  account: AccountOf,
  at: (offset: number) => Place,
  table: AcpiTable,
): void {
  const home = new Map<number, FirmwareCpu>();
  for (const cpu of cpus) if (!home.has(cpu.apic)) home.set(cpu.apic, cpu);
  if (!listed) account.remark("without APIC (the MADT), CPUs are numbered in the order of SRAT");
  const order = (listed ?? [...home.values()]).map(({ apic }) => apic);
  if (order.length > MOST_CPU + 1)
    throw table.fault(0, "CPUs", `${order.length}, and ${MOST_CPU + 1} are the most`, "leave some out");
  const lost = order.filter((apic) => !home.has(apic)).length;
  if (lost > 0) account.remark(`${lost} CPUs of APIC are in no domain of SRAT: left out`);
  const of = new Map<number, number[]>();
  for (const [id, apic] of order.entries()) {
    const node = domains.get(home.get(apic)?.domain ?? -1);
    if (node !== undefined) of.set(node, [...(of.get(node) ?? []), id]);
  }
  for (const [domain, id] of domains) {
    const first = cpus.find((cpu) => cpu.domain === domain);
    const ranges = memory.filter((range) => range.domain === domain);
    const bytes = ranges.reduce((sum, range) => sum + range.bytes, 0);
    const where = at(first?.at ?? ranges[0]!.at);
    if (bytes > MOST_MEMORY)
      throw table.fault(
        ranges[0]!.at,
        `memory of domain ${domain}`,
        `${bytes} bytes are more than a node may have`,
        "leave the node out",
      );
    account.say("nodeCpus", id, of.get(id) ?? [], where);
    account.say("nodeMemory", id, bytes, ranges[0] ? at(ranges[0].at) : where);
  }
}
