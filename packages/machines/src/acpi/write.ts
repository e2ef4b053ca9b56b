/**
 * A machine as ACPI tables: SRAT, SLIT and HMAT, which {@link readAcpi} reads back. CPUs get their ids as x2APIC ids;
 * memory lies where the machine says, or one node behind the other on 1 GiB, as the model lays it.
 *
 * @source ACPI Specification, "System Resource Affinity Table (SRAT)", "System Locality Information Table (SLIT)",
 *   "Heterogeneous Memory Attribute Table (HMAT)"
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import type { TableName } from "./tables.js";

const GIB = 2 ** 30;
const ENTRY_MOST = 0xfffe;

/** Bytes of one table, put together in order. */
class TableBytes {
  private readonly bytes: number[] = [];

  constructor(name: TableName, revision: number) {
    this.text(name).number(0, 4).number(revision, 1).number(0, 1);
    this.text("KREPLC").text("KREPLICA").number(1, 4).text("KREP").number(1, 4);
  }

  text(letters: string): this {
    for (const letter of letters) this.bytes.push(letter.charCodeAt(0));
    return this;
  }

  number(value: number, bytes: number): this {
    for (let i = 0; i < bytes; i++) this.bytes.push(Math.floor(value / 2 ** (8 * i)) % 256);
    return this;
  }

  /** With length and checksum. */
  finish(): Uint8Array {
    const table = Uint8Array.from(this.bytes);
    new DataView(table.buffer).setUint32(4, table.length, true);
    table[9] = (256 - (table.reduce((sum, each) => sum + each, 0) % 256)) % 256;
    return table;
  }
}

/** CPUs and memory by node; the ids of the nodes are the proximity domains. */
function srat({ cpus, nodes }: MachineSpec): Uint8Array {
  const table = new TableBytes("SRAT", 3).number(1, 4).number(0, 8);
  for (const { id, node } of [...cpus].sort((a, b) => a.id - b.id))
    table.number(2, 1).number(24, 1).number(0, 2).number(node, 4).number(id, 4).number(1, 4).number(0, 8);
  let end = 0;
  for (const { id, memoryBytes, startAddress } of nodes) {
    const first = startAddress ?? Math.ceil(end / GIB) * GIB;
    end = Math.max(end, first + memoryBytes);
    if (memoryBytes === 0) continue;
    table.number(1, 1).number(40, 1).number(id, 4).number(0, 2);
    table.number(first, 8).number(memoryBytes, 8).number(0, 4).number(1, 4).number(0, 8);
  }
  return table.finish();
}

/** Distances by domain; between domains that no node has: 255. */
function slit({ nodes, distance }: MachineSpec): Uint8Array {
  const count = nodes.at(-1)!.id + 1;
  const table = new TableBytes("SLIT", 1).number(count, 8);
  const place = new Map(nodes.map(({ id }, i) => [id, i]));
  for (let from = 0; from < count; from++)
    for (let to = 0; to < count; to++) {
      const [i, j] = [place.get(from), place.get(to)];
      table.number(from === to ? 10 : i === undefined || j === undefined ? 255 : distance[i]![j]!, 1);
    }
  return table.finish();
}

/** Read latency in steps of 100 ps and read bandwidth in steps that the largest fits into, from CPUs to memory. */
function hmat({ nodes, cpus, latencyNs, bandwidthMBs }: MachineSpec): Uint8Array {
  const table = new TableBytes("HMAT", 2).number(0, 4);
  const from = nodes.flatMap(({ id }, i) => (cpus.some(({ node }) => node === id) ? [i] : []));
  const to = nodes.flatMap(({ memoryBytes }, i) => (memoryBytes > 0 ? [i] : []));
  const structure = (kind: number, figures: readonly (readonly number[])[], perUnit: number): void => {
    const most = Math.max(...from.flatMap((i) => to.map((j) => figures[i]![j]! * perUnit)));
    const unit = Math.max(kind === 1 ? 100 : 1, Math.ceil(most / ENTRY_MOST));
    table
      .number(1, 2)
      .number(0, 2)
      .number(32 + 4 * (from.length + to.length) + 2 * from.length * to.length, 4);
    table.number(0, 1).number(kind, 1).number(0, 2).number(from.length, 4).number(to.length, 4).number(0, 4);
    table.number(unit, 8);
    for (const index of [...from, ...to]) table.number(nodes[index]!.id, 4);
    for (const i of from)
      for (const j of to) table.number(Math.max(1, Math.round((figures[i]![j]! * perUnit) / unit)), 2);
  };
  structure(1, latencyNs, 1000);
  structure(4, bandwidthMBs, 1);
  return table.finish();
}

/** All three by their names. */
export const acpiTables = (machine: MachineSpec): ReadonlyMap<TableName, Uint8Array> =>
  new Map<TableName, Uint8Array>([
    ["SRAT", srat(machine)],
    ["SLIT", slit(machine)],
    ["HMAT", hmat(machine)],
  ]);
