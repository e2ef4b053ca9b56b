/** What a check of the invariants is told of a booted kernel: its parts, and the exceptions its subsystems make. */
import { bytesOf } from "@kreplica/hw-x86/api";
import { Efi } from "@kreplica/efi";
import { MemoryHotplug, SharedMemory, TextUsers } from "@kreplica/mm-core";
import type { BootWitness, CheckedKernel, OtherRoot } from "@kreplica/invariants";
import { TextPoke } from "@kreplica/text-patch";
import { Vmalloc } from "@kreplica/vmalloc";
import type { BootParts } from "./boot-parts.js";

/**
 * Several sentences have exceptions (A1 an open patch phase, A4 areas with copies), and others are about roots that
 * subsystems have (C2): which there are now is asked of whatever subsystems the kernel has. Nothing is made by asking.
 */
export function checkedKernel(parts: BootParts, witness?: BootWitness): CheckedKernel {
  const { assembly } = parts;
  const areas = assembly.find(Vmalloc)?.areas() ?? [];
  const poke = assembly.find(TextPoke);
  const hotplug = assembly.find(MemoryHotplug);
  const textUsers = assembly.find(TextUsers);
  const sharedMemory = assembly.find(SharedMemory);
  return {
    ...parts,
    reached: parts.boot.reached,
    ...(witness ? { witness } : {}),
    replicatedAreas: areas.filter(({ state }) => state === "replicated").map(bytesOf),
    otherRoots: rootsByNode("EFI's root", assembly.find(Efi)?.made),
    ...(hotplug ? { offlineMemory: hotplug.offline } : {}),
    ...(textUsers ? { textUsers } : {}),
    ...(sharedMemory ? { sharedMemory } : {}),
    pokingRoots: rootsByNode("the poking root", poke?.roots),
    patchedNow: poke?.underWay ?? [],
  };
}

function rootsByNode(name: string, made: ReadonlyMap<number, number> = new Map()): OtherRoot[] {
  return [...made].map(([node, root]) => ({ name: made.size === 1 ? name : `${name} of node ${node}`, root }));
}
