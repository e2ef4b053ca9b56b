/**
 * What commands have told, kept in the user's cache folder: one file a result, named by the digest of all that the
 * result depends on. Whatever is wrong with a file or the folder, the result is computed anew: nothing here throws.
 *
 *   file:  SHA-256 of the rest, 64 hexadecimal digits, and a line break; then the result as JSON
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { replaceFile } from "./replace-file.js";
import { sha256 } from "./sweep/cells.js";

/** Bytes of one result, and of all of them: what was used longest ago goes first. */
const LARGEST = 8 * 2 ** 20;
const ALL = 64 * 2 ** 20;
/** Milliseconds after which a file that is not whole belongs to nobody who still writes it. */
const ABANDONED = 3_600_000;

const Result = z.strictObject({
  code: z.union([z.literal(0), z.literal(1), z.literal(3)]),
  /** In the order in which they were told. */
  said: z.array(z.strictObject({ to: z.enum(["out", "error"]), text: z.string() })),
});
/** What a command told, and its exit code: one with which a command runs to its end. */
export type KeptResult = z.infer<typeof Result>;

/** Results in a folder. Several processes may use it at once: a file appears whole, in one step. */
export class KeptResults {
  /** @param folder made with the first result @param all bytes of all results together */
  constructor(
    private readonly folder: string,
    private readonly all = ALL,
  ) {}

  /** @param key 64 hexadecimal digits @returns undefined where there is none that is whole */
  find(key: string): KeptResult | undefined {
    try {
      const file = this.fileOf(key);
      const text = readFileSync(file, "utf8");
      const body = text.slice(65);
      if (text.slice(0, 65) !== `${sha256(body)}\n`) return undefined;
      const result = Result.parse(JSON.parse(body));
      this.used(file);
      return result;
    } catch {
      return undefined;
    }
  }

  keep(key: string, result: KeptResult): void {
    const body = JSON.stringify(result);
    const bytes = Buffer.byteLength(body) + 65;
    if (bytes > Math.min(LARGEST, this.all)) return;
    try {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      const part = join(this.folder, `${key}.${randomUUID()}.part`);
      replaceFile(this.fileOf(key), `${sha256(body)}\n${body}`, { part, flag: "wx", mode: 0o600 });
      this.makeRoom();
    } catch {
      /* a folder that cannot be written keeps nothing */
    }
  }

  private fileOf(key: string): string {
    return join(this.folder, `${key}.json`);
  }

  /** Its time says when it was used last. */
  private used(file: string): void {
    try {
      const now = new Date();
      utimesSync(file, now, now);
    } catch {
      /* of a folder that cannot be written one may read */
    }
  }

  private makeRoom(): void {
    const files = readdirSync(this.folder).flatMap((name) => {
      const file = join(this.folder, name);
      const found = statSync(file, { throwIfNoEntry: false });
      return found?.isFile() ? [{ file, bytes: found.size, used: found.mtimeMs }] : [];
    });
    const now = Date.now();
    let left = files.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { file, bytes, used } of files.sort((a, b) => a.used - b.used)) {
      const abandoned = file.endsWith(".part") && now - used > ABANDONED;
      if (left <= this.all && !abandoned) continue;
      rmSync(file, { force: true });
      left -= bytes;
    }
  }
}
