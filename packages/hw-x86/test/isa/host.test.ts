/** Whose processor the proof believes to run on, from texts of /proc/cpuinfo. */
import { expect, test } from "vitest";
import { hostFrom } from "./host.js";

test.each([
  ["GenuineIntel", "intel"],
  ["AuthenticAMD", "amd"],
  ["HygonGenuine", undefined],
  ["CentaurHauls", undefined],
] as const)("%s is %s", (vendorName, vendor) => {
  const text = `processor\t: 0\nvendor_id\t: ${vendorName}\ncpu family\t: 6\nflags\t\t: fpu vme bmi1  fsgsbase\nbugs\t\t: null_seg\n\nprocessor\t: 1\nvendor_id\t: Other\n`;
  expect(hostFrom(text)).toEqual({ vendorName, vendor, features: new Set(["fpu", "vme", "bmi1", "fsgsbase"]) });
});

test("where /proc/cpuinfo says nothing of the kind, nothing is believed", () => {
  for (const text of ["", "processor\t: 0\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"]) {
    expect(hostFrom(text)).toEqual({ vendorName: "", vendor: undefined, features: new Set() });
  }
});
