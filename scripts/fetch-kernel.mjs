/**
 * Fetches the day's Debian kernel package into .cache/kernel and unpacks it there; nothing is installed and no version is
 * pinned. Usage: node scripts/fetch-kernel.mjs [FLAVOUR]    prints one line of JSON; exit 1 with a reason when it cannot be had.
 *
 * The kernel is GPL: it stays in the cache, which git ignores. Tests call {@link fetchKernel} and skip loudly without it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(fileURLToPath(import.meta.url), "../..");

/** @returns text on stdout, or throws what the program said */
const run = (program, args, cwd = root) => execFileSync(program, args, { cwd, encoding: "utf8", timeout: 300_000, stdio: ["ignore", "pipe", "pipe"] });

/** Package that a meta-package stands for today: `linux-image-6.1.0-NN-cloud-amd64`. */
const today = (flavour) => {
  const depends = run("apt-cache", ["depends", `linux-image-${flavour}`]);
  const name = /Depends: (linux-image-\d\S+)/.exec(depends)?.[1];
  if (!name) throw new Error(`apt-cache depends linux-image-${flavour} names no kernel: run apt-get update`);
  return name;
};

/** Newest unpacked package of the flavour, or undefined. */
const cached = (cache, flavour) => {
  const names = existsSync(cache) ? readdirSync(cache).filter((name) => new RegExp(`^linux-image-[\\d.]+-\\d+-${flavour}-unsigned_`).test(name) && existsSync(join(cache, name, "done"))) : [];
  return names.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
};

/** What lies in an unpacked package. */
const describe = (dir) => {
  const boot = readdirSync(join(dir, "boot"));
  const abi = boot.find((name) => name.startsWith("vmlinuz-")).slice("vmlinuz-".length);
  // The package's System.map is a one-line stub that points to the -dbg package; only a real one is given.
  return {
    dir, abi, version: /_([^_]+)_amd64$/.exec(dir)?.[1] ?? "",
    vmlinuz: join(dir, "boot", `vmlinuz-${abi}`), config: join(dir, "boot", `config-${abi}`), modules: join(dir, "lib/modules", abi),
  };
};

/**
 * The day's kernel package, unpacked.
 *
 * @param flavour Debian's: `cloud-amd64` (default) or `amd64`
 * @param offline take what the cache has and ask nobody
 * @returns {{dir: string, abi: string, version: string, vmlinuz: string, config: string, modules: string}}
 * @throws Error that says why it cannot be had
 */
export function fetchKernel(flavour = "cloud-amd64", { offline = process.env.KREPLICA_OFFLINE === "1" } = {}) {
  const cache = join(root, ".cache/kernel");
  const old = cached(cache, flavour);
  if (old && (offline || process.env.KREPLICA_FRESH !== "1")) return describe(join(cache, old));
  if (offline) throw new Error(`no ${flavour} kernel in .cache/kernel, and KREPLICA_OFFLINE=1 forbids fetching one`);
  try { run("apt-get", ["update", "-qq"]); } catch { /* lists of an earlier day may do; the download says when not */ }
  const wanted = `${today(flavour)}-unsigned`;
  const work = join(cache, `work-${process.pid}`);
  mkdirSync(work, { recursive: true });
  try {
    run("apt-get", ["download", "-qq", "-o", "APT::Sandbox::User=root", wanted], work);
    const file = readdirSync(work).find((name) => name.endsWith(".deb"));
    if (!file) throw new Error(`apt-get download ${wanted} left no file`);
    const name = file.replace(/\.deb$/, "");
    run("dpkg-deb", ["-x", join(work, file), join(work, "tree")]);
    writeFileSync(join(work, "tree/done"), "");
    const target = join(cache, name);
    if (!existsSync(target)) renameSync(join(work, "tree"), target);
    return describe(target);
  } finally { rmSync(work, { recursive: true, force: true }); }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try { console.log(JSON.stringify(fetchKernel(process.argv[2]))); }
  catch (error) { console.error(`fetch-kernel: ${error.message}`); process.exitCode = 1; }
}
