/// <reference types="node" />
/**
 * A distribution's kernel opened as the page's worker opens it: booted, looked into, and named in a recording of it.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readDataFile } from "@kreplica/recordings";
import { expect, test } from "vitest";
import { fetchKernel } from "../../../scripts/fetch-kernel.mjs";
import type { Place } from "../src/hash.js";
import { type OpenedFile, placeOfFiles } from "../src/model/files.js";
import { ownKernel, ownRecording } from "../src/model/own.js";
import { machineForRecordings, Playback } from "../src/model/playback.js";
import { BOOTED, Session } from "../src/model/session.js";
import { addressOfPage, FIRST_STORY, type Story } from "../src/model/setup.js";

let real: { vmlinuz: string } | undefined;
try {
  real = fetchKernel("cloud-amd64");
} catch (error) {
  console.error(`SKIPPED: no real kernel to open: ${(error as Error).message}`);
}

const opened = (name: string, bytes: Uint8Array): OpenedFile => ({
  name,
  bytes,
  digest: createHash("sha256").update(bytes).digest("hex"),
});

test.skipIf(!real)("a vmlinuz gives its layout, its bytes in each copy and its functions' names", async () => {
  const place = await placeOfFiles(
    [
      opened("vmlinuz", new Uint8Array(readFileSync(real!.vmlinuz))),
      opened("fork.kt.zst", readDataFile("traces/hsw-n16-touch.kt.zst")),
    ],
    { ...FIRST_STORY, moment: { step: BOOTED, store: 0 } } as Place,
  );
  const { kernel, image } = ownKernel(place.kernel!);
  const story = { ...FIRST_STORY, kernel: place.kernel! } satisfies Story;
  const page = addressOfPage(story, "do_syscall_64");
  const view = new Session(story).look({ step: BOOTED, store: 0 }, page);
  expect(view.broken).toEqual([]);
  const region = view.regions.find(({ name }) => name === "text")!;
  expect(BigInt(region.end) - BigInt(region.start)).toBe(image.etext - image.stext);
  expect(view.page).toMatchObject({ name: "do_syscall_64+0x0", copies: [{ lies: 0 }, { lies: 1 }] });
  const link = kernel.symbol("do_syscall_64")!;
  // Where the boot patched nothing, the copies hold what the file does: its first instructions are no site.
  const file = Array.from(kernel.bytes({ start: link, end: link + 4n }), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join(" ");
  for (const { bytes } of view.page!.copies) expect(bytes.startsWith(file)).toBe(true);

  const playback = await Playback.of(ownRecording(place.recording!)!, ownKernel(place.kernel!), {
    spec: machineForRecordings(),
    policy: "per-node",
    levels: 4,
    pti: false,
    on: 1,
  });
  const { entry } = playback.view(0).behind;
  const first = playback.view(entry!).rows.find(({ nth }) => nth === entry)!;
  expect(first).toMatchObject({
    enters: true,
    name: expect.stringMatching(/^(entry_SYSCALL_64|asm_\w+)\+0x0$/) as string,
  });
});
