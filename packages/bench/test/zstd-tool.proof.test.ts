/// <reference types="node" />
/**
 * Frames against the zstd tool: of every level and kind, as kernels are packed. Without the tool:
 * packages/inputs/test/zstd.test.ts.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { unzstd, unzstdWhole, ZstdError, ZstdStream } from "@kreplica/inputs/zstd";
import { dataFile } from "@kreplica/recordings";
import { expect, test } from "vitest";

const plain = unzstd(readFileSync(dataFile("traces/hsw-mount.kt.zst")));
const fault = (bytes: Uint8Array): ZstdError => {
  try {
    unzstd(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(ZstdError);
    return error as ZstdError;
  }
  throw new Error("it was unpacked");
};
const zstd = (words: readonly string[], input: Uint8Array): Uint8Array | undefined => {
  try {
    return new Uint8Array(execFileSync("zstd", ["-q", "-c", ...words], { input, maxBuffer: 1 << 28 }));
  } catch {
    return undefined;
  }
};

test("of every level and kind, by zstd itself", ({ skip }) => {
  if (!zstd([], plain)) skip();
  for (const input of [
    plain,
    plain.subarray(0, 300),
    plain.subarray(0, 1),
    new Uint8Array(0),
    new Uint8Array(300_000),
  ]) {
    // The last takes zstd itself half a minute.
    const levels = [
      ["-1"],
      ["-19"],
      ["--no-check"],
      ["--no-content-size"],
      ...(process.env["KREPLICA_PROOF"] === "1" ? [["--ultra", "-22", "--long=27"]] : []),
    ];
    for (const words of levels) {
      expect(Buffer.compare(unzstd(zstd(words, input)!), input), `${words.join(" ")} of ${input.length} bytes`).toBe(0);
    }
  }
  expect(fault(zstd(["--long=28", "--no-content-size", "-1"], new Uint8Array(1))!).reason).toContain("window");
});

test("at once as in pieces, whatever the window", ({ skip }) => {
  const inPieces = (bytes: Uint8Array): Uint8Array => {
    const parts: Uint8Array[] = [];
    const stream = new ZstdStream((part) => {
      parts.push(part);
    });
    stream.push(bytes);
    stream.finish();
    return Uint8Array.from(Buffer.concat(parts));
  };
  if (!zstd([], plain)) skip();
  // As kernels are packed: from a pipe, hence without a length, and with a window of 128 MiB.
  for (const input of [
    plain,
    plain.subarray(0, 300),
    plain.subarray(0, 1),
    new Uint8Array(300_000),
    Uint8Array.from({ length: 500_000 }, (_, i) => (Math.imul(i, 0x9e37_79b1) >>> 13) & 255),
  ]) {
    for (const words of [["-1"], ["-19"], ["--ultra", "-22", "--long=27"]]) {
      const unsized = zstd([...words, "--no-content-size"], input)!;
      expect(unzstdWhole(unsized, input.length, undefined)).toBeUndefined();
      expect(unzstdWhole(unsized, input.length, input.length + 1)).toBeUndefined();
      expect(Buffer.compare(unzstdWhole(unsized, input.length, input.length)!, input), words.join(" ")).toBe(0);
      // The stream is slow where the window is large: that is why.
      if (words.length === 1) expect(Buffer.compare(inPieces(unsized), input)).toBe(0);
      expect(unzstdWhole(zstd([...words, "--no-check"], input)!, input.length, input.length)).toBeUndefined();
    }
  }
});
