/**
 * N1 as a port of the series to 6.1 showed it: after every boot copies differ in no-ops, and CPUs of the other node run
 * more instructions, 51 more of 21,900 in a mount of a kernel without Xen PV.
 * Source: the port run under QEMU, text compared and instructions counted; arch/x86/kernel/alternative.c optimize_nops.
 */
import { CounterLayout } from "@kreplica/hw-x86";
import { NoOpFinder, noOpsSpared, smallImage, smallMachine } from "@kreplica/kernel";
import { e52690v3, tiny2Node } from "@kreplica/machines";
import { imageAddress } from "@kreplica/mm-core";
import { dataFile } from "@kreplica/recordings";
import { Region } from "@kreplica/replay/program";
import { Kind, MARKER, Phase } from "@kreplica/trace";
import { describe, expect, test } from "vitest";
import { boot } from "../../src/boot.js";
import { readTraceFile } from "../../src/inputs/trace-file.js";
import { measureFile } from "../../src/run-jobs.js";
import { tracedKernel } from "../../src/traced-kernel.js";

const violated = (kernel: ReturnType<typeof boot>): string[] => kernel.checkInvariants().violated.map(({ id }) => id);

describe("after every boot of rfc-v1", () => {
  test("the traced kernel's copies differ in its no-ops and nowhere else: long where the boot CPU is, of one byte elsewhere", () => {
    const kernel = boot({ spec: tiny2Node, policy: "rfc-v1" });
    expect(violated(kernel)).toContain("A1");
    const {
      image,
      layout,
      view,
      machine: { memory },
    } = kernel;
    const runs = image.noOps!;
    expect(runs.length).toBeGreaterThan(2000);
    const [near, far] = [new Uint8Array(4096), new Uint8Array(4096)];
    let differing = 0;
    for (let address = image.stext; address < image.etext; address += 4096n) {
      memory.readBytes(BigInt(view.replicaFrame(imageAddress(layout, address), 0)!) << 12n, near);
      memory.readBytes(BigInt(view.replicaFrame(imageAddress(layout, address), 1)!) << 12n, far);
      for (let at = 0; at < 4096; at++) {
        if (near[at] === far[at]) continue;
        differing++;
        expect(far[at]).toBe(0x90);
        const place = address + BigInt(at);
        expect(runs.some((run) => place >= run.address && place < run.address + BigInt(run.bytes))).toBe(true);
      }
    }
    expect(differing).toBeGreaterThan(5000);
    expect(kernel.timeline.find(({ step }) => step === "alternatives")!.did).toBe(
      `${runs.length} runs of no-ops made long in node 0's copy alone`,
    );
  });

  test("so do a small kernel's, on every kind of kernel; the corrected series' do not, nor is there anything to differ on one node", () => {
    for (const pti of [false, true])
      for (const masterNode of [0, 1]) {
        expect(
          violated(boot({ spec: smallMachine(2), image: smallImage("patch-06"), policy: "rfc-v1", pti, masterNode })),
        ).toContain("A1");
      }
    expect(violated(boot({ spec: smallMachine(2), image: smallImage("patch-06"), policy: "per-node" }))).toEqual([]);
    expect(violated(boot({ spec: smallMachine(1), image: smallImage("patch-06"), policy: "rfc-v1" }))).not.toContain(
      "A1",
    );
  });
});

test("a run saves all its no-ops but one for each eight bytes, and counts where it begins", () => {
  expect([2, 3, 8, 9, 16, 29].map(noOpsSpared)).toEqual([1, 2, 7, 7, 14, 25]);
  const finder = new NoOpFinder([
    { address: 0xffff_ffff_8100_0010n, bytes: 3 },
    { address: 0xffff_ffff_8100_0020n, bytes: 9 },
  ]);
  expect([
    finder.in(0x8100_0000, 16),
    finder.in(0x8100_0000, 17),
    finder.in(0x8100_0010, 40),
    finder.in(0x8100_0011, 15),
    finder.in(0x8100_0021, 100),
  ]).toEqual([0, 2, 9, 0, 0]);
});

describe("compare --policy rfc-v1", () => {
  /** Every fetch of the measured CPU's window against every run. */
  function countedIn(file: string): number {
    const runs = tracedKernel("patch-06").noOps!.map(({ address, bytes }) => ({
      lo: Number(BigInt.asUintN(32, address)),
      spared: noOpsSpared(bytes),
    }));
    let [vcpu, measured, more, open] = [0, -1, 0, false];
    readTraceFile(file, (batch) => {
      for (let i = 0; i < batch.length; i++) {
        if (batch.kind[i] === Kind.Vcpu) vcpu = batch.a[i]!;
        else if (batch.kind[i] === Kind.Mark && batch.a[i]! >>> 16 === MARKER) {
          if ((batch.a[i]! & 0xff) === Phase.Start) [measured, open] = [vcpu, true];
          else if ((batch.a[i]! & 0xff) === Phase.End) open = false;
        } else if (batch.kind[i] === Kind.Fetch && open && vcpu === measured && batch.hi[i] === 0xffff_ffff) {
          for (const { lo, spared } of runs) if (lo >= batch.lo[i]! && lo < batch.lo[i]! + batch.b[i]!) more += spared;
        }
      }
    });
    return more;
  }

  test.each(["mount", "fork1"])(
    "%s: CPUs of the other node run more instructions, in the kernel's text and nowhere else; those of the boot CPU's node do not",
    (key) => {
      const file = dataFile(`traces/hsw-${key}.kt.zst`);
      const layout = new CounterLayout(2);
      const instructions = (cpu: number, policy: string): number[] => {
        const [measured] = measureFile({
          spec: e52690v3,
          policies: [policy],
          where: { cpu, masterNode: 0, dataNode: 1 },
          pti: true,
          levels: 4,
          seed: 1,
          file,
          work: false,
        });
        return [Region.User, Region.Kernel].map((region) => measured!.cold[layout.place(region, 0)]!);
      };
      const [plain, posted, home] = [
        instructions(12, "per-node"),
        instructions(12, "rfc-v1"),
        instructions(0, "rfc-v1"),
      ];
      const more = countedIn(file);
      expect(more).toBeGreaterThan(50);
      expect(posted[1]! - plain[1]!).toBe(more);
      expect(posted[0]).toBe(plain[0]);
      expect(home).toEqual(instructions(0, "per-node"));
      console.log(`N1 in ${key}: ${more} instructions more of ${plain[1]!}`);
    },
  );
});
