/**
 * How V8 compiles, for a process that replays or executes instructions. To be called before any of that is compiled.
 * Changes no result.
 */
import { setFlagsFromString } from "node:v8";

/**
 * How much V8 may inline into one function. Its default, 920 bytes of bytecode, is for
 * programs that must not grow; the access path is a few functions that call each other for every reference, and with
 * 3000 does 10 percent more of them a second (micro/access.ts).
 */
export function inlineMore(): void {
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=3000");
}

/**
 * How large a function V8 optimises. Its default is 60 KB of bytecode, which a compiled region of instructions may
 * exceed (at most 45,000 characters of text): it then stays in baseline code, slower than what is interpreted
 * (micro/isa.ts). 400,000 is beyond what such text comes to.
 */
export function optimizeLarge(): void {
  setFlagsFromString("--max-optimized-bytecode-size=400000");
}
