/** Calls: arguments of helpers against their prototypes, references taken and given back, frames of local functions. */
import { invariant } from "../errors.js";
import { type ArgumentKind, helperPrototype } from "../helpers/prototypes.js";
import { CallKind } from "../isa/opcode.js";
import { helperMemory } from "./access.js";
import { isPointer, pointer, type Register, scalars, UNKNOWN, UNSET } from "./register.js";
import { Frame, MOST_FRAMES } from "./state.js";
import { readRegister, type Walk } from "./walk.js";

const TAIL_CALL = 12;
/** Longest memory a helper is handed. */
const MOST_MEMORY = 1n << 29n;

/** One call instruction. @returns slot to go on at */
export function call(walk: Walk): number {
  const { code, at } = walk;
  if (code.src[at] === CallKind.Local) return enterLocal(walk, at + 1 + code.imm[at]!);
  if (code.src[at] !== CallKind.Helper)
    walk.reject("verify-kernel-function", "kernel functions (kfuncs) cannot be called here");
  return callHelper(walk, code.imm[at]!);
}

function enterLocal(walk: Walk, start: number): number {
  const { state, at } = walk;
  if (state.frames.length >= MOST_FRAMES)
    walk.reject(
      "verify-call-depth",
      `the call stack of ${state.frames.length + 1} frames is too deep, ${MOST_FRAMES} at most`,
    );
  const frame = Frame.enter(start, at + 1, state.frames.length);
  for (let r = 1; r <= 5; r++) frame.registers[r] = state.top.registers[r]!;
  for (let r = 0; r <= 5; r++) state.top.registers[r] = UNSET;
  state.frames.push(frame);
  return start;
}

/** Exit of a local function. @returns slot to go on at */
export function leaveLocal(walk: Walk): number {
  const { state } = walk,
    result = readRegister(walk, 0);
  if (result.kind === "fp") walk.reject("verify-stack-returned", "cannot return stack pointer to the caller");
  const frame = state.frames.pop()!;
  state.top.registers[0] = result;
  for (let r = 1; r <= 5; r++) state.top.registers[r] = UNSET;
  return frame.returnTo;
}

function callHelper(walk: Walk, id: number): number {
  const prototype = helperPrototype(id);
  if (!prototype) return walk.reject("verify-unknown-helper", `unknown func #${id}`);
  if (prototype.types && !prototype.types.includes(walk.type))
    walk.reject("verify-helper-type", `program of type ${walk.type} cannot use helper ${prototype.name}#${id}`);
  let map = -1,
    recordBytes = 0,
    released = 0;
  prototype.arguments.forEach((kind, i) => {
    const index = i + 1,
      r = readRegister(walk, index);
    if (kind === "map") {
      if (r.kind !== "map_ptr") refuse(walk, index, r, "map_ptr");
      map = r.map;
      const used = walk.maps[map]!;
      if (prototype.maps && !prototype.maps.includes(used.kind))
        walk.reject(
          "verify-map-helper",
          `cannot pass map '${used.name}' (${used.kind}) into func ${prototype.name}#${id}`,
        );
      return;
    }
    if (kind === "record_release") {
      if (r.kind !== "mem" || r.reference === 0 || r.offset !== 0 || scalars.value(r.number) !== 0n)
        refuse(walk, index, r, "mem with a reference, as reserved");
      released = r.reference;
      return;
    }
    if (kind === "constant_size") {
      const bytes = r.kind === "scalar" ? scalars.value(r.number) : undefined;
      if (bytes === undefined || bytes === 0n || bytes > MOST_MEMORY)
        return walk.reject("verify-size-not-constant", `R${index} is not a known constant that is a size`);
      recordBytes = Number(bytes);
      return;
    }
    checkArgument(walk, index, kind, r, map, prototype.arguments[i + 1]);
  });
  if (id === TAIL_CALL && walk.state.held.length > 0)
    walk.reject("verify-tail-call", "tail_call would lead to reference leak");
  if (released !== 0) release(walk, released);
  const registers = walk.state.top.registers;
  for (let r = 0; r <= 5; r++) registers[r] = UNSET;
  if (prototype.result === "scalar") registers[0] = UNKNOWN;
  else if (prototype.result === "map_value_or_null")
    registers[0] = pointer("map_value_or_null", { map, id: walk.fresh() });
  else if (prototype.result === "record_or_null") {
    const reference = walk.fresh();
    walk.state.held = [...walk.state.held, { id: reference, instruction: walk.at }];
    registers[0] = pointer("mem_or_null", { id: reference, reference, range: recordBytes });
  }
  return walk.at + 1;
}

function refuse(walk: Walk, index: number, r: Register, expected: string): never {
  return walk.reject("verify-helper-argument", `R${index} type=${r.kind} expected=${expected}`);
}

function checkArgument(
  walk: Walk,
  index: number,
  kind: ArgumentKind,
  r: Register,
  map: number,
  following: ArgumentKind | undefined,
): void {
  switch (kind) {
    case "anything":
      if (isPointer(r) && !walk.privileged)
        walk.reject("verify-leak-to-helper", `R${index} leaks addr into helper function`);
      return;
    case "context":
      if (r.kind !== "ctx" || r.offset !== 0 || scalars.value(r.number) !== 0n) refuse(walk, index, r, "ctx");
      return;
    case "map_key":
      return memory(walk, index, r, walk.maps[map]!.keyBytes, "inspect", true);
    case "map_value":
      return memory(walk, index, r, walk.maps[map]!.valueBytes, "inspect", true);
    case "map_value_out":
      return memory(walk, index, r, walk.maps[map]!.valueBytes, "fill", true);
    case "memory":
    case "memory_out":
    case "memory_or_null": {
      const size = readRegister(walk, index + 1),
        orZero = following === "size_or_zero";
      if (size.kind !== "scalar") refuse(walk, index + 1, size, "scalar");
      const n = size.number;
      if (n.smin < 0n || n.umax >= MOST_MEMORY)
        walk.reject(
          "verify-helper-size",
          `R${index + 1} unbounded memory size: use 'var &= const' or compare it with its bounds`,
        );
      if (n.umin === 0n && !orZero)
        walk.reject("verify-size-zero", `R${index + 1} invalid zero-sized read: compare it with 0 first`);
      const fixed = scalars.value(n) !== undefined;
      if (kind === "memory_or_null" && scalars.value(r.number) === 0n && r.kind === "scalar" && n.umax === 0n) return;
      return memory(walk, index, r, Number(n.umax), kind === "memory_out" ? "fill" : "inspect", fixed);
    }
    default:
      return; // sizes were looked at with their memory
  }
}

function memory(
  walk: Walk,
  index: number,
  r: Register,
  bytes: number,
  purpose: "inspect" | "fill",
  exact: boolean,
): void {
  if (!["fp", "map_value", "mem", "pkt", "pkt_meta"].includes(r.kind))
    refuse(walk, index, r, "fp, map_value, mem or packet");
  helperMemory(walk, index, r, bytes, purpose, exact);
}

/** Gives a reference back: every pointer made of it is no pointer any more. */
function release(walk: Walk, id: number): void {
  invariant(
    walk.state.held.some((held) => held.id === id),
    "a record that can be released is held",
  );
  walk.state.held = walk.state.held.filter((held) => held.id !== id);
  walk.state.rewrite((r) => (r.reference === id ? (walk.privileged ? UNKNOWN : UNSET) : r));
}
