/**
 * The machine kreplica runs on: what Linux's files say of it, and what lscpu and cpuid print where they are installed.
 * What cannot be read is left open, and said.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { InputError } from "@kreplica/inputs";
import {
  AccountOf,
  accountsFromText,
  isAcpiTable,
  type MachineAccount,
  readAcpi,
  sysfsAccount,
  tableFromBytes,
} from "@kreplica/machines";
import { acpiDirectory } from "./acpi-directory.js";
import { diskFolder } from "./disk-folder.js";

/** Names this machine where one is to be named. */
export const THIS = "this";

const NODES = "/sys/devices/system/node";
const TABLES = "/sys/firmware/acpi/tables";
const CPUINFO = "/proc/cpuinfo";
const LARGEST_OUTPUT = 16 << 20;

/** @throws InputError where none of it can be read */
export function thisMachine(): MachineAccount[] {
  const missing = new AccountOf("this machine", THIS);
  const parts: MachineAccount[] = [];
  // From the firmware's word to what Linux made of it.
  attempt(missing, TABLES, () => {
    const paths = acpiDirectory(TABLES);
    if (!paths) return missing.remark(`${TABLES}: no SRAT, SLIT, HMAT or APIC`);
    const tables = paths.map((path) => ({ path, bytes: new Uint8Array(readFileSync(path)) }));
    const whole = tables
      .filter(({ bytes }) => isAcpiTable(bytes))
      .map(({ path, bytes }) => tableFromBytes(bytes, path));
    parts.push(readAcpi(whole));
  });
  for (const [command, ...words] of [["cpuid", "-r"], ["lscpu"]] as const)
    attempt(missing, command!, () => parts.push(...printed(command!, words)));
  attempt(missing, CPUINFO, () => parts.push(...accountsFromText(readFileSync(CPUINFO, "utf8"), CPUINFO)));
  if (existsSync(NODES)) attempt(missing, NODES, () => parts.push(sysfsAccount(diskFolder(NODES))));
  else missing.remark(`${NODES}: not there; one node with all CPUs`);
  if (parts.every(({ facts }) => facts.length === 0))
    throw new InputError({
      file: THIS,
      reason: `nothing of this machine can be read (${missing.remarks.join("; ")})`,
      remedy: "give the output of `lscpu` and `numactl --hardware` of an x86-64 machine with Linux",
    });
  return [...parts, missing];
}

/** What cannot be read of a running machine is left open: its user did not write it. */
function attempt(missing: AccountOf, what: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = error instanceof InputError ? error.reason : (code ?? (error as Error).message);
    missing.remark(`${what}: ${code === "EACCES" || code === "EPERM" ? "readable for root alone" : reason}`);
  }
}

function printed(command: string, words: readonly string[]): MachineAccount[] {
  const { stdout, error, status } = spawnSync(command, words, {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
    maxBuffer: LARGEST_OUTPUT,
    timeout: 20_000,
  });
  if (error)
    throw (error as NodeJS.ErrnoException).code === "ENOENT"
      ? new Error(`not installed (package ${command === "lscpu" ? "util-linux" : command})`)
      : error;
  if (status !== 0) throw new Error(`ended with ${status}`);
  return accountsFromText(stdout, `\`${[command, ...words].join(" ")}\` here`);
}
