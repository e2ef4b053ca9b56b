/**
 * The machines that an explanation runs a test on: the one that is, and those that differ from it in one thing. What
 * differs in latencies alone needs no run.
 */
import type { MachineSpec } from "@kreplica/hw-x86";
import type { CpuId } from "@kreplica/hw-x86/api";
import { checkMachine } from "@kreplica/machines";
import { indexOf } from "../measure/placement.js";
import { otherCores } from "../replay/foreign-stream.js";
import { depthsOf, frontEndFor, withLinesAhead } from "./front-end.js";
import type { MachineVariant } from "./variants.js";

/** In what a machine differs, and how far. */
export type Difference =
  | { readonly of: "nothing" }
  /** MB/s that each other core behind the CPU's last-level cache reads through it. */
  | { readonly of: "pressure"; readonly value: number }
  /** Bytes. */
  | { readonly of: "L2 size"; readonly value: number }
  /** Lines its front end has under way at once; 0: it waits for each. */
  | { readonly of: "run-ahead"; readonly value: number }
  | { readonly of: "inclusion"; readonly value: Inclusion };

/** How a last-level cache stands to those above it. */
export type Inclusion = MachineSpec["l3"]["inclusion"];
/** The other kind: one that takes lines out of L1 and L2, and one that does not. */
const otherInclusion = (of: Inclusion): Inclusion => (of === "inclusive" ? "independent" : "inclusive");

/** A machine to run, and in what it differs. */
export type Planned = MachineVariant & { readonly differs: Difference };

/** Sizes of the L2 caches of x86 servers, from Nehalem (256 KiB) to Sapphire Rapids (2 MiB). */
export const L2_SIZES: readonly number[] = [256, 512, 1024, 2048].map((kib) => kib << 10);

/** Of what its node's memory gives, shared by the other cores: none of it is looked at without a run. */
const PRESSURES = [1 / 2, 1] as const;

/**
 * Most that each other core behind the CPU's last-level cache can read, MB/s: their node's peak, shared; 0 where there
 * is none, or their node has no memory.
 */
export function mostPressure(spec: MachineSpec, cpu: CpuId): number {
  const others = otherCores(spec, cpu).length;
  const at = indexOf(spec, spec.cpus.find(({ id }) => id === cpu)!.node);
  return others === 0 ? 0 : Math.floor(spec.bandwidthMBs[at]![at]! / others);
}

/** The same cache, inclusive or not. */
export const withInclusion = (spec: MachineSpec, inclusion: Inclusion): MachineSpec => ({
  ...spec,
  l3: { ...spec.l3, inclusion },
});

/** The same number of ways; sets by size. */
export const withL2 = (spec: MachineSpec, bytes: number): MachineSpec => ({
  ...spec,
  l2: { ...spec.l2, bytes },
});

/** @param spec of the machine as it is, which is the first */
export function planned(spec: MachineSpec, cpu: CpuId): Planned[] {
  const most = mostPressure(spec, cpu);
  const known = frontEndFor(spec);
  return [
    { spec, differs: { of: "nothing" } },
    ...(most === 0
      ? []
      : PRESSURES.map((part): Planned => {
          const mbsPerCore = Math.max(1, Math.round(most * part));
          return { spec, pressure: { mbsPerCore }, differs: { of: "pressure", value: mbsPerCore } };
        })),
    ...L2_SIZES.filter((bytes) => bytes !== spec.l2.bytes && fits(spec, bytes)).map((bytes): Planned => ({
      spec: withL2(spec, bytes),
      differs: { of: "L2 size", value: bytes },
    })),
    {
      spec: withInclusion(spec, otherInclusion(spec.l3.inclusion)),
      differs: { of: "inclusion", value: otherInclusion(spec.l3.inclusion) },
    },
    ...(known === undefined
      ? []
      : depthsOf(spec, known.frontEnd.lines).map((lines): Planned => ({
          spec: withLinesAhead(spec, lines, known.frontEnd),
          differs: { of: "run-ahead", value: lines },
        }))),
  ];
}

/** Whether the machine could have an L2 of that size, above its L1s. */
export const fits = (spec: MachineSpec, bytes: number): boolean =>
  bytes > Math.max(spec.l1i.bytes, spec.l1d.bytes) && checkMachine(withL2(spec, bytes)).length === 0;
