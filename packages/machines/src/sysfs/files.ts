/** The small files of a copied sysfs: read when they are there, their faults collected so that all are told at once. */
import { allFaults, type InputFault } from "@kreplica/inputs";
import { type FolderTree, lastOf } from "./folder-tree.js";

/** How a copy is made that ends: `cp -L` follows links in circles. */
export const RECOPY = "copy it again: cp -r /sys/devices/system/node /sys/devices/system/cpu DIR";

/**
 * Reads files below a directory by paths that are spelt out; nothing is searched, and so no circle of links followed.
 */
export class SysfsFiles {
  private readonly faults: InputFault[] = [];

  /** @param root nodes' directory below the tree, in which node0, node1 ... lie; empty for the tree itself */
  constructor(
    private readonly tree: FolderTree,
    private readonly root: string,
  ) {}

  /** Whether the CPUs' own directory may lie beside the nodes'. */
  get besideCpus(): boolean {
    return lastOf(this.root === "" ? this.tree.at("").replace(/\/+$/, "") : this.root) === "node";
  }

  /** @param path below the root, as everywhere */
  has(path: string): boolean {
    return this.tree.has(this.below(path));
  }

  /** Names of what lies in a folder. */
  entries(path: string): readonly string[] {
    return this.tree.entries(this.below(path));
  }

  /** A path as errors name it. */
  at(path: string): string {
    return this.tree.at(this.below(path));
  }

  private below(path: string): string {
    return this.root === "" ? path : `${this.root}/${path}`;
  }

  /**
   * Text of a file; undefined where there is none, or it cannot be read, which is reported.
   * @param path below the root
   */
  text(path: string): string | undefined {
    if (!this.has(path)) return undefined;
    try {
      return this.tree.text(this.below(path));
    } catch (error) {
      const { code, message } = error as Error & { readonly code?: string };
      this.faults.push({
        file: this.at(path),
        reason: `cannot be read (${code ?? message})`,
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
    this.faults.push({ file: this.at(path), line: 1, field: path, reason, remedy });
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
