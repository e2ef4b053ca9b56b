/**
 * Fetches the day's Debian kernel package into .cache/kernel and unpacks it there; nothing is installed and no version
 * is
 * pinned. Usage: node scripts/fetch-kernel.mjs [FLAVOUR]           prints one line of JSON; exit 1 with a reason when it cannot be had;
 *                node scripts/fetch-kernel.mjs FLAVOUR RELEASE         the same of another Debian release's kernel, with its modules;
 *                node scripts/fetch-kernel.mjs FLAVOUR RELEASE MODULE  of one module in it.
 *
 * The kernel is GPL: it stays in the cache, which git ignores. Tests call {@link fetchKernel}, {@link
 * fetchReleaseKernel}, {@link fetchModule} and skip loudly without it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(fileURLToPath(import.meta.url), "../..");

/** @returns text on stdout, or throws what the program said */
const run = (program, args, cwd = root) =>
  execFileSync(program, args, { cwd, encoding: "utf8", timeout: 300_000, stdio: ["ignore", "pipe", "pipe"] });

/** Package that a meta-package stands for today: `linux-image-6.1.0-NN-cloud-amd64`. */
const today = (flavour, options = []) => {
  const depends = run("apt-cache", [...options, "depends", `linux-image-${flavour}`]);
  const name = /Depends: (linux-image-\d\S+)/.exec(depends)?.[1];
  if (!name) throw new Error(`apt-cache depends linux-image-${flavour} names no kernel: run apt-get update`);
  return name;
};

/** Newest unpacked package of the flavour, or undefined. */
const cached = (cache, flavour) => {
  const names = existsSync(cache)
    ? readdirSync(cache).filter(
        (name) =>
          new RegExp(`^linux-image-[\\d.]+-\\d+-${flavour}-unsigned_`).test(name) &&
          existsSync(join(cache, name, "done")),
      )
    : [];
  return names.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
};

