/** The small files of a copied sysfs: read when they are there, their faults collected so that all are told at once. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { allFaults, type InputFault } from "@kreplica/inputs";

/** Files of sysfs are at most a page, cpumaps a little more. */
const LONGEST = 64 << 10;
/** How a copy is made that ends: `cp -L` follows links in circles. */
export const RECOPY = "copy it again: cp -r /sys/devices/system/node /sys/devices/system/cpu DIR";

/**
 * Reads files below a directory by paths that are spelt out; nothing is searched, and so no circle of links followed.
 */
export class SysfsFiles {
  private readonly faults: InputFault[] = [];

  /** @param root nodes' directory, in which node0, node1 ... lie */
  constructor(readonly root: string) {}

  /**
   * Text of a file; undefined where there is none, or it cannot be read, which is reported.
   * @param path below the root
   */
  text(path: string): string | undefined {
    const file = join(this.root, path);
    if (!existsSync(file)) return undefined;
    try {
      if (!statSync(file).isFile() || statSync(file).size > LONGEST) throw new Error("not a small file");
      return readFileSync(file, "utf8");
    } catch (error) {
      this.faults.push({
        file,
        reason: `cannot be read (${(error as NodeJS.ErrnoException).code ?? (error as Error).message})`,
        remedy: RECOPY,
      });
      return undefined;
    }
  }

  /** A whole number in a file; undefined where there is none. @param unit what to write instead */
  figure(path: string, unit: string): number | undefined {
    const text = this.text(path);
    if (text === undefined || /^\s*\d{1,12}\s*$/.test(text)) return text === undefined ? undefined : Number(text);
    this.report(path, `${JSON.stringify(text.trim().slice(0, 40))} is not a number`, `write ${unit}`);
    return undefined;
  }

  /** @param path below the root */
  report(path: string, reason: string, remedy = RECOPY): void {
    this.faults.push({ file: join(this.root, path), line: 1, field: path, reason, remedy });
  }

  /** Whether nothing was reported since. @param before what {@link count} was then */
  soundSince(before: number): boolean {
    return this.faults.length === before;
  }
  get count(): number {
    return this.faults.length;
  }

  /** @throws InputError with all that was reported */
  settle(): void {
    if (this.faults.length > 0) throw allFaults(this.faults);
  }
}
