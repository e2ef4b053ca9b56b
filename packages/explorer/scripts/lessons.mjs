/** Records the lessons anew into lessons/series.json: a minute or two. `test/lessons.test.ts` proves what it wrote. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..");
const outfile = join(folder, "dist/record.mjs");
await build({
  entryPoints: [join(folder, "src/model/record.ts")],
  outfile,
  bundle: true,
  platform: "node",
  format: "esm",
  conditions: ["@kreplica/source"],
  external: ["iced-x86"],
  logLevel: "warning",
});
const { record } = await import(outfile);
const lessons = record((id, lesson) => {
  console.error(
    `${id.padEnd(14)} ${lesson ? `${lesson.operations.length} operations, ${lesson.invariant}` : "not seen"}`,
  );
});
writeFileSync(join(folder, "lessons/series.json"), `${JSON.stringify(lessons, null, 2)}\n`);
