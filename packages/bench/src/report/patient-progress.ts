/**
 * A progress line that is never silent for long: where a command has shown none for two seconds, how long it has been
 * at work; beside a bar, how long it has still to go.
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
  private what = "";
  private total = 0;
  private done = 0;
  /** Seconds at which the bar began and moved last. */
  private began = 0;
  private moved = 0;

  /** @param inner the bar @param write to the terminal @param name what is at work */
  constructor(
    private readonly inner: Progress,
    private readonly write: (text: string) => void,
    private readonly name: string,
  ) {}

  second(): void {
    this.seconds++;
    if (this.bar && this.withTimeLeft() !== this.what) this.inner.step(0, this.withTimeLeft());
    if (this.bar || this.seconds < PATIENCE) return;
    this.write(`${CLEAR}  ${this.name}: ${this.seconds} s`);
    this.shown = true;
  }

  start(total: number, what: string): void {
    this.clear();
    this.inner.start(total, what);
    this.bar = true;
    [this.what, this.total, this.done] = [what, total, 0];
    this.began = this.moved = this.seconds;
  }

  step(count: number, what: string): void {
    this.what = what;
    this.done += count;
    if (count > 0) this.moved = this.seconds;
    this.inner.step(count, this.withTimeLeft());
  }

  stop(): void {
    if (this.bar) this.inner.stop();
    this.bar = false;
    this.clear();
  }

  /** As long for each step that is left as for those done; counted down until the next one. */
  private withTimeLeft(): string {
    const took = this.moved - this.began;
    if (this.done === 0 || took < PATIENCE) return this.what;
    const left = Math.max(1, Math.round((took * (this.total - this.done)) / this.done) - (this.seconds - this.moved));
    return this.done >= this.total ? this.what : `${timeText(left)} left  ${this.what}`;
  }

  /** Leaves an empty line, to be written on; a bar comes back with its next step. */
  clear(): void {
    if (this.bar || this.shown) this.write(CLEAR);
    this.shown = false;
  }
}

/** `45 s`, `3 min` */
const timeText = (seconds: number): string => (seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`);
