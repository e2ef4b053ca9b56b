/**
 * Files of the user's cache folder, one a result, named by the digest of all that the result depends on. Whatever is
 * wrong with a file or the folder, the result is computed anew: nothing here throws.
 *
 *   file:  SHA-256 of the rest, 64 hexadecimal digits, and a line break; then the result
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { replaceFile } from "./replace-file.js";

/** Bytes of one file, and of all of them: what was used longest ago goes first. */
const LARGEST = 8 * 2 ** 20;
const ALL = 64 * 2 ** 20;
/** Milliseconds after which a file that is not whole belongs to nobody who still writes it. */
const ABANDONED = 3_600_000;

const digestLine = (body: Uint8Array): string => `${createHash("sha256").update(body).digest("hex")}\n`;
const DIGEST_LENGTH = 65;

/** Files in a folder. Several processes may use it at once: a file appears whole, in one step. */
export class KeptFiles {
  /**
   * @param folder made with the first file
   * @param extension of the files: what is in them
   * @param all bytes of all files together, whatever their extension
   */
  constructor(
    private readonly folder: string,
    private readonly extension: string,
    private readonly all = ALL,
  ) {}

  /** @param key 64 hexadecimal digits @returns undefined where there is none that is whole */
  find(key: string): Uint8Array | undefined {
    try {
      const file = this.fileOf(key);
      const bytes = readFileSync(file);
      const body = bytes.subarray(DIGEST_LENGTH);
      if (bytes.subarray(0, DIGEST_LENGTH).toString("latin1") !== digestLine(body)) return undefined;
      this.used(file);
      return body;
    } catch {
      return undefined;
    }
  }

  keep(key: string, body: Uint8Array): void {
    if (body.length + DIGEST_LENGTH > Math.min(LARGEST, this.all)) return;
    try {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      const part = join(this.folder, `${key}.${randomUUID()}.part`);
      replaceFile(this.fileOf(key), Buffer.concat([Buffer.from(digestLine(body)), body]), {
        part,
        flag: "wx",
        mode: 0o600,
      });
      this.makeRoom();
    } catch {
      /* a folder that cannot be written keeps nothing */
    }
  }

  private fileOf(key: string): string {
    return join(this.folder, `${key}.${this.extension}`);
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
