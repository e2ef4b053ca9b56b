/** M4: a page that is not global is cached under every PCID a CPU ran it with; the protection family meets it. */
import { bind, inject, injectable, plugin, token, type Plugin } from "@kreplica/di";
import { smallImage, smallMachine } from "@kreplica/kernel";
import { CpuState } from "@kreplica/mm-core";
import { expect, test } from "vitest";
import { campaign } from "../src/campaign.js";
import { CheckedSystem } from "../src/checked-system.js";
import { protectionFamily, type ProtectionOperation } from "../src/families/protection.js";

/** As Linux is, which relies on kernel pages being global: INVLPG, whatever the pages were. */
@injectable()
class CurrentPcidOnly {
  constructor(@inject(CpuState) cpus: CpuState) {
    const flushRanges = cpus.flushRanges.bind(cpus);
    cpus.flushRanges = (ranges) => {
      flushRanges(ranges);
    };
  }
}
const m4 = plugin("M4", [bind(token<CurrentPcidOnly>("test/M4"), CurrentPcidOnly)]);
const kernel = (pti: boolean, plugins: readonly Plugin[] = [], pcid = true) => ({
  spec: smallMachine(2),
  policy: "per-node",
  image: smallImage(),
  pti,
  pcid,
  plugins,
});
const page = 2;
const steps: ProtectionOperation[] = [
  { op: "setmem", change: "nonglobal", page, pages: 1 },
  { op: "pcidmem", cpu: 1, page, kind: "write", pcid: 0 },
  { op: "pcidmem", cpu: 1, page, kind: "write", pcid: 1 },
  { op: "setmem", change: "ro", page, pages: 1 },
  { op: "pcidmem", cpu: 1, page, kind: "write", pcid: 1 },
  { op: "pcidmem", cpu: 1, page, kind: "write", pcid: 0 },
];
const outcome = (options: ReturnType<typeof kernel>): string => {
  try {
    new CheckedSystem(options, { families: [protectionFamily] }).run(steps);
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing";
};

test("a flush of the current PCID alone is found where nothing else is flushed: without KPTI, with PCIDs", () => {
  expect(outcome(kernel(false, [m4]))).toMatch(
    /^G12: CPU 1 has cached 0xffffffffdc002000 .*, writable, the tables say read-only/,
  );
  expect(outcome(kernel(true, [m4]))).toBe("nothing");
  expect(outcome(kernel(false, [m4], false))).toBe("nothing");
  for (const pti of [false, true]) expect(outcome(kernel(pti))).toBe("nothing");
});

test("a campaign draws it", () => {
  const run = (plugins: readonly Plugin[]) =>
    campaign({
      runs: 8,
      steps: 100,
      seed: 3,
      comparison: "off",
      families: [protectionFamily],
      kernels: [kernel(false, plugins)],
    });
  expect(run([]).violations).toEqual([]);
  expect(run([m4]).violations.map(({ invariant }) => invariant)).toEqual(["G12"]);
});
