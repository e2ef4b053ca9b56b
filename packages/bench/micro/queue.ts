/// <reference types="node" />
/**
 * What a queue adds to a cell: 10,000 cells, a job each, measured by nobody. Gatherer, journal, Redis with its
 * append-only file and a worker of 16 jobs at a time, on one machine; wall-clock and processor time of all of them. It
 * needs redis-server.
 *
 * In packages/bench: npm run micro -- queue [CELLS]
 *
 * Measured (Node 20.20.2, Redis 7.0.15, 2 cores shared with much other work): 4.1 ms a cell from the first job given to
 * the last cell on the disk; of a processor 0.9 ms for gatherer and worker together and 0.25 ms for Redis.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { planFromText } from "@kreplica/sweep";
import { connected, queueAddress } from "../src/queue/redis.js";
import { Gatherer } from "../src/queue/gather.js";
import { work } from "../src/queue/work.js";
import { cellsOf, sha256 } from "../src/sweep/cells.js";
import { SweepFolder } from "../src/sweep/folder.js";
import { worksOf } from "../src/sweep/run-batches.js";

const cells = Number(process.argv[2] ?? 10_000);
const folder = mkdtempSync(join(tmpdir(), "kreplica-micro-"));
const port = await new Promise<number>((resolve) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port: free } = server.address() as { port: number };
    server.close(() => resolve(free));
  });
});
const redis = spawn(
  "redis-server",
  ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes"],
  {
    stdio: "ignore",
  },
);
const address = queueAddress(`redis://127.0.0.1:${port}`);
const client = await (async () => {
  for (;;) {
    try {
      return await connected(address);
    } catch {
      await pause(50);
    }
  }
})();
const redisSeconds = async (): Promise<number> =>
  [...(await client.info("cpu")).matchAll(/used_cpu_(?:user|sys):([\d.]+)/g)].reduce(
    (sum, [, each]) => sum + Number(each),
    0,
  );

const version = sha256("micro");
const text = "schema: kreplica.sweep/1\naxes: { machine: [tiny-2-node], recording: [kill] }\n";
const [one] = worksOf(cellsOf(planFromText(text, "plan.yaml", "schema"), "plan.yaml", version), false);
const works = Array.from({ length: cells }, (_, nth) => ({
  ...one!,
  cells: [{ ...one!.cells[0]!, name: sha256(`cell ${nth}`) }],
}));
const names = works.map((each) => each.cells[0]!.name);
/** As wide as a row of a real cell. */
const row = (cache: string): Record<string, string | number> => ({
  cache,
  ...Object.fromEntries(Array.from({ length: 24 }, (_, nth) => [`figureWithALongName${nth}`, nth + 0.123456789])),
});
const rows = [row("hot"), row("cold")];
const kept = new SweepFolder(join(folder, "results"), {
  schema: "kreplica.sweep-manifest/1",
  title: null,
  plan: "{}",
  version,
  axes: ["machine", "recording"],
  shard: null,
  cells: names,
});
const remark = (said: string): void => console.error(said);
const gatherer = await Gatherer.open({ address, name: sha256("sweep"), version, title: null, cells, remark });
const before = await redisSeconds();
const cpu = process.cpuUsage();
const began = performance.now();
const working = work({
  address,
  version,
  jobs: 16,
  lease: 60,
  idle: 2,
  remark,
  measure: (_, keep) => {
    keep([[0, rows]]);
    return Promise.resolve();
  },
});
await gatherer.run(works, { begin: () => undefined, keep: (done) => kept.add(done), end: () => undefined });
const wall = performance.now() - began;
const { user, system } = process.cpuUsage(cpu);
const ofRedis = (await redisSeconds()) - before;
kept.finish();
kept.close();
await gatherer.close(true);
const done = await working;
const each = (ms: number): string => (ms / cells).toFixed(2);
console.log(
  `${cells} cells, ${done.jobs} jobs: ${each(wall)} ms a cell; of a processor ${each((user + system) / 1000)} ms gathering and working, ${each(ofRedis * 1000)} ms Redis`,
);
client.disconnect();
redis.kill("SIGKILL");
rmSync(folder, { recursive: true, force: true });
