/**
 * The machines that come with kreplica, by name. To add one: write its file, list it here, name a source for every
 * number.
 */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { InputError, nearest } from "@kreplica/inputs";
import { e52690v3 } from "./e5-2690v3-2s.js";
import { e52682v4 } from "./e5-2682v4-2s.js";
import { epyc7713 } from "./epyc-7713-2s.js";
import { epyc9654 } from "./epyc-9654-2s.js";
import { recordedGuest } from "./recorded-guest.js";
import { tiny2Node } from "./tiny-2-node.js";
import { xeon8180 } from "./xeon-8180-2s.js";
import { xeon8260 } from "./xeon-8260-8s.js";
import { xeon8280 } from "./xeon-8280-4s.js";
import { xeon8480 } from "./xeon-8480-2s.js";
import { xeon8592 } from "./xeon-8592-2s.js";

/** In the order in which `kreplica machine` lists them. */
export const presets: readonly MachineSpec[] = [
  e52690v3,
  e52682v4,
  epyc7713,
  epyc9654,
  xeon8180,
  xeon8280,
  xeon8260,
  xeon8480,
  xeon8592,
  recordedGuest,
  tiny2Node,
];

/** The machine a command takes when none is named: the one the series was measured on. */
export const defaultPreset: MachineSpec = e52690v3;

/** Names of those whose addresses have 57 bits: five levels of page tables. */
export const withFiveLevels = (): string[] =>
  presets.filter((each) => each.virtualBits === 57).map((each) => each.name);

/** @returns undefined when no preset has the name */
export const preset = (name: string): MachineSpec | undefined => presets.find((each) => each.name === name);

/** What to do about a name that no preset has: the nearest, or all of them. */
export function presetMeant(name: string): string {
  const names = presets.map((each) => each.name);
  const meant = nearest(name, names);
  return meant ? `did you mean ${meant}?` : `the presets are ${names.join(", ")}`;
}

/**
 * The preset of a name, as an input names it.
 * @param file that names it, or an option
 * @throws InputError naming the nearest preset, or all of them
 */
export function presetNamed(name: string, file: string): MachineSpec {
  const found = preset(name);
  if (found) return found;
  throw new InputError({
    file,
    reason: `no preset is called ${JSON.stringify(name)}`,
    remedy: presetMeant(name),
  });
}
