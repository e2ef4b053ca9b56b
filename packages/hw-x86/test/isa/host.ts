/// <reference types="node" />
/** The processor the tests run on: whose it is, what it has, whether a hypervisor is beneath. */
import { readFileSync } from "node:fs";
import type { Vendor } from "../../src/spec.js";

const NAMES = new Map<string, Vendor>([
  ["GenuineIntel", "intel"],
  ["AuthenticAMD", "amd"],
]);

/** One field of the first processor in a text like /proc/cpuinfo. */
const field = (text: string, name: string): string =>
  new RegExp(`^${name}\\s*:\\s*(.*)$`, "m").exec(text)?.[1]?.trim() ?? "";

/** What /proc/cpuinfo says; all empty where there is none. */
export interface Host {
  readonly vendorName: string;
  readonly vendor: Vendor | undefined;
  readonly features: ReadonlySet<string>;
}

/** @param text of /proc/cpuinfo */
export function hostFrom(text: string): Host {
  const vendorName = field(text, "vendor_id");
  return {
    vendorName,
    vendor: NAMES.get(vendorName),
    features: new Set(
      field(text, "flags")
        .split(/\s+/)
        .filter((name) => name !== ""),
    ),
  };
}

export function host(): Host {
  try {
    return hostFrom(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return hostFrom("");
  }
}
