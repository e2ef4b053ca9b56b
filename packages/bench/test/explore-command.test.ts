/// <reference types="node" />
/** What `kreplica explore` serves and to whom, and what it says when it cannot. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { siteFolder } from "@kreplica/explorer";
import { afterAll, expect, test } from "vitest";
import { serveSite } from "../src/commands/explore.js";
import { invoke } from "./invoke.js";

const folder = mkdtempSync(join(tmpdir(), "kreplica-explore-"));
const site = join(folder, "site");
mkdirSync(site);
writeFileSync(join(site, "index.html"), "<!doctype html>");
writeFileSync(join(site, "page.js"), "1");
writeFileSync(join(folder, "secret"), "not yours");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Got {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: string;
}

/** As a browser asks; the path goes as it is, without what a client tidies up. */
const ask = (port: number, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Got> =>
  new Promise((done, failed) => {
    get({ host: "127.0.0.1", port, path, headers, method }, (response) => {
      let body = "";
      response.on("data", (part) => (body += String(part)));
      response.on("end", () => done({ status: response.statusCode!, type: response.headers["content-type"], body }));
    }).on("error", failed);
  });

test("its files are served, to this machine alone, and nothing else", async () => {
  const server = await serveSite(site, 0);
  const { port, address } = server.address() as AddressInfo;
  expect(address).toBe("127.0.0.1");
  expect(await ask(port, "/")).toEqual({ status: 200, type: "text/html; charset=utf-8", body: "<!doctype html>" });
  expect(await ask(port, "/page.js?x=1")).toMatchObject({ status: 200, type: "text/javascript; charset=utf-8" });
  for (const path of ["/secret", "/../secret", "/%2e%2e/secret", "/..%2fsecret", "//etc/passwd", "/page.js/"])
    expect(await ask(port, path), path).toMatchObject({ status: 404, body: "" });
  expect(await ask(port, "/", { host: "evil.example" })).toMatchObject({ status: 403, body: "" });
  expect(await ask(port, "/", {}, "POST")).toMatchObject({ status: 404 });
  await expect(serveSite(site, port)).rejects.toThrow(
    `--port: port ${port} cannot be had (EADDRINUSE). Choose another, or 0 for any that is free.`,
  );
  server.close();
});

test("a browser that unpacks gets them packed, each time the same", async () => {
  const server = await serveSite(site, 0);
  const { port } = server.address() as AddressInfo;
  const packed = (): Promise<[string | undefined, string]> =>
    new Promise((done, failed) => {
      get(
        { host: "127.0.0.1", port, path: "/page.js", headers: { "accept-encoding": "gzip, deflate, br" } },
        (response) => {
          const parts: Buffer[] = [];
          response.on("data", (part: Buffer) => parts.push(part));
          response.on("end", () => {
            done([response.headers["content-encoding"], gunzipSync(Buffer.concat(parts)).toString()]);
          });
        },
      ).on("error", failed);
    });
  expect(await packed()).toEqual(["gzip", "1"]);
  expect(await packed()).toEqual(["gzip", "1"]);
  server.close();
});

const built = existsSync(new URL("index.html", siteFolder()));

test.runIf(built)("the site is written whole into a new folder, and over nothing", async () => {
  const target = join(folder, "out", "site");
  const { code, error } = await invoke(["explore", "--output", target]);
  expect([code, error]).toEqual([0, `kreplica: ${target} is written: serve it with any web server\n`]);
  const source = fileURLToPath(siteFolder());
  expect(readdirSync(target).sort()).toEqual(readdirSync(source).sort());
  expect(readFileSync(join(target, "index.html"), "utf8")).toBe(readFileSync(join(source, "index.html"), "utf8"));
  const again = await invoke(["explore", "--output", target]);
  expect([again.code, again.error]).toEqual([
    2,
    `kreplica: ${target}: --output: it is there, and is not an empty folder. Name a new folder, or empty it.\n`,
  ]);
});

test.runIf(!built)("without a site it says how to build one", async () => {
  const { code, error } = await invoke(["explore", "--port", "0"]);
  expect(code).toBe(2);
  expect(error).toContain("the site has not been built. Run npm run site");
});
