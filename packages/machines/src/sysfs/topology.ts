/**
 * Packages and cores of the CPUs, where a copy of sysfs has the CPUs' own directory beside the nodes' (or links that
 * lead to it):
 *
 *     cpuN/topology/physical_package_id      0, or -1 where the firmware does not know
 *     cpuN/topology/core_cpus_list           0,24        threads of the core; thread_siblings_list in kernels before 5.3
 *     cpuN/topology/core_id                  used where neither list is there
 *
 * @source Linux Documentation/ABI/stable/sysfs-devices-system-cpu
 */
import { parseCpuList } from "@kreplica/inputs";
import type { CpuPlace } from "../cpu-places.js";
import type { FoundNode } from "../found-node.js";
import type { SysfsFiles } from "./files.js";

/** @returns undefined when not every CPU's package is told: sockets are then guessed. Faults are reported */
export function readTopology(
  files: SysfsFiles,
  nodes: readonly FoundNode[],
): ReadonlyMap<number, CpuPlace> | undefined {
  const places = new Map<number, CpuPlace>();
  let told = true;
  for (const { id, cpus } of nodes) {
    for (const cpu of cpus) {
      const directory = [
        `node${id}/cpu${cpu}/topology`,
        ...(files.besideCpus ? [`../cpu/cpu${cpu}/topology`] : []),
      ].find((each) => files.has(each));
      const place = directory === undefined ? undefined : placeOf(files, directory, cpu);
      if (place) places.set(cpu, place);
      else told = false;
    }
  }
  if (!told || places.size === 0) return undefined;
  const packages = new Set([...places.values()].map((place) => place.package));
  if (packages.size > 64)
    files.report(
      "",
      `${packages.size} packages`,
      "the model has 64 sockets: leave nodes out, in the other nodes' distances too",
    );
  return places;
}

function placeOf(files: SysfsFiles, directory: string, cpu: number): CpuPlace | undefined {
  const name = `${directory}/physical_package_id`;
  const packageText = files.text(name)?.trim();
  // -1: the firmware does not know.
  if (packageText === undefined || packageText === "-1") return undefined;
  if (!/^\d{1,9}$/.test(packageText)) {
    files.report(
      name,
      `${JSON.stringify(packageText.slice(0, 40))} is not the number of a package`,
      "write a number from 0",
    );
    return undefined;
  }
  const list = ["core_cpus_list", "thread_siblings_list"]
    .map((each) => `${directory}/${each}`)
    .find((each) => files.has(each));
  if (list === undefined) {
    const core = files.figure(`${directory}/core_id`, "the number of a core");
    return core === undefined ? undefined : { package: Number(packageText), core };
  }
  const threads = parseCpuList(files.text(list) ?? "");
  if (threads?.includes(cpu)) return { package: Number(packageText), core: threads[0]! };
  files.report(
    list,
    threads ? `does not name CPU ${cpu} itself` : "is not a list of CPUs",
    "write the threads of its core, like 0,24",
  );
  return undefined;
}
