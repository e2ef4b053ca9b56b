/**
 * Reads Linux's /proc/cpuinfo, a paragraph for each CPU:
 *
 *     processor       : 0
 *     vendor_id       : GenuineIntel
 *     cpu family      : 6                     model, model name likewise
 *     physical id     : 0                     package
 *     core id         : 0                     within the package
 *     address sizes   : 46 bits physical, 48 bits virtual
 *
 * @source Linux, Documentation/arch/x86/topology.rst; proc(5)
 */
import { quoted, TextLines } from "@kreplica/inputs";
import { AccountOf, MOST_CPU } from "./account.js";
import { hertzIn, vendorOf } from "./processor-names.js";

/** Whether the text is that of an x86 machine. */
export const isCpuinfo = (text: string): boolean =>
  /^processor\t*:\s*\d+\s*$/m.test(text) && /^(?:vendor_id|cpu family)\s*:/m.test(text);

const WHOLE = "give the whole of /proc/cpuinfo";

/** @throws InputError naming the line of every fault */
export function readCpuinfo(source: string, file: string): AccountOf {
  const text = new TextLines(file, source);
  const account = new AccountOf("/proc/cpuinfo", file);
  const cpus: number[] = [];
  const packages = new Map<string, number[]>();
  const cores = new Map<string, number[]>();
  let cpu: number | undefined;
  let [socket, line] = ["", 0];
  for (const [index, content] of text.lines.entries()) {
    const [, name, value] = /^([a-z][a-z _]{0,30}?)\s*:\s*(.*?)\s*$/.exec(content) ?? [];
    if (name === undefined) continue;
    if (name === "processor") {
      cpu = /^\d{1,5}$/.test(value!) ? Number(value) : NaN;
      socket = "";
      line = index + 1;
      if (!(cpu <= MOST_CPU) || cpus.includes(cpu))
        text.report(index, name, `${quoted(value!)} is not a CPU from 0 to ${MOST_CPU}, each once`, WHOLE);
      cpus.push(cpu);
    }
    if (cpu === undefined) continue;
    if (name === "physical id") {
      socket = value!;
      packages.set(socket, [...(packages.get(socket) ?? []), cpu]);
    }
    if (name === "core id" && socket !== "")
      cores.set(`${socket} ${value}`, [...(cores.get(`${socket} ${value}`) ?? []), cpu]);
    if (cpus.length === 1) sayProcessor(name, value!, index, account);
  }
  text.settle();
  account.say(
    "cpus",
    "",
    [...cpus].sort((a, b) => a - b),
    line,
  );
  for (const [kind, groups] of [
    ["packageOf", packages],
    ["coreOf", cores],
  ] as const) {
    if ([...groups.values()].flat().length !== cpus.length) continue;
    for (const group of groups.values())
      account.group(
        kind,
        group.sort((a, b) => a - b),
        line,
      );
  }
  return account;
}

function sayProcessor(name: string, value: string, index: number, account: AccountOf): void {
  if (name === "vendor_id") {
    const vendor = vendorOf(value);
    if (vendor) account.say("vendor", "", vendor, index + 1);
    else account.remark(`vendor ${quoted(value)} is not among those modelled`);
  }
  if ((name === "cpu family" || name === "model") && /^\d{1,4}$/.test(value))
    account.say(name === "model" ? "model" : "family", "", Number(value), index + 1);
  const hertz = name === "model name" ? hertzIn(value) : undefined;
  if (hertz !== undefined) account.say("hertz", "", hertz, index + 1);
  const bits = name === "address sizes" ? /^(\d{2}) bits physical, (48|57) bits virtual$/.exec(value) : undefined;
  if (bits && Number(bits[1]) >= 36 && Number(bits[1]) <= 52) {
    account.say("physicalBits", "", Number(bits[1]), index + 1);
    account.say("virtualBits", "", Number(bits[2]), index + 1);
  }
}