/** What lies in an unpacked package. */
const describe = (dir) => {
  const boot = readdirSync(join(dir, "boot"));
  const abi = boot.find((name) => name.startsWith("vmlinuz-")).slice("vmlinuz-".length);
  // The package's System.map is a one-line stub that points to the -dbg package; only a real one is given.
  return {
    dir,
    abi,
    version: /_([^_]+)_amd64$/.exec(dir)?.[1] ?? "",
    vmlinuz: join(dir, "boot", `vmlinuz-${abi}`),
    config: join(dir, "boot", `config-${abi}`),
    modules: join(dir, "lib/modules", abi),
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
  try {
    run("apt-get", ["update", "-qq"]);
  } catch {
    /* lists of an earlier day may do; the download says when not */
  }
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
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Signs Debian's indices, each of which holds the SHA256 of its packages: apt refuses what does not agree. */
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * Options that let apt see one release only, with lists of its own under `work`: the system's lists and sources stay as
 * they are.
 */
const releaseOptions = (work, release) => {
  for (const each of ["lists/partial", "archives/partial"]) mkdirSync(join(work, each), { recursive: true });
  writeFileSync(
    join(work, "release.list"),
    `deb [signed-by=${KEYRING}] http://deb.debian.org/debian ${release} main\n`,
  );
  const options = {
    "Dir::Etc::SourceList": join(work, "release.list"),
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::State::Lists": join(work, "lists"),
    "Dir::Cache::Archives": join(work, "archives"),
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
  };
  return Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
};

/**
 * Packages that a kernel's meta-package leads to which hold files of it: from Debian 14 vmlinuz and modules have
 * packages of their own.
 */
const partsOf = (name, options) => [
  name,
  ...[...run("apt-cache", [...options, "depends", name]).matchAll(/Depends: (linux-(?:binary|modules)-\d\S+)/g)].map(
    (match) => match[1],
  ),
];

/**
 * The day's kernel of another Debian release, unpacked: its vmlinuz and modules, nothing else.
 *
 * @param release Debian's name of it: `trixie`, `sid`, `bullseye`
 * @param flavour `cloud-amd64` (default) or `amd64`, which is ten times as large
 * @param offline take what the cache has and ask nobody
 * @returns {{vmlinuz: string, modules: string, abi: string}}
 * @throws Error that says why it cannot be had
 */
export function fetchReleaseKernel(
  release,
  flavour = "cloud-amd64",
  { offline = process.env.KREPLICA_OFFLINE === "1" } = {},
) {
  const cache = join(root, ".cache/kernel", `${release}-${flavour}`),
    what = `${release}'s ${flavour} kernel`;
  const old = (existsSync(cache) ? readdirSync(cache) : [])
    .filter((name) => existsSync(join(cache, name, "done")))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .at(-1);
  if (old && (offline || process.env.KREPLICA_FRESH !== "1")) return describeTree(join(cache, old));
  if (offline) throw new Error(`no ${what} in .cache/kernel, and KREPLICA_OFFLINE=1 forbids fetching one`);
  const work = join(root, ".cache/kernel", `work-${process.pid}-${release}`);
  mkdirSync(join(work, "tree"), { recursive: true });
  try {
    const options = releaseOptions(work, release);
    run("apt-get", [...options, "update", "-qq", "--error-on=any"]);
    const name = today(flavour, options);
    for (const part of partsOf(name, options)) run("apt-get", [...options, "download", "-qq", part], work);
    const files = readdirSync(work).filter((each) => each.endsWith(".deb"));
    if (files.length === 0) throw new Error(`apt-get download left no file for ${what}`);
    for (const file of files) run("dpkg-deb", ["-x", join(work, file), join(work, "tree")]);
    rmSync(join(work, "tree/usr/share"), { recursive: true, force: true });
    const found = describeTree(join(work, "tree"));
    writeFileSync(join(work, "tree/done"), "");
    const target = join(cache, found.abi);
    mkdirSync(cache, { recursive: true });
    if (!existsSync(target)) renameSync(join(work, "tree"), target);
    return describeTree(target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Where kernel and modules lie: in boot and lib/modules, since Debian 13 usr/lib/modules, since 14 both there. */
function describeTree(dir) {
  const parent = ["lib/modules", "usr/lib/modules"].map((each) => join(dir, each)).find((each) => existsSync(each));
  const abi = parent && readdirSync(parent)[0];
  const vmlinuz =
    abi && [join(dir, "boot", `vmlinuz-${abi}`), join(parent, abi, "vmlinuz")].find((each) => existsSync(each));
  if (!vmlinuz) throw new Error(`${dir} holds no kernel`);
  return { vmlinuz, modules: join(parent, abi), abi };
}

/**
 * One module out of the day's kernel of another Debian release; of the package (about 100 MB) nothing else is kept.
 *
 * @param module as in `test_bpf`
 * @param release Debian's name of it: `trixie`
 * @param flavour `amd64` (default) or `cloud-amd64`, which carries fewer modules
 * @param offline take what the cache has and ask nobody
 * @returns {{file: string, package: string}} the module, unpacked, and the package's name with its version
 * @throws Error that says why it cannot be had
 */
export function fetchModule(
  module,
  release,
  flavour = "amd64",
  { offline = process.env.KREPLICA_OFFLINE === "1" } = {},
) {
  const cache = join(root, ".cache/kernel", `${release}-${flavour}`),
    what = `${module}.ko of ${release}'s ${flavour} kernel`;
  const old = (existsSync(cache) ? readdirSync(cache) : [])
    .filter((name) => existsSync(join(cache, name, `${module}.ko`)))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .at(-1);
  if (old && (offline || process.env.KREPLICA_FRESH !== "1"))
    return { file: join(cache, old, `${module}.ko`), package: old };
  if (offline) throw new Error(`no ${what} in .cache/kernel, and KREPLICA_OFFLINE=1 forbids fetching one`);
  const work = join(root, ".cache/kernel", `work-${process.pid}`);
  mkdirSync(join(work, "tree"), { recursive: true });
  try {
    const options = releaseOptions(work, release);
    run("apt-get", [...options, "update", "-qq", "--error-on=any"]);
    run("apt-get", [...options, "download", "-qq", today(flavour, options)], work);
    const name = readdirSync(work)
      .find((each) => each.endsWith(".deb"))
      ?.replace(/\.deb$/, "");
    if (!name) throw new Error(`apt-get download left no file for ${what}`);
    // Piped, not unpacked: the tree is some 500 MB.
    run(
      "bash",
      [
        "-c",
        'set -o pipefail; dpkg-deb --fsys-tarfile "$1" | tar -x -C tree --wildcards --transform "s,.*/,," "*/$2.ko*"',
        "unpack",
        `${name}.deb`,
        module,
      ],
      work,
    );
    for (const each of readdirSync(join(work, "tree")))
      if (each.endsWith(".xz")) run("xz", ["-d", join(work, "tree", each)]);
    const target = join(cache, name);
    mkdirSync(target, { recursive: true });
    renameSync(join(work, "tree", `${module}.ko`), join(target, `${module}.ko`));
    return { file: join(target, `${module}.ko`), package: name };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [flavour, release, module] = process.argv.slice(2);
  try {
    console.log(
      JSON.stringify(
        release && module
          ? fetchModule(module, release, flavour)
          : release
            ? fetchReleaseKernel(release, flavour)
            : fetchKernel(flavour),
      ),
    );
  } catch (error) {
    console.error(`fetch-kernel: ${error.message}`);
    process.exitCode = 1;
  }
}
