/// <reference types="node" />
/** The site, built and served to this machine alone, for the tests that drive it in a browser. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
};

/** A site that is served. */
export interface ServedSite {
  /** Ends with a slash. */
  readonly address: string;
  /** Bytes of a file of it, gzipped. */
  weigh(name: string): number;
  /** What was asked for, by name, with a leading slash. */
  readonly asked: readonly string[];
  close(): void;
}

export async function servedSite(): Promise<ServedSite> {
  const folder = mkdtempSync(join(tmpdir(), "kreplica-site-"));
  execFileSync(process.execPath, [join(resolve(import.meta.dirname, ".."), "scripts/site.mjs"), folder]);
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://localhost");
    asked.push(pathname);
    const name = pathname.slice(1) || "index.html";
    if (!existsSync(join(folder, name))) return void response.writeHead(404).end();
    response
      .writeHead(200, { "content-type": TYPES[extname(name)] ?? "text/plain" })
      .end(readFileSync(join(folder, name)));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked,
    weigh: (name) => gzipSync(readFileSync(join(folder, name)), { level: 9 }).length,
    close() {
      server.close();
      rmSync(folder, { recursive: true });
    },
  };
}
