/**
 * Boots a kernel under QEMU far enough that it has patched itself and runs /init, then saves its image's memory.
 * Usage: node scripts/boot-guest.mjs VMLINUZ OUT [CPU] [APPEND]
 *
 * The guest is an oracle: what the model predicts for .text is compared with it byte for byte. Needs qemu-system-x86_64
 * and gcc.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const READY = "KREPLICA-READY";

/**
 * /init: loads modules if there are any, says that it is there, then sleeps for ever. No libc, so that nothing but the
 * kernel runs.
 */
const init = (modules) => `
.globl _start
_start:${modules
  .map(
    (_, i) => `
mov $2,%eax; lea path${i}(%rip),%rdi; xor %esi,%esi; syscall
mov %eax,%edi; mov $313,%eax; lea none(%rip),%rsi; xor %edx,%edx; syscall`,
  )
  .join("")}
mov $1,%eax; mov $1,%edi; lea text(%rip),%rsi; mov $${READY.length + 1},%edx; syscall
again: mov $34,%eax; syscall; jmp again
text: .ascii "${READY}\\n"
${modules.map((_, i) => `path${i}: .asciz "/m${i}.ko"\n`).join("")}none: .asciz ""
`;

/** One file of a cpio archive in "newc" form. */
function cpioEntry(name, mode, data, major = 0, minor = 0) {
  const hex = (value) => value.toString(16).padStart(8, "0");
  const header = `070701${[1, mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length + 1, 0].map(hex).join("")}`;
  const pad = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  return Buffer.concat([pad(Buffer.from(`${header}${name}\0`)), pad(data)]);
}

/**
 * @param {{vmlinuz: string, out: string, start: bigint, bytes: number, cpu?: string, cpus?: number, append?: string,
 *   seconds?: number, modules?: readonly Uint8Array[]}} options
 *   start and bytes: the physical range to save; modules: .ko files that /init loads, in that order
 * @returns {Promise<{log: string}>} the console's text
 * @throws Error that says why there is no guest
 */
export async function bootGuest({
  vmlinuz,
  out,
  start,
  bytes,
  cpu = "max,la57=off",
  cpus = 4,
  append = "",
  seconds = 180,
  modules = [],
}) {
  const work = mkdtempSync(join(tmpdir(), "kreplica-guest-"));
  try {
    writeFileSync(join(work, "init.s"), init(modules));
    execFileSync("gcc", ["-nostdlib", "-static", "-o", join(work, "init"), join(work, "init.s")]);
    writeFileSync(
      join(work, "initrd"),
      Buffer.concat([
        cpioEntry("dev", 0o040755, Buffer.alloc(0)),
        cpioEntry("dev/console", 0o020600, Buffer.alloc(0), 5, 1),
        cpioEntry("init", 0o100755, readFileSync(join(work, "init"))),
        ...modules.map((bytes, i) => cpioEntry(`m${i}.ko`, 0o100644, Buffer.from(bytes))),
        cpioEntry("TRAILER!!!", 0, Buffer.alloc(0)),
      ]),
    );
    const serial = join(work, "serial");
    const guest = spawn(
      "qemu-system-x86_64",
      [
        "-accel",
        "tcg",
        "-cpu",
        cpu,
        "-smp",
        String(cpus),
        "-m",
        "1024",
        "-display",
        "none",
        "-no-reboot",
        "-nodefaults",
        "-vga",
        "none",
        "-object",
        "memory-backend-ram,id=a,size=512M",
        "-object",
        "memory-backend-ram,id=b,size=512M",
        "-numa",
        `node,nodeid=0,memdev=a,cpus=0-${cpus / 2 - 1}`,
        "-numa",
        `node,nodeid=1,memdev=b,cpus=${cpus / 2}-${cpus - 1}`,
        "-numa",
        "dist,src=0,dst=1,val=21",
        "-kernel",
        vmlinuz,
        "-initrd",
        join(work, "initrd"),
        "-append",
        `console=ttyS0 nokaslr panic=-1 ${append}`,
        "-serial",
        `file:${serial}`,
        "-qmp",
        "stdio",
      ],
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    let said = "";
    guest.stdout.on("data", (data) => {
      said += data;
    });
    guest.stderr.on("data", (data) => {
      said += data;
    });
    let ended = false;
    const end = new Promise((done) =>
      guest.on("exit", () => {
        ended = true;
        done();
      }),
    );
    guest.on("error", (error) => {
      ended = true;
      said += error.message;
    });
    const log = () => (existsSync(serial) ? readFileSync(serial, "latin1") : "");
    const until = async (test, what) => {
      for (let tenth = 0; tenth < seconds * 10; tenth++) {
        if (test()) return;
        if (ended) throw new Error(`the guest ended before ${what}: ${said.trim().slice(-300)} ${log().slice(-500)}`);
        await new Promise((done) => setTimeout(done, 100));
      }
      throw new Error(`no ${what} within ${seconds} s: ${log().slice(-500)}`);
    };
    try {
      await until(() => log().includes(READY), "/init");
      const ask = async (id, execute, args = {}) => {
        guest.stdin.write(`${JSON.stringify({ execute, arguments: args, id })}\n`);
        const answer = () =>
          said
            .split("\n")
            .slice(0, -1)
            .filter((line) => line.startsWith("{"))
            .map((line) => JSON.parse(line))
            .find((each) => each.id === id);
        await until(() => answer() !== undefined, execute);
        if (answer().error) throw new Error(`${execute}: ${answer().error.desc}`);
      };
      await ask(1, "qmp_capabilities");
      await ask(2, "stop");
      await ask(3, "pmemsave", { val: Number(start), size: bytes, filename: out });
      guest.stdin.write(`${JSON.stringify({ execute: "quit" })}\n`);
      await Promise.race([end, new Promise((done) => setTimeout(done, 5000))]);
      return { log: log() };
    } finally {
      if (!ended) guest.kill("SIGKILL");
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [vmlinuz, out, cpu, append] = process.argv.slice(2);
  try {
    const { log } = await bootGuest({
      vmlinuz,
      out,
      start: 0x100_0000n,
      bytes: 0x300_0000,
      ...(cpu ? { cpu } : {}),
      ...(append ? { append } : {}),
    });
    console.log(
      log
        .split("\n")
        .filter((line) => /spectre|retbleed|ITS|speculat|mitigat|alternat|SMP:|command line/i.test(line))
        .join("\n"),
    );
  } catch (error) {
    console.error(`boot-guest: ${error.message}`);
    process.exitCode = 1;
  }
}
