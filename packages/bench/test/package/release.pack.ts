/// <reference types="node" />
/**
 * A release as CONTRIBUTING says it, in a fresh clone: `npx changeset version` gives all packages one version and a
 * changelog that can be read, and what is published names no workspace. The registry is one of this test's own, for our
 * scope alone.
 */
import { spawn } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freshClone } from "./fresh-clone.js";
import { manifestOf, packages, root, run } from "./packed.js";

const clone = freshClone();
afterAll(() => {
  rmSync(clone, { recursive: true, force: true });
});

interface Changeset {
  readonly text: string;
  readonly names: readonly string[];
}
const changesets: readonly Changeset[] = readdirSync(join(clone, ".changeset"))
  .filter((file) => file.endsWith(".md") && file !== "README.md")
  .map((file) => {
    const [, head, body] = /^---\n([\s\S]*?)\n---\n+([\s\S]*)$/.exec(
      readFileSync(join(clone, ".changeset", file), "utf8"),
    )!;
    return {
      text: body!.trim(),
      names: [...head!.matchAll(/"@kreplica\/([\w-]+)": (?:minor|patch)/g)].map(([, name]) => name!),
    };
  });
interface Published {
  readonly version: string;
  readonly dependencies?: Record<string, string>;
}
const versioned = (name: string): Published =>
  JSON.parse(readFileSync(join(clone, "packages", name, "package.json"), "utf8")) as Published;

beforeAll(() => {
  // Enough of an installation to find the program; the real one comes below.
  run(process.execPath, [join(root, "node_modules/@changesets/cli/bin.js"), "version"], clone);
});

test("all packages get one version, the first one 0.1.0, and no changeset is left", () => {
  const [version, ...others] = [...new Set(packages.map((name) => versioned(name).version))];
  expect(others).toEqual([]);
  const before = (manifestOf(packages[0]!) as unknown as Published).version;
  expect(version).toBe(before === "0.0.0" ? "0.1.0" : changesets.length === 0 ? before : version);
  if (changesets.length > 0) expect(version).not.toBe(before);
  expect(readdirSync(join(clone, ".changeset")).filter((file) => file.endsWith(".md") && file !== "README.md")).toEqual(
    [],
  );
});

test.each(packages)(
  "the changelog of %s has what concerns it, in words, and no list of commits and dependencies",
  (name) => {
    const log = readFileSync(join(clone, "packages", name, "CHANGELOG.md"), "utf8");
    expect(log).toMatch(
      new RegExp(`^# @kreplica/${name}\\n\\n## ${versioned(name).version.replaceAll(".", "\\.")}\\n`),
    );
    expect(log).not.toMatch(/Updated dependencies|^- [0-9a-f]{7}: /m);
    const concerning = changesets.filter(({ names }) => names.includes(name));
    for (const { text } of concerning) expect(log.replaceAll(/^ {2}/gm, "")).toContain(text);
    expect([...log.matchAll(/^- /gm)].length).toBeGreaterThanOrEqual(concerning.length);
  },
);

/** Takes what is published, and knows nothing beforehand. */
async function publish(): Promise<Map<string, { manifest: Published; files: string[] }>> {
  const taken = new Map<string, { manifest: Published; files: string[] }>();
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request
      .on("data", (part: Buffer) => parts.push(part))
      .on("end", () => {
        response.setHeader("content-type", "application/json");
        if (request.method !== "PUT") return response.writeHead(404).end("{}");
        const put = JSON.parse(Buffer.concat(parts).toString()) as {
          name: string;
          versions: Record<string, Published>;
          _attachments: Record<string, { data: string }>;
        };
        const archive = join(clone, "node_modules/.taken.tgz");
        writeFileSync(archive, Buffer.from(Object.values(put._attachments)[0]!.data, "base64"));
        taken.set(put.name.replace("@kreplica/", ""), {
          manifest: Object.values(put.versions)[0]!,
          files: run("tar", ["tzf", archive], clone).split("\n"),
        });
        return response.writeHead(201).end("{}");
      });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  appendFileSync(
    join(clone, ".npmrc"),
    `@kreplica:registry=http://127.0.0.1:${port}/\n//127.0.0.1:${port}/:_authToken=nobody\n`,
  );
  const said: string[] = [];
  try {
    const child = spawn("node", ["scripts/run.mjs", "publish"], {
      cwd: clone,
      env: { ...process.env, NODE_OPTIONS: "", NPM_CONFIG_PROVENANCE: "false" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => said.push(part.toString()));
    const status = await new Promise((resolve) => child.on("close", resolve));
    if (status !== 0) throw new Error(said.join(""));
  } finally {
    server.close();
  }
  return taken;
}

test("every package is published with neighbours of that version by name, and with changelog, license and declarations", async () => {
  // What is built here is what would be built there.
  for (const name of packages)
    cpSync(join(root, "packages", name, "dist"), join(clone, "packages", name, "dist"), { recursive: true });
  mkdirSync(join(clone, "node_modules"), { recursive: true });
  const taken = await publish();
  expect([...taken.keys()].sort()).toEqual(packages);
  for (const [name, { manifest, files }] of taken) {
    expect(manifest.version).toBe(versioned(name).version);
    for (const [each, range] of Object.entries(manifest.dependencies ?? {})) {
      expect(range).toMatch(
        each.startsWith("@kreplica/") ? new RegExp(`^\\^${manifest.version.replaceAll(".", "\\.")}$`) : /^\^?\d/,
      );
    }
    for (const file of ["README.md", "CHANGELOG.md", "LICENSE", "dist/index.d.ts", "dist/index.js"])
      expect(files, name).toContain(`package/${file}`);
    expect(existsSync(join(clone, "packages", name, "CHANGELOG.md"))).toBe(true);
  }
});
