/**
 * 200 damaged files a reader, and one cut at every byte: sound data or a typed error. `scripts/fuzz-readers.mjs` reads
 * 100,000 of each.
 */
import { expect, test } from "vitest";
import { cutEverywhere, fuzz, readers } from "./readers.js";

/** Where a reader's sound file is long, a cut every so many bytes. */
const CUTS = 400;

test.each(readers.map((each) => [each.name, each] as const))(
  "%s",
  async (_name, reader) => {
    await reader.read(typeof reader.sound === "string" ? new TextEncoder().encode(reader.sound) : reader.sound);
    const { read, refused } = await fuzz(reader, 200, 1);
    // Both must happen, or the damage is too tame or too wild to show anything.
    expect(read).toBeGreaterThan(2);
    expect(refused).toBeGreaterThan(2);
    expect(await cutEverywhere(reader, Math.max(1, Math.floor(reader.sound.length / CUTS)))).toBeGreaterThan(0);
  },
  300_000,
);
