/**
 * The host's WebAssembly: what this package uses of it, and whether it is there. Browsers refuse it by policy, some
 * hosts lack vectors: whoever makes binaries has another way for where there is none.
 */
import { BinaryWriter, HOST, MEMORY } from "./binary-writer.js";
import { i32, v128 } from "./operations.js";

/** A memory, of a fixed size here, so that views of it stay good. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

/** What a binary exports. */
export type Exports = Readonly<Record<string, (...values: number[]) => number>>;

/** What a binary was compiled to: instances of it share their code. */
export type Compiled = object;

interface WebAssemblyApi {
  readonly Memory: new (shape: { initial: number; maximum: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => Compiled;
  readonly Instance: new (compiled: Compiled, imports: object) => { readonly exports: Exports };
}

// With the DOM in scope, its own type of this is another.
const api = (globalThis as unknown as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly;

let works: boolean | undefined;

/** Whether binaries with vectors can be compiled and run here. Asked of the host once. */
export function hasWasm(): boolean {
  works ??= tried();
  return works;
}

function tried(): boolean {
  if (api === undefined) return false;
  const writer = new BinaryWriter(0);
  writer.add("mask", [], "i32", () => v128.mask32(v128.splat32(i32.const(-1))).code);
  try {
    return instance(compiled(writer.bytes()), memory(0)!, {})["mask"]!() === 15;
  } catch {
    // A policy that forbids it, or a host without vectors: both say so by refusing.
    return false;
  }
}

/**
 * A memory of so many pages of 64 KiB, all zero. Hosts keep gigabytes of addresses for each, and there is an end to
 * them.
 * @returns undefined where the host has no room
 */
export function memory(pages: number): WasmMemory | undefined {
  try {
    return new api!.Memory({ initial: pages, maximum: pages });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Compiles a binary; only where {@link hasWasm}. */
export const compiled = (bytes: Uint8Array<ArrayBuffer>): Compiled => new api!.Module(bytes);

/** @param imports functions by name, all the binary asks for */
export const instance = (
  from: Compiled,
  memory: WasmMemory,
  imports: Readonly<Record<string, (...values: number[]) => number | void>>,
): Exports => new api!.Instance(from, { [HOST]: { ...imports, [MEMORY]: memory } }).exports;
