/**
 * How much V8 may inline into one function, for a process that replays. Its default, 920 bytes of bytecode, is for
 * programs that must not grow; the access path is a few functions that call each other for every reference, and with
 * 3000 does 10 percent more of them a second (micro/access.ts). To be called before any of it is compiled. Changes no
 * result.
 */
import { setFlagsFromString } from "node:v8";

export function inlineMore(): void {
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=3000");
}
