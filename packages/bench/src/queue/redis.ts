/**
 * The Redis that a sweep's queue lies in: its address as the user gave it, the libraries that speak to it, loaded when
 * they are asked for, and a connection that waits for a Redis that went away.
 */
import { setTimeout as pause } from "node:timers/promises";
import { InputError } from "@kreplica/inputs";
import type * as Bullmq from "bullmq";
import type * as Ioredis from "ioredis";
import type { Redis } from "ioredis";

export type { Redis } from "ioredis";

/** All keys of ours begin with it: what a Redis user of the queue must be allowed to touch. */
export const PREFIX = "kreplica";

const INSTALL = "npm install bullmq ioredis";
const DEFAULT_PORT = 6379;

/** What replies of Redis mean that nothing is wrong with the command: its disk or memory is full, or it is starting. */
const PASSING = /^(MISCONF|OOM|LOADING|READONLY|BUSY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN)\b|Connection is closed|ECONN/;
const PASSING_PAUSE_MS = 500;

type Libraries = Pick<typeof Bullmq, "Queue" | "Worker" | "UnrecoverableError"> & Pick<typeof Ioredis, "Redis">;

const installed = async (): Promise<Libraries> => {
  const [{ Queue, Worker, UnrecoverableError }, { Redis }] = await Promise.all([import("bullmq"), import("ioredis")]);
  return { Queue, Worker, UnrecoverableError, Redis };
};

/** Loads the two libraries. @throws InputError naming the line that installs them */
export async function queueLibraries(load = installed): Promise<Libraries> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new InputError({
      file: "--queue",
      reason: "needs bullmq and ioredis, which are not installed: nothing else needs them",
      remedy: `install them beside kreplica: ${INSTALL}`,
    });
  }
}

/** An address without who has access: what messages may show. */
export const shownAddress = (address: URL): string =>
  `${address.protocol}//${address.hostname}:${address.port || DEFAULT_PORT}${address.pathname.replace(/^\/$/, "")}`;

/** @throws InputError, which never shows a password */
export function queueAddress(text: string): URL {
  const fault = (reason: string): never => {
    throw new InputError({
      file: "--queue",
      reason,
      remedy: "write redis://USER:PASSWORD@HOST:PORT, or rediss:// for TLS",
    });
  };
  let address: URL;
  try {
    address = new URL(text);
  } catch {
    return fault("is no address");
  }
  if (address.protocol !== "redis:" && address.protocol !== "rediss:")
    fault(`speaks ${address.protocol}//, which is not Redis's`);
  if (address.hostname === "") fault("names no host");
  if (!/^(\/\d{1,5})?\/?$/.test(address.pathname)) fault(`${address.pathname} is no number of a database`);
  if (address.search !== "" || address.hash !== "") fault("has more behind the database than an address has");
  return address;
}

/**
 * A connection that is there. From then on it waits where Redis is away and goes on where it comes back: what was being
 * said is said again, so that whatever is sent through it may arrive twice.
 *
 * @param remark is told when Redis goes away and when it is back
 * @throws InputError where Redis cannot be reached, or does not let this user in
 */
export async function connected(address: URL, remark: (text: string) => void = () => undefined): Promise<Redis> {
  const { Redis: Client } = await queueLibraries();
  const redis = new Client(address.href, {
    lazyConnect: true,
    maxRetriesPerRequest: null,
    connectTimeout: 10_000,
    // Until the first connection stands: that Redis is not there at all is told at once.
    retryStrategy: (times) => (ready ? Math.min(100 * times, 2000) : null),
  });
  let ready = false;
  let away = false;
  let last: Error | undefined;
  redis.on("error", (error: Error) => {
    last = error;
    if (!ready || away) return;
    away = true;
    remark(`${shownAddress(address)} is away (${whyText(error)}): waiting for it`);
  });
  redis.on("ready", () => {
    if (away) remark(`${shownAddress(address)} is back`);
    away = false;
  });
  try {
    await redis.connect();
    await redis.ping();
    ready = true;
    return redis;
  } catch (error) {
    redis.disconnect();
    // The connection's own end says less than what ended it.
    throw refusedBy(address, /closed/.test((error as Error).message) && last ? last : (error as Error));
  }
}

const whyText = (error: Error): string => (error as NodeJS.ErrnoException).code ?? error.message.split("\n")[0]!;

/** Why Redis cannot be used, in the user's words. */
function refusedBy(address: URL, error: Error): InputError {
  const said = whyText(error);
  const who = /^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH)/.test(error.message);
  return new InputError({
    file: "--queue",
    field: shownAddress(address),
    reason: who ? `does not let this user in (${said})` : `cannot be reached (${said})`,
    remedy: who
      ? "give user and password in the address, redis://USER:PASSWORD@HOST:PORT"
      : "start redis-server there, or correct the address; rediss:// is with TLS, redis:// without",
  });
}

/**
 * Does what Redis refuses for a while, until it no longer does: a full disk, a start that is not over.
 * @throws InputError where the user may not do it; whatever else it threw
 */
export async function patiently<T>(address: URL, work: () => Promise<T>, remark: (text: string) => void): Promise<T> {
  for (let said = false; ; said = true) {
    try {
      return await work();
    } catch (error) {
      const { message } = error as Error;
      if (message.startsWith("NOPERM"))
        throw new InputError({
          file: "--queue",
          field: shownAddress(address),
          reason: message,
          remedy: "allow it: docs/sweeps.md says what a user of the queue must be allowed",
        });
      if (!PASSING.test(message)) throw error;
      if (!said) remark(`${shownAddress(address)}: ${message.split("\n")[0]!}: trying again`);
      await pause(PASSING_PAUSE_MS);
    }
  }
}
