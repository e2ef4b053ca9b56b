/// <reference types="node" />
/**
 * `kreplica sweep --queue` and `kreplica worker` as they are run, with a Redis of their own: workers, Redis and disks
 * that fail in the middle. Nothing is lost, nothing is double, the bytes are those of the local run.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { dataFile } from "@kreplica/recordings";
import { journalLine, readJournal } from "@kreplica/sweep";
import { Worker } from "bullmq";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { queueName } from "../../src/queue/keys.js";
import { MOST_ENDED_WORKERS } from "../../src/queue/work.js";
import { lineDigest } from "../../src/sweep/folder.js";
import { buildCommand, type TestedCommand } from "../cli.js";
import { root } from "../house/documents.js";
import { freePort, hasRedis, RedisServer } from "./redis-server.js";

const PLAN = `schema: kreplica.sweep/1
title: two caches
axes:
  machine: [tiny-2-node]
  machine.l2.bytes: [65536, 131072]
  farOverNear: [1.5, 3]
  recording: [kill]
  policy: [per-node, text-only]
`;
const CELLS = 8;

/** A command that runs while the test goes on. */
interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly out: string; readonly error: string }>;
}

describe.skipIf(!hasRedis)("with redis-server", () => {
  const folder = mkdtempSync(join(tmpdir(), "kreplica-queue-"));
  const at = (name: string): string => join(folder, name);
  const running: Running[] = [];
  let kreplica: TestedCommand;
  let redis: RedisServer;
  let whole: Record<string, string>;

  const bytesIn = (name: string): Record<string, string> =>
    Object.fromEntries(
      readdirSync(at(name))
        .sort()
        .map((file) => [file, readFileSync(join(at(name), file)).toString("hex")]),
    );
  const begun = (words: readonly string[], env: Record<string, string> = {}): Running => {
    const child = spawn(process.execPath, [kreplica.file, ...words], {
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    let [out, error] = ["", ""];
    child.stdout.on("data", (text: Buffer) => (out += text.toString()));
    child.stderr.on("data", (text: Buffer) => (error += text.toString()));
    const ended = new Promise<Awaited<Running["ended"]>>((resolve) =>
      child.on("close", (code) => resolve({ code, out, error })),
    );
    const found = { child, ended };
    running.push(found);
    return found;
  };
  const queue = (): string[] => ["--queue", redis.address];
  const sweep = (name: string, plan = "plan.yaml"): Running => begun(["sweep", plan, "-o", name, ...queue()]);
  const worker = (...more: string[]): Running => begun(["worker", ...queue(), "--jobs", "1", ...more]);
  const until = async (holds: () => Promise<boolean>): Promise<void> => {
    while (!(await holds())) await pause(10);
  };
  /** How many cells arrived in Redis, taken from there or not. */
  const sent = async (): Promise<number> => {
    const [key] = await redis.client.keys("kreplica:sent:*");
    return key === undefined ? 0 : redis.client.scard(key);
  };
  const sweepName = async (): Promise<string> => {
    await until(async () => (await redis.client.hlen("kreplica:sweeps")) > 0);
    return (await redis.client.hkeys("kreplica:sweeps"))[0]!;
  };
  const succeeds = async (each: Running): Promise<void> => {
    const { code, error } = await each.ended;
    expect([code, error.replaceAll(/kreplica: .*(is away|is back|trying again).*\n/g, "")]).toEqual([0, ""]);
  };

  beforeAll(async () => {
    kreplica = await buildCommand(["sweep-worker"]);
    writeFileSync(at("plan.yaml"), PLAN);
    const { code, error } = await kreplica.run(["sweep", "plan.yaml", "--workers", "2", "-o", "whole"], {
      cwd: folder,
    });
    expect([code, error]).toEqual([0, ""]);
    whole = bytesIn("whole");
    redis = await RedisServer.started();
  });
  beforeEach(() => redis.client.flushall());
  afterEach(async () => {
    for (const { child } of running) child.kill("SIGKILL");
    await Promise.all(running.splice(0).map(({ ended }) => ended));
  });
  afterAll(async () => {
    await redis?.stop();
    kreplica?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("three workers, one killed in the middle of a job: what it sent stays, the rest goes to another", async () => {
    const whole1 = sweep("killed");
    const first = worker("--lease", "1");
    await until(async () => (await sent()) > 0);
    first.child.kill("SIGKILL");
    const before = await sent();
    expect(before).toBeLessThan(CELLS);
    const others = [1, 2].map(() => worker("--idle", "5", "--lease", "12"));
    await succeeds(whole1);
    expect(bytesIn("killed")).toEqual(whole);
    const ends = await Promise.all(others.map(({ ended }) => ended));
    expect(ends.map(({ error }) => error)).toEqual(["", ""]);
    const done = ends.map(({ out }) => Number(/(\d+) cell/.exec(out)![1]));
    expect(done[0]! + done[1]!).toBe(CELLS - before);
    // Nothing is left of a sweep that is done.
    expect(
      (await redis.client.keys("kreplica:*")).filter(
        (key) => !/:sweep-[0-9a-f]+:(id|meta|events|stalled-check)$/.test(key),
      ),
    ).toEqual([]);
  });

  test("Redis killed and started again with its file, in the middle", async () => {
    const gathered = sweep("restarted");
    worker();
    worker();
    await until(async () => (await sent()) > 0);
    await redis.kill();
    await redis.start();
    await succeeds(gathered);
    expect(bytesIn("restarted")).toEqual(whole);
  });

  test("Redis that lost all it had: jobs are given again", async () => {
    const gathered = sweep("emptied");
    await sweepName();
    await until(async () => (await redis.client.keys("kreplica:sweep-*:wait")).length > 0);
    await redis.client.flushall();
    worker();
    await succeeds(gathered);
    expect(bytesIn("emptied")).toEqual(whole);
  });

  test("a result that comes twice is kept once; one that says something else is refused", async () => {
    const [one] = readJournal(readFileSync(at("whole/cells.journal"), "utf8"), lineDigest).cells;
    const gathered = sweep("twice");
    const name = await sweepName();
    const line = journalLine(one!, lineDigest);
    await redis.client.rpush(`kreplica:results:${name}`, line, line);
    const doneOf = async (): Promise<number> =>
      (JSON.parse((await redis.client.hget("kreplica:sweeps", name))!) as { done: number }).done;
    await until(async () => (await doneOf()) === 1);
    await redis.client.rpush(`kreplica:results:${name}`, line);
    await until(async () => (await redis.client.llen(`kreplica:results:${name}`)) === 0);
    const other = { cell: one!.cell, rows: one!.rows.map((row) => ({ ...row, cycles: 1 })) };
    await redis.client.rpush(`kreplica:results:${name}`, "no line of a journal", journalLine(other, lineDigest));
    const { code, error } = await gathered.ended;
    expect(code).toBe(2);
    expect(error).toMatch(/a result came that is none/);
    expect(error).toMatch(/two workers measured the cell [0-9a-f]{16} and had different results/);
    await redis.client.del(`kreplica:results:${name}`);
    worker();
    await succeeds(sweep("twice"));
    expect(bytesIn("twice")).toEqual(whole);
  });

  test("a disk that is full stops the sweep; with room the same command goes on", async ({ skip }) => {
    const disk = at("disk");
    mkdirSync(disk);
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", disk]).status !== 0)
      return skip("no tmpfs can be mounted here");
    try {
      worker();
      const { code, error } = await sweep("disk/results").ended;
      expect([code, error]).toEqual([
        2,
        "kreplica: disk/results: --output: cannot be written (ENOSPC). Make room and give the same command again: what is done stays done.\n",
      ]);
      execFileSync("mount", ["-o", "remount,size=1m", disk]);
      await succeeds(sweep("disk/results"));
      expect(bytesIn("disk/results")).toEqual(whole);
    } finally {
      spawnSync("umount", [disk]);
    }
  });

  test("a worker of other code is refused, and gets nothing", async () => {
    sweep("refused");
    await sweepName();
    writeFileSync(at("plugin.mjs"), "export default {};\n");
    const { code, out, error } = await worker("--plugin", "plugin.mjs").ended;
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(
      /^kreplica: --queue: redis:\/\/127\.0\.0\.1:\d+: the sweep there, two caches, is measured by code [0-9a-f]{16}, and this is [0-9a-f]{16}\. Run the very kreplica/,
    );
    expect(await sent()).toBe(0);
  });

  test("the document's scripts", async () => {
    const page = readFileSync(join(root, "docs/sweeps.md"), "utf8");
    const bin = at("bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "kreplica"), `#!/bin/sh\nexec "${process.execPath}" "${kreplica.file}" "$@"\n`);
    chmodSync(join(bin, "kreplica"), 0o755);
    const script = async (name: string): Promise<void> => {
      const [, text] = new RegExp(`<!-- shell ${name.replace(".", "\\.")} -->\\n\`\`\`bash\\n([^]*?)\`\`\``).exec(
        page,
      )!;
      writeFileSync(at(name), text!.replace("--idle 60", "--idle 3"));
      const child = spawn("bash", [name], {
        cwd: folder,
        stdio: "ignore",
        env: { ...process.env, PATH: `${bin}:${process.env["PATH"]!}`, QUEUE: redis.address },
      });
      expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
    };
    await Promise.all([script("gather.sh"), script("queue.sh")]);
    expect(bytesIn("gathered")).toEqual(whole);
  });

  test("with TLS, as the user that the document makes; without its password nobody is let in", async () => {
    const [, line] = /<!-- redis user -->\n```\n(user kreplica .*)\n```/.exec(
      readFileSync(join(root, "docs/sweeps.md"), "utf8"),
    )!;
    writeFileSync(at("users.acl"), `${line!}\nuser default off\n`);
    // prettier-ignore
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
      "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", at("key.pem"), "-out", at("cert.pem")], { stdio: "ignore" });
    const port = await freePort();
    // prettier-ignore
    const guarded = await RedisServer.started(
      ["--tls-port", String(port), "--port", "0", "--tls-cert-file", at("cert.pem"), "--tls-key-file", at("key.pem"),
        "--tls-ca-cert-file", at("cert.pem"), "--tls-auth-clients", "no", "--aclfile", at("users.acl")],
      { username: "kreplica", password: "SECRET", tls: { ca: readFileSync(at("cert.pem")) } },
      port,
    );
    const trusted = { NODE_EXTRA_CA_CERTS: at("cert.pem") };
    const words = ["--queue", `rediss://kreplica:SECRET@127.0.0.1:${port}`];
    try {
      begun(["worker", ...words, "--jobs", "1"], trusted);
      await succeeds(begun(["sweep", "plan.yaml", "-o", "guarded", ...words], trusted));
      expect(bytesIn("guarded")).toEqual(whole);
      const refused = async (address: string, env = trusted): Promise<string> => {
        const { code, error } = await begun(["worker", "--queue", address], env).ended;
        expect(code).toBe(2);
        return error;
      };
      const wrong = await refused(`rediss://kreplica:guessed@127.0.0.1:${port}`);
      expect(wrong).toMatch(/does not let this user in \(WRONGPASS/);
      expect(wrong).not.toContain("guessed");
      expect(await refused(`rediss://127.0.0.1:${port}`)).toMatch(/does not let this user in \(NOAUTH/);
      expect(await refused(words[1]!, { NODE_EXTRA_CA_CERTS: "" })).toMatch(
        /cannot be reached \(DEPTH_ZERO_SELF_SIGNED/,
      );
    } finally {
      await guarded.stop();
    }
  });

  test("a job that ends one worker after the other is set aside; given again it is tried again", async () => {
    const gathered = sweep("ending");
    const name = await sweepName();
    const { version } = JSON.parse((await redis.client.hget("kreplica:sweeps", name))!) as { version: string };
    // Takes jobs, is not heard of again, and takes them once more.
    const ending = new Worker(queueName(version), () => new Promise(() => undefined), {
      connection: { host: "127.0.0.1", port: redis.port },
      prefix: "kreplica",
      concurrency: 100,
      lockDuration: 100,
      stalledInterval: 150,
      skipLockRenewal: true,
      maxStalledCount: MOST_ENDED_WORKERS,
    });
    const { code, error } = await gathered.ended;
    await ending.close(true);
    expect([code, error.split("\n").length]).toEqual([2, 3]);
    expect(error).toMatch(/machine\.l2\.bytes 65536.*: 4 cells set aside after \d of 3 tries: job stalled more than/);
    worker();
    await succeeds(sweep("ending"));
    expect(bytesIn("ending")).toEqual(whole);
  });

  test("a job that fails is tried again after a pause, the next time after twice as long", async () => {
    const gathered = sweep("failing");
    const name = await sweepName();
    const { version } = JSON.parse((await redis.client.hget("kreplica:sweeps", name))!) as { version: string };
    const tries = new Map<string, number[]>();
    const failing = new Worker(
      queueName(version),
      (job) => {
        tries.set(job.id!, [...(tries.get(job.id!) ?? []), performance.now()]);
        return Promise.reject(new Error("no room for a thread"));
      },
      { connection: { host: "127.0.0.1", port: redis.port }, prefix: "kreplica", concurrency: 100 },
    );
    const { code, error } = await gathered.ended;
    await failing.close(true);
    expect(code).toBe(2);
    expect(error).toMatch(/4 cells set aside after 3 of 3 tries: no room for a thread/);
    expect(tries.size).toBe(2);
    for (const [first, second, third, ...more] of tries.values()) {
      expect(more).toEqual([]);
      // At least so long: a busy host waits longer. A few milliseconds are Redis' rounding of the time.
      expect(second! - first!).toBeGreaterThan(990);
      expect(third! - second!).toBeGreaterThan(1990);
    }
  });

  test("a stop rule ends where one run ends it, though each round goes through the queue", async () => {
    writeFileSync(
      at("stop.yaml"),
      `schema: kreplica.sweep/1
axes: { machine: [tiny-2-node], recording: [kill], policy: [per-node], farOverNear: [1.5, 1.6, 1.55, 1.65, 2, 3] }
stop: { along: farOverNear, halfWidthPercent: 4, each: 2 }
`,
    );
    const { code, out, error } = await kreplica.run(["sweep", "stop.yaml", "-o", "stop-local", "--json"], {
      cwd: folder,
    });
    expect(error).toBe("");
    // Two rounds of two.
    expect([code, JSON.parse(out)]).toEqual([0, expect.objectContaining({ cells: 6, leftOut: 2 })]);
    worker();
    await succeeds(sweep("stop", "stop.yaml"));
    expect(bytesIn("stop")).toEqual(bytesIn("stop-local"));
  });

  test("files travel by digest; a job that cannot be done is set aside with its reason, all others are done", async () => {
    cpSync(dataFile("traces/hsw-kill.kt.zst"), at("own.kt.zst"));
    cpSync(dataFile("traces/hsw-mount.kt.zst"), at("cut.kt.zst"));
    truncateSync(at("cut.kt.zst"), 40_000);
    const plan = (recordings: string): void =>
      writeFileSync(
        at("files.yaml"),
        `schema: kreplica.sweep/1\naxes: { machine: [tiny-2-node], recording: [${recordings}] }\n`,
      );
    plan("./own.kt.zst, ./cut.kt.zst");
    const gathered = sweep("files", "files.yaml");
    const name = await sweepName();
    worker();
    await until(async () => (await redis.client.keys("kreplica:sweep-*:failed")).length > 0);
    const looking = begun(["sweep", "files.yaml", "--watch", ...queue()]);
    const { code, error } = await gathered.ended;
    expect(code).toBe(2);
    expect(error).toMatch(/recording \.\/cut\.kt\.zst: a cell set aside after 1 of 3 tries: .*cut\.kt\.zst/);
    expect((await looking.ended).out).toMatch(
      /[01] of 2 cells.*\n.* 1 set aside\n(.*\n)*? {2}set aside: job [0-9a-f]+: .*cut\.kt\.zst/,
    );
    expect(await redis.client.hexists("kreplica:sweeps", name)).toBe(1);
    expect(readFileSync(at("files/cells.journal"), "utf8").split("\n")).toHaveLength(2);
    plan("./own.kt.zst");
    await succeeds(sweep("own", "files.yaml"));
    const { code: local } = await kreplica.run(["sweep", "files.yaml", "-o", "own-local"], { cwd: folder });
    expect([local, bytesIn("own")]).toEqual([0, bytesIn("own-local")]);
  });
});
