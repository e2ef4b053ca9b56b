/** What people opened in this browser: machines, kernels and recordings of their own, by what an address calls them. */
import type { MachineSpec } from "@kreplica/hw-x86";
import { InputError } from "@kreplica/inputs";
import type { KernelFile } from "@kreplica/kernel-files";
import type { KernelImage } from "@kreplica/mm-core";
import type { TextSymbols } from "@kreplica/replay";
import type { Recording } from "@kreplica/trace";
import { nameOfKey } from "../hash.js";

/** A kernel somebody opened. */
export interface OwnKernel {
  /** As an address calls it, see {@link keyOf}. */
  readonly key: string;
  /** The file it came from, as errors name it. */
  readonly file: string;
  readonly bytes: Uint8Array;
  readonly kernel: KernelFile;
  readonly image: KernelImage;
  /** Its functions. */
  readonly names: TextSymbols;
}

/** A recording somebody opened. */
export interface OwnRecording {
  readonly key: string;
  readonly recording: Recording;
}

const machines = new Map<string, MachineSpec>();
const kernels = new Map<string, OwnKernel>();
const recordings = new Map<string, OwnRecording>();

/** Keeps a machine. @param text what an address says of it: all of it */
export const keepMachine = (text: string, machine: MachineSpec): void => void machines.set(text, machine);
/** Keeps a kernel, and forgets the one before: they are large. */
export const keepKernel = (own: OwnKernel): void => {
  kernels.clear();
  kernels.set(own.key, own);
};
/** Keeps a recording, and forgets the one before. */
export const keepRecording = (own: OwnRecording): void => {
  recordings.clear();
  recordings.set(own.key, own);
};

/** Whether a machine was read. */
export const hasMachine = (text: string): boolean => machines.has(text);
/** @param text what an address says of it @throws InputError where it was not read */
export const machineOf = (text: string): MachineSpec => machines.get(text) ?? missing("machine", nameOfKey(text));
/** @throws InputError where nobody opened it here */
export const ownKernel = (key: string): OwnKernel => kernels.get(key) ?? missing("kernel", nameOfKey(key), key);
/** Undefined where nobody opened it here. */
export const ownRecording = (key: string): OwnRecording | undefined => recordings.get(key);

/** @throws InputError for a file that an address is about and nobody opened here @param key as an address calls it */
export function missing(what: string, name: string, key = ""): never {
  throw new InputError({
    file: name,
    reason: `this link is about a ${what} that was opened elsewhere, and no link holds one`,
    remedy: `drop that file onto this page${key === "" ? "" : `: its SHA-256 begins with ${key.slice(name.length + 1)}`}`,
  });
}
