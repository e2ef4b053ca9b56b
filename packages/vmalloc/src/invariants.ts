/** E1, E2, E6, E8 and E12 checked on live areas, by walking every holder's tables: what must be true when no operation is in flight. */
import { NONE, type NodeId, type PhysMemory } from "@kreplica/hw-x86/api";
import { type AddressRange, type KernelLayout, type KernelTables, type ReplicaView, sameBytes } from "@kreplica/mm-core/api";
import type { Vmalloc, VmArea } from "./api.js";

/** An invariant that does not hold, with where. */
export interface AreaFinding { readonly id: "E1" | "E2" | "E6" | "E8" | "E12" | "B6"; readonly detail: string }

/** What a check needs of a kernel. */
export interface AreaWitnesses {
  readonly vmalloc: Vmalloc;
  readonly tables: KernelTables;
  readonly view: ReplicaView;
  readonly memory: PhysMemory;
  readonly layout: KernelLayout;
  /** Sites of a patch under way, where copies may differ. */
  readonly patchedNow?: readonly AddressRange[];
}

const hex = (address: bigint): string => `0x${address.toString(16)}`;

/** @returns every finding, none when all holds */
export function checkAreas(kernel: AreaWitnesses): AreaFinding[] {
  const findings: AreaFinding[] = [];
  for (const area of kernel.vmalloc.areas()) findings.push(...checkArea(kernel, area));
  findings.push(...checkPageCounts(kernel));
  return findings;
}

/** E1, E2, E8, E12 and B6 of one area, its guard page included. */
export function checkArea(kernel: AreaWitnesses, area: VmArea): AreaFinding[] {
  const findings: AreaFinding[] = [];
  const { holders } = kernel.view;
  const frameOn = (node: NodeId, page: number): number => kernel.vmalloc.toFrameOn(node, area.start + BigInt(page) * 4096n);
  for (let page = 0; page < area.pages; page++) {
    const address = area.start + BigInt(page) * 4096n;
    const frames = holders.map((holder) => frameOn(holder, page));
    if (frames.includes(NONE)) {
      findings.push({ id: "E1", detail: `${hex(address)} is a hole on node ${holders[frames.indexOf(NONE)]}` });
      continue;
    }
    holders.forEach((holder, i) => {
      const expected = area.state === "replicated" && holder !== area.node ? area.copies.get(holder)?.[page] : area.frames[page];
      if (frames[i] !== expected) findings.push({ id: "E2", detail: `${hex(address)} on node ${holder} is frame ${frames[i]}, not ${expected}` });
      if (area.state !== "replicated") return;
      if (kernel.memory.nodeOf(frames[i]!) !== holder) findings.push({ id: "E2", detail: `${hex(address)} on node ${holder} lies on node ${kernel.memory.nodeOf(frames[i]!)}` });
      if (!sameBytes(kernel.memory, frames[i]!, area.frames[page]!, address, kernel.patchedNow)) findings.push({ id: "E2", detail: `${hex(address)} on node ${holder} differs from the base copy` });
    });
    if (area.state === "replicated" && new Set(frames).size !== holders.length) findings.push({ id: "E2", detail: `${hex(address)}: holders share a frame` });
    if (kernel.vmalloc.toFrame(address) !== frames[0]) findings.push({ id: "E8", detail: `${hex(address)}: vmalloc_to_page is not the lowest holder's frame` });
    const flags = holders.map((holder) => {
      const { writable, executable, global, cache } = kernel.tables.lookup(holder, address)!;
      return `${writable} ${executable} ${global} ${cache}`;
    });
    if (new Set(flags).size > 1) findings.push({ id: "B6", detail: `${hex(address)}: protection differs between nodes` });
  }
  if ((area.state !== "unshared") !== kernel.view.isPrivate(area.start)) findings.push({ id: "E12", detail: `${hex(area.start)} is ${area.state}, and lies ${kernel.view.isPrivate(area.start) ? "in" : "outside"} the window` });
  // What is mapped is somebody else's memory, and told of, or not, by whoever made that.
  if (area.kind === "allocated" && !kernel.vmalloc.leaks.knows(area)) findings.push({ id: "E12", detail: `the leak tracker was never told of the area at ${hex(area.start)}: what only it points to counts as lost` });
  const guard = area.start + BigInt(area.pages) * 4096n;
  for (const holder of area.guard ? holders : []) {
    if (kernel.vmalloc.toFrameOn(holder, guard) !== NONE) findings.push({ id: "E1", detail: `guard page ${hex(guard)} is mapped on node ${holder}` });
  }
  return findings;
}

/** E6: the page counters must be what a recount of live areas gives. */
export function checkPageCounts(kernel: Pick<AreaWitnesses, "vmalloc" | "memory">): AreaFinding[] {
  const findings: AreaFinding[] = [];
  const count = new Map<NodeId, number>();
  for (const area of kernel.vmalloc.areas()) {
    if (area.kind === "mapped") continue;
    for (const frames of [area.frames, ...area.copies.values()]) {
      for (const frame of frames) count.set(kernel.memory.nodeOf(frame), (count.get(kernel.memory.nodeOf(frame)) ?? 0) + 1);
    }
  }
  for (const node of new Set(kernel.memory.ranges.map((range) => range.node))) {
    const [counted, said] = [count.get(node) ?? 0, kernel.vmalloc.counters.pages(node)];
    if (counted !== said) findings.push({ id: "E6", detail: `node ${node}: the counter says ${said} pages, the areas have ${counted}` });
  }
  return findings;
}
