/** Text of 64 KiB as bytes, and what patching at boot is told, for tests of bytes made by hand. */
import { type AddressRange, bytesAt } from "@kreplica/hw-x86/api";
import { type PatchableText, type PatchState, plainPatchState } from "../src/api.js";

export const BASE = 0xffff_ffff_8100_0000n;
export const THUNKS = BASE + 0x8000n;
export const RETURN_THUNK = BASE + 0x9000n;
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export class Flat implements PatchableText {
  readonly memory = new Uint8Array(0x1_0000);
  /** Of each write: what for, and where. */
  readonly why: string[] = [];
  put(address: bigint, bytes: Uint8Array | readonly number[]): bigint {
    this.memory.set(bytes, Number(address - BASE));
    return address;
  }
  read(range: AddressRange): Uint8Array {
    return this.memory.slice(Number(range.start - BASE), Number(range.end - BASE));
  }
  write(address: bigint, bytes: Uint8Array, why: string): void {
    this.why.push(`${why} ${address - BASE}`);
    this.put(address, bytes);
  }
  hex(address: bigint, length: number): string {
    return hex(this.read(bytesAt(address, length)));
  }
}

export const state = (change: Partial<PatchState> = {}): PatchState => ({
  ...plainPatchState,
  indirectThunks: THUNKS,
  defaultReturnThunk: RETURN_THUNK,
  staticCallReturn0: BASE + 0xa000n,
  ...change,
});
