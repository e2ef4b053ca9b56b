/**
 * What every implementation of ReplicaView must do, looked at after each step of a boot, and of boots in which a
 * request for memory is refused. Run it with any test library: it throws when a promise is broken.
 *
 * Promised: holders ascend, exist and have memory, the master among them; until something is replicated there is one;
 * each node's nearest is a holder, a holder's itself; the boot table is the first root, and what a node's CPUs load is
 * a root of its holder, adopted where it is another than the master's; nothing is private while there is one holder;
 * addresses that are not private lead to one frame on every root; a holder's frames of what is copied are its own
 * node's and hold the master's bytes, of what is not copied the master's; frames are those that the tables name; CPUs
 * stand on their node's root once they are set up; an address in a copy is that of a text frame by the direct map,
 * known from the replication to the clearing; with memory refused at any request the boot ends with MmError, or all of
 * this holds still.
 *
 * Left to the implementation: which nodes hold what, which holder serves a node without copies, where tables lie and
 * how many are private.
 */
import { overlay, plugin, type Plugin } from "@kreplica/di";
import { addressOfFrame, endOf, type Frame, hex, type NodeId, NONE, PAGE } from "@kreplica/hw-x86/api";
import { promised } from "@kreplica/hw-x86/testing";
import { BOOT_STEPS, type BootStep } from "../boot/boot-api.js";
import { MmError } from "../errors.js";
import { FIXED, imageAddress } from "../image/layout.js";
import { BootMemory } from "../memory/boot-memory-api.js";
import { frameAt } from "../tables/walk.js";
import type { TestKernel } from "./kernel.js";

/** One kernel that has not booted, its view under test. */
export type ViewSubject = Pick<
  TestKernel,
  "machine" | "layout" | "image" | "allocator" | "entries" | "view" | "boot" | "cpus"
>;

const at = (step: BootStep): number => BOOT_STEPS.indexOf(step);

/** @param make a subject that shares nothing with any other, with these plugins assembled @throws BrokenPromise */
export function replicaViewContract(make: (plugins: readonly Plugin[]) => ViewSubject): void {
  const early = new EarlyRefusal();
  const subject = make([early.plugin]);
  const requests = new Map<BootStep, { early: number; late: number }>();
  for (const step of BOOT_STEPS) {
    const before = { early: early.requests, late: subject.allocator.requests };
    subject.boot.runTo(step);
    requests.set(step, { early: early.requests - before.early, late: subject.allocator.requests - before.late });
    look(subject, step);
  }
  for (const step of ["numa-reserve-memory", "numa-replicate-kernel", "numa-replicate-rodata"] as const) {
    for (let nth = 1; nth <= requests.get(step)!.early; nth++)
      refused(make, step, (_kernel, again) => {
        again.refuse(nth);
      });
    for (let nth = 1; nth <= requests.get(step)!.late; nth++)
      refused(make, step, (kernel) => {
        kernel.allocator.refuse(nth);
      });
  }
}

/** Lies over the allocator of early boot and refuses one request. */
class EarlyRefusal {
  requests = 0;
  private at = 0;
  readonly plugin = plugin("refusing-boot-memory", [
    overlay(BootMemory, (base): BootMemory => ({
      allocate: (...request) => (this.requests++, this.at > 0 && --this.at === 0 ? NONE : base.allocate(...request)),
      reserve: (...run) => {
        base.reserve(...run);
      },
      release: (...run) => {
        base.release(...run);
      },
      freeFrames: (node) => base.freeFrames(node),
      usedFrames: (node, purpose) => base.usedFrames(node, purpose),
      handOver: () => base.handOver(),
      get active() {
        return base.active;
      },
    })),
  ]);
  /** Refuses the n-th request from now; 0 none. */
  refuse(nth: number): void {
    this.at = nth;
  }
}

