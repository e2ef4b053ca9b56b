/**
 * What commands have told, kept in the user's cache folder as JSON: a result is found as it was told, or not at all.
 */
import { z } from "zod";
import { KeptFiles } from "./kept-files.js";

const Result = z.strictObject({
  code: z.union([z.literal(0), z.literal(1), z.literal(3)]),
  /** In the order in which they were told. */
  said: z.array(z.strictObject({ to: z.enum(["out", "error"]), text: z.string() })),
});
/** What a command told, and its exit code: one with which a command runs to its end. */
export type KeptResult = z.infer<typeof Result>;

/** Results in a folder. */
export class KeptResults {
  private readonly files: KeptFiles;

  /** @param folder made with the first result @param all bytes of all that lies there together */
  constructor(folder: string, all?: number) {
    this.files = new KeptFiles(folder, "json", all);
  }

  /** @param key 64 hexadecimal digits @returns undefined where there is none that is whole */
  find(key: string): KeptResult | undefined {
    const body = this.files.find(key);
    if (body === undefined) return undefined;
    try {
      return Result.parse(JSON.parse(Buffer.from(body).toString("utf8")));
    } catch {
      return undefined;
    }
  }

  keep(key: string, result: KeptResult): void {
    this.files.keep(key, Buffer.from(JSON.stringify(result)));
  }
}
