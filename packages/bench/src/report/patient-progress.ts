/**
 * A progress line that is never silent for long: where a command has shown none for two seconds, how long it has been
 * at work.
 */
import type { Progress } from "./terminal.js";

/** Seconds after which somebody who waits wants to know. */
const PATIENCE = 2;
/** To the line's beginning, and blank to its end. */
const CLEAR = "\r\u001b[K";

/** Call {@link second} once a second; whoever writes to the terminal calls {@link clear} first. */
export class PatientProgress implements Progress {
  private seconds = 0;
  private bar = false;
  private shown = false;

  /** @param inner the bar @param write to the terminal @param name what is at work */
  constructor(
    private readonly inner: Progress,
    private readonly write: (text: string) => void,
    private readonly name: string,
  ) {}

  second(): void {
    this.seconds++;
    if (this.bar || this.seconds < PATIENCE) return;
    this.write(`${CLEAR}  ${this.name}: ${this.seconds} s`);
    this.shown = true;
  }

  start(total: number, what: string): void {
    this.clear();
    this.inner.start(total, what);
    this.bar = true;
  }

  step(count: number, what: string): void {
    this.inner.step(count, what);
  }

  stop(): void {
    if (this.bar) this.inner.stop();
    this.bar = false;
    this.clear();
  }

  /** Leaves an empty line, to be written on; a bar comes back with its next step. */
  clear(): void {
    if (this.bar || this.shown) this.write(CLEAR);
    this.shown = false;
  }
}