function refused(
  make: (plugins: readonly Plugin[]) => ViewSubject,
  step: BootStep,
  refuse: (kernel: ViewSubject, early: EarlyRefusal) => void,
): void {
  const early = new EarlyRefusal();
  const subject = make([early.plugin]);
  subject.boot.runTo(BOOT_STEPS[at(step) - 1]!);
  refuse(subject, early);
  try {
    subject.boot.runTo(step);
  } catch (error) {
    promised(
      error instanceof MmError,
      "with memory refused the boot ends with MmError, or all of this holds still",
      `${step}: ${String(error)}`,
    );
    return;
  } finally {
    early.refuse(0);
    subject.allocator.refuse(0);
  }
  for (const next of BOOT_STEPS.slice(at(step))) {
    subject.boot.runTo(next);
    look(subject, next);
  }
}

/** All promises, as they stand after a step. */
function look(subject: ViewSubject, step: BootStep): void {
  const { view, machine } = subject;
  const { holders, master } = view;
  const withMemory = new Set(machine.memory.ranges.map((range) => range.node));
  promised(
    holders.length > 0 &&
      holders.every((node, index) => withMemory.has(node) && (index === 0 || node > holders[index - 1]!)),
    "holders ascend, exist and have memory",
    `${holders.join(", ")} after ${step}`,
  );
  promised(holders.includes(master), "the master is a holder", `node ${master} is not among ${holders.join(", ")}`);
  const replicated = holders.length > 1;
  if (at(step) < at("numa-replicate-kernel"))
    promised(!replicated, "until something is replicated there is one holder", `${holders.length} after ${step}`);
  if (!replicated)
    for (const address of [
      imageAddress(subject.layout, subject.image.stext),
      FIXED.modulesStart,
      FIXED.modulesEnd - PAGE,
    ])
      promised(
        !view.isPrivate(address),
        "nothing is private while there is one holder",
        `${hex(address)} after ${step}`,
      );
  if (!replicated)
    promised(
      !view.copies.text && !view.copies.rodata,
      "one holder copies nothing",
      `text ${view.copies.text}, rodata ${view.copies.rodata} after ${step}`,
    );
  for (const node of machine.nodes) {
    const nearest = view.nearest(node);
    promised(
      holders.includes(nearest),
      "each node's nearest is a holder",
      `node ${node} goes to node ${nearest} after ${step}`,
    );
    if (holders.includes(node))
      promised(nearest === node, "a holder's nearest is itself", `node ${node} goes to node ${nearest} after ${step}`);
  }
  if (at(step) < at("load-image")) return;
  roots(subject, step);
  frames(subject, step);
  linear(subject, step);
}

function roots({ view, machine, cpus, entries }: ViewSubject, step: BootStep): void {
  for (const { root, node, kind } of view.roots)
    promised(
      kind === "boot" || node === view.master || entries.isCopy(root),
      "roots that a single copy would not have are adopted",
      `frame ${root} of node ${node} is not, after ${step}: stores there would count as a single copy's`,
    );
  promised(
    view.roots[0]?.kind === "boot" && view.roots[0].node === view.master,
    "the boot table is the first root",
    `${view.roots.map(({ kind, node }) => `${kind} of ${node}`).join(", ")} after ${step}`,
  );
  promised(
    new Set(view.roots.map(({ root }) => root)).size === view.roots.length,
    "the boot table is the first root",
    `one stands there twice after ${step}`,
  );
  for (const node of machine.nodes) {
    const found = view.roots.find(({ root }) => root === view.kernelRoot(node));
    promised(
      found !== undefined && found.node === view.nearest(node),
      "what a node's CPUs load is a root of its holder",
      `node ${node} loads ${found ? `${found.kind} of ${found.node}` : "no root of the list"} after ${step}`,
    );
  }
  // Which CPUs a step sets up is the boot's: the first one right after replication, the others as they come.
  if (at(step) < at("smp-init")) return;
  for (const cpu of cpus.online) {
    const wanted = view.kernelRoot(machine.nodeOfCpu(cpu));
    promised(
      machine.cpu(cpu).rootFrame === wanted,
      "CPUs stand on their node's root once they are set up",
      `CPU ${cpu} is on ${machine.cpu(cpu).rootFrame}, its node's root is ${wanted} after ${step}`,
    );
  }
}

