/// <reference types="node" />
/**
 * A Redis for tests: on a loopback port of its own, with an append-only file; killed and started again with its file.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";

/** Whether there is a redis-server here. */
export const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

/** A port that is free now. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

export class RedisServer {
  private readonly folder = mkdtempSync(join(tmpdir(), "kreplica-redis-"));
  private child: ChildProcess | undefined;
  /** For looking on and for planting. */
  readonly client: Redis;

  private constructor(
    readonly port: number,
    private readonly more: readonly string[],
    connection: object,
  ) {
    this.client = new Redis({ host: "127.0.0.1", port, lazyConnect: true, maxRetriesPerRequest: null, ...connection });
    this.client.on("error", () => undefined);
  }

  /** @param more words of redis-server @param connection how the client differs */
  static async started(more: readonly string[] = [], connection: object = {}, port?: number): Promise<RedisServer> {
    const server = new RedisServer(port ?? (await freePort()), more, connection);
    await server.start();
    return server;
  }

  get address(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.child = spawn(
      "redis-server",
      // prettier-ignore
      ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.folder, "--appendonly", "yes", "--save", "", ...this.more],
      { stdio: "ignore" },
    );
    for (;;) {
      try {
        if (this.client.status === "wait" || this.client.status === "end") await this.client.connect();
        await this.client.ping();
        return;
      } catch {
        await pause(20);
      }
    }
  }

  async kill(): Promise<void> {
    const { child } = this;
    if (!child) return;
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await ended;
    this.child = undefined;
  }

  async stop(): Promise<void> {
    this.client.disconnect();
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
