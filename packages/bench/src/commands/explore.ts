/** `kreplica explore`: the explorer's site on this machine alone, or as a folder to put anywhere. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { gzipSync } from "node:zlib";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { siteFolder } from "@kreplica/explorer";
import { InputError, whyNot } from "@kreplica/inputs";
import { type Command, Option } from "commander";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { DEFAULT_PORT, LOOPBACK } from "./explorer-link.js";
import { declareRules } from "./rules.js";
import { numberOption } from "./values.js";

interface Options {
  readonly port: number;
  readonly output?: string;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

export function registerExplore(program: Command, context: CommandContext): void {
  declareRules(
    program
      .command("explore")
      .summary("step through page tables and replication in a browser")
      .description(
        "Serves the explorer on this machine alone until it is interrupted (Ctrl-C): a kernel boots in the browser and is stepped through, store by store, with the page tables of every node, what each CPU has cached, all rules, and the series' defects and bugs of Linux as lessons. It can be written as a folder of static files, too.",
      ),
    [{ option: "--port", not: "--output", because: "the site is written, not served" }],
  )
    .addOption(
      numberOption(
        "--port <number>",
        "where it is served; 0 takes any that is free",
        { least: 0, most: 65_535 },
        DEFAULT_PORT,
      ),
    )
    .addOption(new Option("-o, --output <folder>", "write the site there and end"))
    .addHelpText(
      "after",
      examples(
        ["kreplica explore", `open http://${LOOPBACK}:${DEFAULT_PORT}/ in a browser`],
        ["kreplica explore --port 0", "on a port that is free"],
        ["kreplica explore --output site", "as static files, to be put anywhere"],
      ) + exitCodes,
    )
    .action(async ({ port, output }: Options) => {
      const site = builtSite();
      if (output !== undefined) {
        writeSite(site, output);
        context.remark(`${output} is written: serve it with any web server`);
        return;
      }
      const server = await serveSite(site, port);
      const address = server.address();
      const at = typeof address === "object" && address ? address.port : port;
      context.print(`http://${LOOPBACK}:${at}/\n`);
      context.remark("open this in a browser; Ctrl-C ends it");
      await new Promise((resolve) => server.on("close", resolve));
    });
}

/** @throws InputError where it was not built */
function builtSite(): string {
  const site = fileURLToPath(siteFolder());
  if (!existsSync(join(site, "index.html")))
    throw new InputError({
      file: site,
      reason: "the site has not been built",
      remedy: "run npm run site, or npm start -- explore, in the repository",
    });
  return site;
}

/** @throws InputError for a path that is no empty folder and none that can be made */
function writeSite(site: string, folder: string): void {
  try {
    if (existsSync(folder) && (!statSync(folder).isDirectory() || readdirSync(folder).length > 0))
      throw new InputError({
        file: folder,
        field: "--output",
        reason: "it is there, and is not an empty folder",
        remedy: "name a new folder, or empty it",
      });
    mkdirSync(folder, { recursive: true });
    cpSync(site, folder, { recursive: true });
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({ file: folder, field: "--output", ...whyNot(error, "name a folder that can be written") });
  }
}

/**
 * Serves the files of a folder, and nothing outside of it, to this machine.
 * @throws InputError when the port cannot be had
 */
export async function serveSite(site: string, port: number): Promise<Server> {
  const files = new Set(readdirSync(site));
  // For those who look from elsewhere, through a tunnel: packed once a file, when it is first asked for.
  const packed = new Map<string, Buffer>();
  const packedOf = (name: string): Buffer => {
    const known = packed.get(name) ?? gzipSync(readFileSync(join(site, name)));
    packed.set(name, known);
    return known;
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const name = pathname === "/" ? "index.html" : pathname.slice(1);
    // A page of elsewhere that has a name of ours lead here gets nothing.
    const local = /^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? "");
    if (!local || !files.has(name) || (request.method !== "GET" && request.method !== "HEAD")) {
      response.writeHead(local ? 404 : 403).end();
      return;
    }
    const packs = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
    response.writeHead(200, {
      vary: "accept-encoding",
      ...(packs ? { "content-encoding": "gzip" } : {}),
      "content-type": TYPES[extname(name)] ?? "text/plain; charset=utf-8",
      "cache-control": "no-cache",
      "x-content-type-options": "nosniff",
    });
    response.end(request.method === "HEAD" ? undefined : packs ? packedOf(name) : readFileSync(join(site, name)));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        new InputError({
          file: "--port",
          reason: `port ${port} cannot be had (${error.code ?? error.message})`,
          remedy: "choose another, or 0 for any that is free",
        }),
      );
    });
    server.listen(port, LOOPBACK, resolve);
  });
  return server;
}