function frames({ view, machine, layout, image, entries }: ViewSubject, step: BootStep): void {
  const { memory } = machine;
  const behind = (root: Frame, address: bigint): Frame | undefined =>
    frameAt(entries.memory, root, layout.levels, address);
  const parts = [
    { start: image.stext, end: image.etext, copied: view.copies.text, only: view.copies.textRanges },
    // Rodata is copied when nothing writes it any more.
    {
      start: image.startRodata,
      end: image.endRodata,
      copied: view.copies.rodata && at(step) >= at("numa-replicate-rodata"),
      only: undefined,
    },
  ];
  for (const { start, end, copied: whole, only } of parts) {
    for (const linked of new Set([start, start + PAGE, (end - 1n) & ~(PAGE - 1n)])) {
      const address = imageAddress(layout, linked);
      const copied = whole && (only?.some((range) => address >= range.start && address < endOf(range)) ?? true);
      const original = view.replicaFrame(address, view.master);
      promised(
        original !== undefined,
        "frames are those that the tables name",
        `nothing is known behind ${hex(address)} on the master after ${step}`,
      );
      for (const node of machine.nodes) {
        const frame = view.replicaFrame(address, node);
        const named = behind(view.kernelRoot(node), address);
        promised(
          frame === named,
          "frames are those that the tables name",
          `${hex(address)} on node ${node} is frame ${frame}, its tables name ${named} after ${step}`,
        );
        const holder = view.nearest(node);
        if (!copied || holder === view.master) {
          promised(
            frame === original,
            "of what is not copied the frames are the master's",
            `${hex(address)} on node ${node} is frame ${frame}, the master's ${original} after ${step}`,
          );
          continue;
        }
        promised(
          memory.nodeOf(frame!) === holder,
          "a holder's frames of what is copied are its own node's",
          `${hex(address)} on node ${node} is on node ${memory.nodeOf(frame!)}, not ${holder} after ${step}`,
        );
        promised(
          memory.equalFrames(frame!, original),
          "copies hold the master's bytes",
          `${hex(address)} on node ${node} differs after ${step}`,
        );
      }
    }
  }
  const samples = [image.stext, image.startRodata, image.end - PAGE].map((linked) => imageAddress(layout, linked));
  const elsewhere =
    at(step) < at("setup-arch")
      ? []
      : [layout.pageOffset + layout.imagePhysical, layout.vmemmapStart + ((layout.imagePhysical >> 12n) << 6n)];
  for (const address of [...samples, ...elsewhere].filter((each) => !view.isPrivate(each))) {
    const first = behind(view.roots[0]!.root, address);
    for (const { root, node } of view.roots)
      promised(
        behind(root, address) === first,
        "addresses that are not private lead to one frame on every root",
        `${hex(address)} leads to ${behind(root, address)} on the root of node ${node}, to ${first} by the boot table after ${step}`,
      );
  }
}

function linear({ view, machine, layout, image }: ViewSubject, step: BootStep): void {
  const known =
    view.holders.length > 1 && at(step) >= at("numa-replicate-kernel") && at(step) < at("numa-clear-linear");
  const holds = (node: NodeId): boolean => known && view.holders.includes(node);
  const probes = [
    [image.stext, true],
    [image.etext - 1n, true],
    [image.stext - 1n, false],
    [image.startRodata, false],
  ] as const;
  for (const [linked, inside] of probes) {
    const address = imageAddress(layout, linked);
    for (const node of machine.nodes) {
      const frame = inside && holds(node) ? view.replicaFrame(address, node) : undefined;
      const wanted =
        frame === undefined ? undefined : layout.pageOffset + addressOfFrame(frame) + (address & (PAGE - 1n));
      const found = view.addressInReplica(address, node);
      promised(
        found === wanted,
        "an address in a copy is that of a text frame by the direct map, known from the replication to the clearing",
        `${hex(address)} on node ${node}: ${found === undefined ? "none" : hex(found)}, it should be ${wanted === undefined ? "none" : hex(wanted)} after ${step}`,
      );
    }
  }
}
