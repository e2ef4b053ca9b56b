/** What the thread that waits for workers gives back to the host meanwhile. Changes no result. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * After so long a wait, ms, V8 sees that nothing is allocated any more, and gives back what it kept for that: 30 MB
 * after two boots, of which it used none. By itself it collects nothing while a thread waits.
 */
const IDLE = 1500;

/**
 * Collects what the thread has left behind once it has waited for a while.
 * @returns the timer, which keeps nobody waiting
 */
export const collectOnceIdle = (): NodeJS.Timeout => setTimeout(collect, IDLE).unref();

function collect(): void {
  setFlagsFromString("--expose-gc");
  const collectAll = runInNewContext("gc") as () => void;
  // The first says how little was allocated since the one before it; the second acts on that.
  collectAll();
  collectAll();
}
