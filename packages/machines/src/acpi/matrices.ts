/**
 * SLIT: localities (8), then a byte for each pair, row by row. HMAT: structures of a type (2), 2 bytes unused and a
 * length (4); of type 1 are latencies and bandwidths:
 *
 *   8 flags (1)   9 data type (1): 0 latency, 1 read latency, 3 bandwidth, 4 read bandwidth   12 initiators I (4)
 *   16 targets T (4)   24 base unit (8)   32 I domains (4 each), T domains (4 each), I x T entries (2 each)
 *
 * An entry of 0 says nothing, 65535 is unreachable. Revision 2: entry x unit is picoseconds or MB/s; revision 1: tenths
 * of nanoseconds, and of MB/s.
 *
 * @source ACPI Specification, "System Locality Information Table (SLIT)", "System Locality Latency and Bandwidth
 *   Information Structure"
 */
import { type AcpiTable, HEADER_BYTES } from "./tables.js";

/** A figure of either table: from domain, to domain. */
export interface FirmwareFigure {
  readonly from: number;
  readonly to: number;
  readonly value: number;
  /** Byte it stands at. */
  readonly at: number;
}

const MOST_LOCALITIES = 1024;
const HMAT_MORE = 4;

/** Distances, 255 where unreachable. @throws InputError */
export function readSlit(table: AcpiTable): FirmwareFigure[] {
  const begin = HEADER_BYTES + 8;
  if (table.bytes.length < begin) throw table.fault(HEADER_BYTES, "localities", "missing");
  const count = table.wide(HEADER_BYTES);
  if (count < 1 || count > MOST_LOCALITIES || begin + count * count > table.bytes.length)
    throw table.fault(HEADER_BYTES, "localities", `${count}, and ${table.bytes.length - begin} distances`);
  return Array.from({ length: count * count }, (_, i) => {
    const [from, to] = [Math.floor(i / count), i % count];
    const value = table.bytes[begin + i]!;
    if (value < 10 || (value === 10) !== (from === to))
      throw table.fault(
        begin + i,
        `distance from ${from} to ${to}`,
        `${value} is none`,
        "a distance is 10 to its own node, 11 to 254 to another, 255 where unreachable: firmware that says otherwise is ignored by Linux, too, so leave the table out",
      );
    return { from, to, value, at: begin + i };
  });
}

/** What HMAT says of reading: from initiators to memory. */
export interface HeterogeneousMemory {
  readonly latencyNs: readonly FirmwareFigure[];
  readonly bandwidthMBs: readonly FirmwareFigure[];
}

/** @throws InputError */
export function readHmat(table: AcpiTable): HeterogeneousMemory {
  const { view, bytes } = table;
  const found = new Map<number, FirmwareFigure[]>();
  for (let at = HEADER_BYTES + HMAT_MORE; at < bytes.length; at += view.getUint32(at + 4, true)) {
    if (at + 8 > bytes.length)
      throw table.fault(at, "structure", `${bytes.length - at} bytes are left for its head of 8`);
    const [type, length] = [view.getUint16(at, true), view.getUint32(at + 4, true)];
    if (length < 8 || at + length > bytes.length)
      throw table.fault(at + 4, "structure", `type ${type} of ${length} bytes, ${bytes.length - at} are left`);
    if (type !== 1) continue;
    if (length < 32) throw table.fault(at, "structure", `type 1 of ${length} bytes`);
    // Bits 0-3: 0 is memory, the others are caches at its side.
    if ((bytes[at + 8]! & 0xf) !== 0) continue;
    const kind = bytes[at + 9]!;
    const [initiators, targets] = [view.getUint32(at + 12, true), view.getUint32(at + 16, true)];
    if (32 + 4 * (initiators + targets) + 2 * initiators * targets > length)
      throw table.fault(
        at + 12,
        "structure",
        `${initiators} initiators and ${targets} targets do not fit into ${length} bytes`,
      );
    const unit = table.wide(at + 24);
    const first = at + 32 + 4 * (initiators + targets);
    const isLatency = kind <= 2;
    const divisor = table.revision < 2 ? 10 : isLatency ? 1000 : 1;
    const figures = found.get(kind) ?? [];
    found.set(kind, figures);
    for (let i = 0; i < initiators; i++)
      for (let j = 0; j < targets; j++) {
        const where = first + 2 * (i * targets + j);
        const entry = view.getUint16(where, true);
        if (entry === 0 || entry === 0xffff) continue;
        const value = (entry * unit) / divisor;
        if (!(value > 0 && value < 1e9))
          throw table.fault(where, "entry", `${entry} of a unit of ${unit} is no figure`);
        figures.push({
          from: view.getUint32(at + 32 + 4 * i, true),
          to: view.getUint32(at + 32 + 4 * (initiators + j), true),
          value,
          at: where,
        });
      }
  }
  return {
    // What is said of reading alone goes before what is said of both.
    latencyNs: [...(found.get(0) ?? []), ...(found.get(1) ?? [])],
    bandwidthMBs: [...(found.get(3) ?? []), ...(found.get(4) ?? [])],
  };
}
