/** What helpers do, on the model's memory: the same functions behind the interpreter and behind compiled programs. */
import { bytesAt } from "@kreplica/hw-x86/api";
import type { BpfMap } from "../maps/map.js";
import { RingBuffer } from "../maps/ring.js";
import type { BpfMemory } from "../memory.js";
import { SKB_PACKET } from "../verify/context.js";

/** Where helpers run. */
export interface HelperHost {
  readonly memory: BpfMemory;
  /** CPU that runs the program, and its node. */
  cpu(): number;
  node(): number;
  /** Nanoseconds of the model's clock. */
  now(): bigint;
  /** Next number of the model's seeded source, 32 bits. */
  random(): number;
  /** pid and tgid of the current task, tgid in the upper half; and its name. */
  task(): { readonly pidTgid: bigint; readonly name: string };
  /** Receives formatted trace output. */
  trace(line: string): void;
  map(handle: bigint): BpfMap | undefined;
}

const FAULT = -14,
  INVALID = -22;
const signed = (value: number): bigint => BigInt.asUintN(64, BigInt(value));

/** @returns r0 of helper `id`, or undefined when it has no function here */
export function callHelper(
  host: HelperHost,
  id: number,
  r1: bigint,
  r2: bigint,
  r3: bigint,
  r4: bigint,
  r5: bigint,
): bigint | undefined {
  const { memory } = host,
    map = host.map(r1);
  const key = (): Uint8Array | undefined => (map ? memory.read(bytesAt(r2, map.definition.keyBytes)) : undefined);
  switch (id) {
    case 1: {
      const k = key();
      return map && k ? map.lookup(k, host.cpu()) : 0n;
    }
    case 2: {
      const k = key(),
        value = map ? memory.read(bytesAt(r3, map.definition.valueBytes)) : undefined;
      return signed(map && k && value ? map.update(k, value, Number(BigInt.asUintN(32, r4)), host.cpu()) : INVALID);
    }
    case 3: {
      const k = key();
      return signed(map && k ? map.delete(k) : INVALID);
    }
    case 4:
    case 113: {
      const bytes = memory.read(bytesAt(r3, Number(r2)));
      memory.write(r1, bytes ?? new Uint8Array(Number(r2)));
      return signed(bytes ? 0 : FAULT);
    }
    case 5:
      return host.now();
    case 6: {
      const format = memory.read(bytesAt(r1, Number(r2)));
      if (!format) return signed(FAULT);
      const line = print(format, [r3, r4, r5]);
      host.trace(line);
      return BigInt(line.length);
    }
    case 7:
      return BigInt(host.random() >>> 0);
    case 8:
      return BigInt(host.cpu());
    case 14:
      return host.task().pidTgid;
    case 16: {
      const name = new Uint8Array(Number(r2));
      for (let i = 0; i < Math.min(name.length - 1, host.task().name.length); i++)
        name[i] = host.task().name.charCodeAt(i);
      return signed(memory.write(r1, name) ? 0 : FAULT);
    }
    case 26:
      return signed(loadPacket(memory, r1, Number(BigInt.asUintN(32, r2)), r3, Number(BigInt.asUintN(32, r4))));
    case 42:
      return BigInt(host.node());
    case 130: {
      const bytes = memory.read(bytesAt(r2, Number(r3)));
      if (!(map instanceof RingBuffer) || !bytes) return signed(INVALID);
      const at = map.reserve(bytes.length);
      if (at === 0n) return signed(-11);
      memory.write(at, bytes);
      map.finish(at, false);
      return 0n;
    }
    case 131:
      return map instanceof RingBuffer && r3 === 0n ? map.reserve(Number(r2)) : 0n;
    case 132:
    case 133:
      return finishRecord(host, r1, id === 133);
    case 134:
      return map instanceof RingBuffer
        ? r2 === 0n
          ? BigInt(map.waiting)
          : r2 === 1n
            ? BigInt(map.definition.entries)
            : 0n
        : signed(INVALID);
    default:
      return undefined;
  }
}

/** Bytes of the packet behind a socket buffer; what cannot be had is zeros and an error. Linux: bpf_skb_load_bytes() */
function loadPacket(memory: BpfMemory, context: bigint, offset: number, to: bigint, bytes: number): number {
  const word = (at: number): bigint => {
    const read = memory.read(bytesAt(context + BigInt(at), 8));
    return read ? new DataView(read.buffer).getBigUint64(0, true) : 0n;
  };
  const data = word(SKB_PACKET.data),
    inside = BigInt(offset) + BigInt(bytes) <= word(SKB_PACKET.end) - data;
  const found = inside ? memory.read(bytesAt(data + BigInt(offset), bytes)) : undefined;
  memory.write(to, found ?? new Uint8Array(bytes));
  return found ? 0 : FAULT;
}

/** Rings that hold open records find theirs by address. */
function finishRecord(host: HelperHost & { rings?(): Iterable<RingBuffer> }, data: bigint, discard: boolean): bigint {
  for (const ring of host.rings?.() ?? []) if (ring.finish(data, discard)) break;
  return 0n;
}

/** %d %i %u %x %ld %lu %lx %lld %llu %llx %p %%; an unknown conversion is left as it is. */
function print(format: Uint8Array, values: readonly bigint[]): string {
  let text = "";
  for (const byte of format) {
    if (byte === 0) break;
    text += String.fromCharCode(byte);
  }
  let next = 0;
  return text.replace(/%(?:%|(l{0,2})([diuxp]))/g, (whole, long: string | undefined, kind: string | undefined) => {
    if (whole === "%%") return "%";
    const value = values[next++] ?? 0n,
      bits = long || kind === "p" ? 64 : 32;
    return kind === "d" || kind === "i"
      ? `${BigInt.asIntN(bits, value)}`
      : BigInt.asUintN(bits, value).toString(kind === "u" ? 10 : 16);
  });
}
