/**
 * A port can be bound by a stranger: a page allocator that shares nothing with ours but the interface boots a kernel.
 */
import { bind, inject, injectable } from "@kreplica/di";
import { type Frame, Machine, type NodeId } from "@kreplica/hw-x86/api";
import { expect, test } from "vitest";
import { BootMemory, type FramePurpose, type Gfp, NodePageAllocator, PageAllocator } from "../src/index.js";
import { testKernel } from "../src/testing.js";

@injectable()
class Forwarding implements PageAllocator {
  private readonly ours: PageAllocator;
  constructor(@inject(Machine) machine: Machine, @inject(BootMemory) early: BootMemory) {
    this.ours = new NodePageAllocator(machine, early);
  }
  start(): void {
    this.ours.start();
  }
  allocate(node: NodeId, order: number, gfp: Gfp): Frame {
    return this.ours.allocate(node, order, gfp);
  }
  free(frame: Frame, order: number): void {
    this.ours.free(frame, order);
  }
  owns(frame: Frame, order: number): boolean {
    return this.ours.owns(frame, order);
  }
  purposeOf(frame: Frame): FramePurpose | "free" | undefined {
    return this.ours.purposeOf(frame);
  }
  split(frame: Frame, order: number): void {
    this.ours.split(frame, order);
  }
  donate(first: Frame, frames: number): void {
    this.ours.donate(first, frames);
  }
  withdraw(first: Frame, frames: number): boolean {
    return this.ours.withdraw(first, frames);
  }
  claim(frame: Frame, purpose: FramePurpose): boolean {
    return this.ours.claim(frame, purpose);
  }
  freeFrames(node: NodeId): number {
    return this.ours.freeFrames(node);
  }
  usedFrames(node: NodeId, purpose: FramePurpose): number {
    return this.ours.usedFrames(node, purpose);
  }
  refuse(nth: number, repeat?: boolean): void {
    this.ours.refuse(nth, repeat);
  }
  get requests(): number {
    return this.ours.requests;
  }
}

test("a kernel boots on an allocator that forwards to ours, step by step as on ours", () => {
  const theirs = testKernel({ instead: [bind(PageAllocator, Forwarding)] });
  theirs.boot.run();
  const ours = testKernel({});
  ours.boot.run();
  expect(theirs.allocator).toBeInstanceOf(Forwarding);
  expect(theirs.boot.timeline).toEqual(ours.boot.timeline);
  expect(theirs.allocator.freeFrames(0)).toBe(ours.allocator.freeFrames(0));
});
