/**
 * SRAT and MADT: which CPUs and memory belong to which proximity domain. Behind 12 more bytes (SRAT) or 8 (MADT) follow
 * structures of a type (1) and a length (1):
 *
 *   SRAT 0   local APIC       domain 2 (its bits 0-7), 9 (8-31)   APIC id 3     flags 4: bit 0 enabled
 *   SRAT 1   memory           domain 2   base 8 (8)   length 16 (8)            flags 28: bit 0 enabled
 *   SRAT 2   x2APIC           domain 4   x2APIC id 8                            flags 12: bit 0 enabled
 *   MADT 0   local APIC       APIC id 3     flags 4: bit 0 enabled
 *   MADT 9   x2APIC           x2APIC id 4   flags 8
 *
 * @source ACPI Specification, "System Resource Affinity Table (SRAT)", "Multiple APIC Description Table (MADT)"
 */
import { type AcpiTable, HEADER_BYTES } from "./tables.js";

/** A CPU of SRAT or MADT. */
export interface FirmwareCpu {
  readonly apic: number;
  /** Of SRAT alone. */
  readonly domain?: number;
  /** Byte of its structure. */
  readonly at: number;
}

/** Memory of SRAT. */
export interface FirmwareMemory {
  readonly domain: number;
  readonly base: number;
  readonly bytes: number;
  readonly at: number;
}

/** What SRAT says. */
export interface Affinity {
  readonly cpus: readonly FirmwareCpu[];
  readonly memory: readonly FirmwareMemory[];
  /** Domains of devices that start accesses without being CPUs. */
  readonly initiators: readonly number[];
}

const SRAT_MORE = 12;
const MADT_MORE = 8;

/** Structures one behind the other. @throws InputError for one that reaches out of the table */
function* structures(
  table: AcpiTable,
  from: number,
  least: Readonly<Record<number, number>>,
): Generator<{ readonly type: number; readonly at: number }> {
  for (let at = from; at < table.bytes.length; at += table.bytes[at + 1]!) {
    const [type, length] = [table.bytes[at]!, table.bytes[at + 1] ?? 0];
    if (length < 2 || at + length > table.bytes.length || length < (least[type] ?? 2))
      throw table.fault(at, "structure", `type ${type} of ${length} bytes, ${table.bytes.length - at} are left`);
    yield { type, at };
  }
}

/** @throws InputError */
export function readAffinity(table: AcpiTable): Affinity {
  const { view, bytes } = table;
  const cpus: FirmwareCpu[] = [];
  const memory: FirmwareMemory[] = [];
  const initiators: number[] = [];
  const found = structures(table, HEADER_BYTES + SRAT_MORE, { 0: 16, 1: 40, 2: 24, 5: 32 });
  for (const { type, at } of found) {
    const enabled = (offset: number): boolean => (view.getUint32(at + offset, true) & 1) === 1;
    if (type === 0 && enabled(4)) {
      const high = table.revision >= 2 ? bytes[at + 9]! + bytes[at + 10]! * 2 ** 8 + bytes[at + 11]! * 2 ** 16 : 0;
      cpus.push({ apic: bytes[at + 3]!, domain: bytes[at + 2]! + high * 2 ** 8, at });
    }
    // The first revision has one byte for a domain of memory.
    if (type === 1 && enabled(28))
      memory.push({
        domain: table.revision >= 2 ? view.getUint32(at + 2, true) : bytes[at + 2]!,
        base: table.wide(at + 8),
        bytes: table.wide(at + 16),
        at,
      });
    if (type === 2 && enabled(12))
      cpus.push({ apic: view.getUint32(at + 8, true), domain: view.getUint32(at + 4, true), at });
    if (type === 5 && enabled(24)) initiators.push(view.getUint32(at + 4, true));
  }
  return { cpus, memory, initiators };
}

/** CPUs that can be used, in the order in which Linux numbers them. @throws InputError */
export function readMadt(table: AcpiTable): FirmwareCpu[] {
  const { view, bytes } = table;
  const cpus: FirmwareCpu[] = [];
  for (const { type, at } of structures(table, HEADER_BYTES + MADT_MORE, { 0: 8, 9: 16 })) {
    const [apic, flags] = type === 0 ? [bytes[at + 3]!, 4] : type === 9 ? [view.getUint32(at + 4, true), 8] : [0, 0];
    // A firmware may list a CPU in both forms.
    if (flags > 0 && (view.getUint32(at + flags, true) & 1) === 1 && !cpus.some((each) => each.apic === apic))
      cpus.push({ apic, at });
  }
  return cpus;
}
