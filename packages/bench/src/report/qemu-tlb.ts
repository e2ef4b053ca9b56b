/** Leaves as QEMU's monitor lists them (`info tlb`), so that a modelled table can be laid beside a real machine's. */
import { addressOfFrame, Bit, type Leaf, NO_EXECUTE } from "@kreplica/hw-x86/api";

const digits = (value: bigint): string => value.toString(16).padStart(16, "0");

/**
 * One line: address, physical address, and the flags of the leaf itself, not of the way to it:
 * X no execute, G global, P large, D dirty, A accessed, C cache disable, T write-through, U user, W writable.
 */
export function qemuTlbLine({ address, level, frame, lo, hi }: Leaf): string {
  const flag = (letter: string, set: boolean): string => (set ? letter : "-");
  const flags =
    flag("X", (hi & NO_EXECUTE) !== 0) +
    flag("G", (lo & Bit.Global) !== 0) +
    flag("P", level > 1) +
    flag("D", (lo & Bit.Dirty) !== 0) +
    flag("A", (lo & Bit.Accessed) !== 0) +
    flag("C", (lo & Bit.CacheDisable) !== 0) +
    flag("T", (lo & Bit.WriteThrough) !== 0) +
    flag("U", (lo & Bit.User) !== 0) +
    flag("W", (lo & Bit.Writable) !== 0);
  return `${digits(address)}: ${digits(addressOfFrame(frame))} ${flags}`;
}
