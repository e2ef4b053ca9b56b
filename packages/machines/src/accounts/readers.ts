/** Which reader a text is for: told by its content, never by its file's name. */
import { InputError } from "@kreplica/inputs";
import { isLatencyChecker } from "../memory-latency-checker.js";
import { isNumactlHardware } from "../numactl-hardware.js";
import { isAcpiDump, tablesFromDump } from "../acpi/tables.js";
import { readAcpi } from "./acpi.js";
import { isCpuinfo, readCpuinfo } from "./cpuinfo.js";
import { isCpuidDump } from "./cpuid-dump.js";
import { readCpuid } from "./cpuid.js";
import { isLikwid, readLikwid } from "./likwid-topology.js";
import type { MachineAccount } from "./account.js";
import { isMeasurement, readMeasurement } from "./measured.js";
import { isLscpu, readLscpu } from "./lscpu.js";
import { isLstopoXml, readLstopoXml } from "./lstopo-xml.js";
import { readLatencyChecker, readNumactl } from "./text-tools.js";

interface Reader {
  readonly name: string;
  matches(text: string): boolean;
  read(text: string, file: string): MachineAccount;
}

const OTHERS: readonly Reader[] = [
  { name: "`kreplica probe --json`", matches: isMeasurement, read: readMeasurement },
  { name: "`lscpu`", matches: isLscpu, read: readLscpu },
  { name: "`lstopo --of xml`", matches: isLstopoXml, read: readLstopoXml },
  { name: "`likwid-topology`", matches: isLikwid, read: readLikwid },
  { name: "`cpuid -r` and InstLatx64", matches: isCpuidDump, read: readCpuid },
  { name: "`cat /proc/cpuinfo`", matches: isCpuinfo, read: readCpuinfo },
  { name: "`acpidump`", matches: isAcpiDump, read: (text, file) => readAcpi(tablesFromDump(text, file)) },
];

/** In the order in which a text is offered to them; a file may hold outputs of several. */
const READERS: readonly Reader[] = [
  ...OTHERS,
  { name: "`numactl --hardware`", matches: isNumactlHardware, read: readNumactl },
  { name: "Intel MLC", matches: isLatencyChecker, read: readLatencyChecker },
];

/** Names of the texts that are understood, for messages. */
export const accountTexts: readonly string[] = READERS.map(({ name }) => name);

/** Whether any reader takes the text. */
export const isAccountText = (text: string): boolean => READERS.some((reader) => reader.matches(text));

/** Whether the output of another tool than numactl and the Memory Latency Checker is in the text. */
export const isTextOfOthers = (text: string): boolean => OTHERS.some((reader) => reader.matches(text));

/**
 * All that a text says, an account for each tool whose output is in it.
 *
 * @throws InputError naming line and field
 */
export function accountsFromText(text: string, file: string): MachineAccount[] {
  const accounts = READERS.filter((reader) => reader.matches(text)).map((reader) => reader.read(text, file));
  if (accounts.length > 0) return accounts;
  throw new InputError({
    file,
    reason: text.trim() === "" ? "empty" : "not a machine in any known format",
    remedy: `known are ${accountTexts.join(", ")}`,
  });
}
