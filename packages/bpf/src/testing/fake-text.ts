/**
 * The kernel below BPF images as plain arrays, with every rule of their life checked: a write at the wrong time throws.
 */
import { type AddressRange, bytesAt, hex, lengthOf, PAGE, PAGE_BYTES, type PageRange } from "@kreplica/hw-x86/api";
import { invariant } from "../errors.js";
import type { CodeAreas, CodePermissions, CodeReplication, CodeWriter } from "../ports.js";

/** Code that a test placed. */
interface Area {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly what: string;
  executable: boolean;
  replicated: boolean;
}

/** Implements all four ports. `log` tells what happened, in order. */
export class FakeText implements CodeAreas, CodePermissions, CodeWriter, CodeReplication {
  readonly areas: Area[] = [];
  readonly log: string[] = [];
  /** Areas that may still be allocated; for tests of running out. */
  left = Infinity;
  private next: bigint;
  constructor(first = 0xffff_ffff_c000_0000n) {
    this.next = first;
  }

  allocate(bytes: number, what: string): bigint | undefined {
    if (this.left-- <= 0) return undefined;
    const address = this.next;
    this.next += (BigInt(bytes) / PAGE + 2n) * PAGE;
    this.areas.push({ address, bytes: new Uint8Array(bytes), what, executable: false, replicated: false });
    this.log.push(`allocate ${what}`);
    return address;
  }
  release(address: bigint): void {
    const at = this.areas.findIndex((area) => area.address === address);
    invariant(at >= 0, "an area that is not there is released");
    this.log.push(`release ${this.areas[at]!.what}`);
    this.areas.splice(at, 1);
  }
  write(address: bigint, bytes: Uint8Array): void {
    const area = this.at(bytesAt(address, bytes.length));
    invariant(!area.executable && !area.replicated, "direct write to code that is read-only or has copies");
    area.bytes.set(bytes, Number(address - area.address));
  }
  replicate(address: bigint): void {
    const area = this.at(bytesAt(address, 1));
    invariant(!area.executable, "replicated after the permissions were tightened");
    area.replicated = true;
    this.log.push(`replicate ${area.what}`);
  }
  readOnlyExecutable(range: PageRange): void {
    this.permit(range, true);
  }
  writableNoExecute(range: PageRange): void {
    this.permit(range, false);
  }
  copy(address: bigint, bytes: Uint8Array): void {
    const area = this.at(bytesAt(address, bytes.length));
    invariant(area.executable, "the code writer is for code that is read-only");
    area.bytes.set(bytes, Number(address - area.address));
  }
  set(range: AddressRange, byte: number): void {
    this.copy(range.start, new Uint8Array(lengthOf(range)).fill(byte));
  }
  live(address: bigint, bytes: Uint8Array): void {
    this.copy(address, bytes);
    this.log.push(`live ${bytes[0] === 0xe8 ? "call" : "nop"}`);
  }
  read(range: AddressRange): Uint8Array {
    const area = this.at(range);
    return area.bytes.slice(Number(range.start - area.address), Number(range.end - area.address));
  }
  settle(): void {
    this.log.push("settle");
  }

  private permit({ start: address, pages }: PageRange, executable: boolean): void {
    const area = this.at(bytesAt(address, 1));
    invariant(
      area.address === address && pages * PAGE_BYTES >= area.bytes.length,
      "permissions change for whole areas",
    );
    invariant(area.executable !== executable, "permissions are already so");
    area.executable = executable;
    this.log.push(`${executable ? "rox" : "rw-nx"} ${area.what}`);
  }
  private at({ start, end }: AddressRange): Area {
    const area = this.areas.find((each) => start >= each.address && end <= each.address + BigInt(each.bytes.length));
    invariant(area !== undefined, `${hex(start)} lies in no area`);
    return area;
  }
}
