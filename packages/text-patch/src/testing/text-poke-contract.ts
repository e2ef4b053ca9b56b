/**
 * What every implementation of TextPoke must do, as a property over random patches with the witness beside them, which
 * looks at each copy after each stored byte. Run it with any test library: it throws when a promise is broken.
 *
 * Promised: when an operation is over every copy holds the new bytes and no other byte has changed; at every
 * synchronisation all copies are equal; a copy passes only through old, INT3 with the old tail, INT3 with the new tail
 * and new, at most one ahead of another; a CPU that meets the INT3 is told what to do, and nobody is once the batch is
 * over; through an alias one holder's frames are written at a time, and nothing of it is left; each copy is written
 * once a phase; a wrong byte in any copy is noticed; text is patched early while it is writable and not afterwards; a
 * refusal is a TextPatchError and writes nothing; what is queued is patched when it is finished.
 *
 * Left to the implementation: through what it writes, in which order of copies, which refusals have which code, what it
 * costs.
 */
import { bytesAt, hex } from "@kreplica/hw-x86/api";
import * as fc from "fast-check";
import { keepsPromises, promised, type SuiteEffort } from "@kreplica/hw-x86/testing";
import type { CpuState } from "@kreplica/mm-core/api";
import { branch32, CALL, INT3, JMP32, nops } from "../encode.js";
import { TextPatchError } from "../errors.js";
import { emulationOf } from "../poke/emulate.js";
import type { PokeItem, TextPoke } from "../poke/poke-api.js";
import { WitnessedTextPoke } from "../witness/witnessed-poke.js";
import type { WitnessedKernel } from "../witness/single-text.js";

/** One kernel to be tested, fresh for every run, with CPUs that run and memory for the poking tables. */
export interface PokeSubject {
  readonly poke: TextPoke;
  readonly kernel: WitnessedKernel & { readonly cpus: CpuState };
  /** First of four pages of read-only text that every holder has its own copy of. */
  readonly text: bigint;
  /** First of two pages of read-only text that all holders share. */
  readonly shared: bigint;
  /** First of two writable pages, each holder its own: text before it is sealed. */
  readonly young: bigint;
}

const KINDS = ["call", "jump", "nop5", "nop2", "int3", "jump8", "return"] as const;
const instruction = (kind: (typeof KINDS)[number], address: bigint, target: bigint): Uint8Array =>
  ({
    call: branch32(CALL, address, target),
    jump: branch32(JMP32, address, target),
    nop5: nops(5),
    nop2: nops(2),
    int3: Uint8Array.of(INT3),
    jump8: Uint8Array.of(0xeb, 0x10),
    return: Uint8Array.of(0xc3, 0xcc, 0xcc, 0xcc, 0xcc),
  })[kind];
/** Sites 16 bytes apart around a page border, so that some cross it. */
const site = fc.record({
  slot: fc.integer({ min: 252, max: 259 }),
  shift: fc.nat(10),
  kind: fc.constantFrom(...KINDS),
  shared: fc.boolean(),
});
const step = fc.record({
  op: fc.constantFrom("batch", "batch", "queue", "poke", "copy", "set", "early", "sealed", "unsorted", "long"),
  sites: fc.array(site, { minLength: 1, maxLength: 5, size: "max" }),
  cpu: fc.nat(7),
  byte: fc.nat(255),
  length: fc.integer({ min: 1, max: 300 }),
});

/** @param make a subject that shares nothing with any other @throws BrokenPromise with the shortest list of steps */
export function textPokeContract(make: () => PokeSubject, effort: SuiteEffort = {}): void {
  keepsPromises(
    fc.property(fc.array(step, { maxLength: 6, size: "max" }), (steps) => {
      const { poke, kernel, text, shared, young } = make();
      let open: readonly PokeItem[] = [];
      const witness = new WitnessedTextPoke(poke, kernel, {
        fail: ({ id, sentence, detail }) => {
          promised(false, `${id}, ${sentence}`, detail);
        },
        begin: (items) => {
          open = items;
        },
        step: ({ phase }) => {
          if (phase === "poke" || phase === "sync") return;
          for (const { address, bytes } of open) {
            const told = JSON.stringify(poke.breakpoint(address), big);
            const wanted = bytes[0] === INT3 ? undefined : JSON.stringify(emulationOf(address, bytes), big);
            promised(
              told === wanted,
              "a CPU that meets the INT3 is told what to do",
              `at ${hex(address)}: ${told}, not ${wanted}`,
            );
          }
        },
      });
      for (const each of steps) {
        const items = itemsOf(each.sites, text, shared);
        const one = items[0]!;
        kernel.cpus.current = kernel.machine.cpuIds[each.cpu % kernel.machine.cpuIds.length]!;
        if (each.op === "batch") witness.batch(items);
        else if (each.op === "queue") {
          for (const item of items) poke.queue(item);
          for (const { address, bytes } of items) witness.single.bytes(bytesAt(address, bytes.length));
          poke.finish();
          for (const { address, bytes } of items) {
            promised(
              equal(poke.read(bytesAt(address, bytes.length)), bytes),
              "what is queued is patched when it is finished",
              `${hex(address)} is as it was`,
            );
            witness.single.write(address, bytes);
          }
        } else if (each.op === "poke") witness.poke(one.address, Uint8Array.of(each.byte));
        else if (each.op === "copy")
          witness.copy(
            text + 0x2000n,
            new Uint8Array(each.length).map((_, index) => index ^ each.byte),
          );
        else if (each.op === "set") witness.set(bytesAt(text + 0x2100n, each.length), each.byte);
        else if (each.op === "early") witness.early(young + BigInt(each.byte), one.bytes);
        else if (each.op === "sealed")
          refused(() => {
            poke.early(one.address, one.bytes);
          }, "text is patched early while it is writable and not afterwards");
        else if (each.op === "long")
          refused(() => {
            poke.poke(text, new Uint8Array(5000));
          }, "a refusal is a TextPatchError");
        else
          refused(() => {
            poke.batch([
              { address: text + 0x40n, bytes: nops(5) },
              { address: text, bytes: nops(5) },
            ]);
          }, "a refusal is a TextPatchError");
        witness.compare();
        promised(
          poke.underWay.length === 0,
          "nothing is under way when an operation is over",
          `${poke.underWay.length} sites after ${each.op}`,
        );
        for (const { address } of items)
          promised(
            poke.breakpoint(address) === undefined,
            "nobody is told anything once the batch is over",
            hex(address),
          );
        open = [];
      }
    }),
    { runs: 40, ...effort },
  );
}

const big = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? hex(value) : value);
const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index]);

function itemsOf(
  sites: readonly { slot: number; shift: number; kind: (typeof KINDS)[number]; shared: boolean }[],
  text: bigint,
  shared: bigint,
): PokeItem[] {
  const bySlot = new Map(sites.map((each) => [`${each.shared}/${each.slot}`, each]));
  return [...bySlot.values()]
    .map((each) => {
      const address = (each.shared ? shared : text) + BigInt(each.slot * 16 + each.shift);
      return { address, bytes: instruction(each.kind, address, text + 0x3000n) };
    })
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

function refused(act: () => void, promise: string): void {
  let found = "nothing";
  try {
    act();
  } catch (error) {
    if (error instanceof TextPatchError) return;
    found = String(error);
  }
  promised(false, promise, `${found} was thrown`);
}
