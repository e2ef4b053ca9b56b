/** A machine as text: what it consists of, what its accesses cost, and what each number rests on. */
import type { CacheSpec, MachineSpec, Sourced, TlbSpec } from "@kreplica/hw-x86/api";
import { formatCpuList } from "@kreplica/inputs";
import { COMMON_SHAPE_SOURCE, sourcedNumbers } from "@kreplica/machines";
import { hanging, heading as titled, renderMatrix, renderTable, type Screen, wrap } from "./terminal.js";
import { bytesText, countText, hertzText, numberText } from "./units.js";

/** Stands behind every number that is recalled or assumed. */
const MARK = "~";

const distinct = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
const heading = (title: string, note: string, screen: Screen): string =>
  note === "" ? `\n${screen.bold(title)}\n` : `\n${titled(title, note, screen, "  ")}`;
const mark = (number: { readonly provisional?: boolean }): string => (number.provisional ? MARK : "");
const range = ({ value, low = value, high = value }: Sourced): string =>
  low === high ? "" : `${numberText(low)} to ${numberText(high)}`;

/** Breaks a list of CPUs at commas. */
function brokenAtCommas(list: string, width: number): string {
  const lines: string[] = [];
  for (const part of list.split(/(?<=,)/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + part.length <= width) lines[lines.length - 1] = last + part;
    else lines.push(part);
  }
  return lines.join("\n");
}

/** Least and greatest latency from a node with CPUs to a node with memory, local and remote, nanoseconds. */
export function latencyRange(machine: MachineSpec): {
  readonly local: readonly [number, number];
  readonly remote?: readonly [number, number];
} {
  const local: number[] = [];
  const remote: number[] = [];
  for (const [i, from] of machine.nodes.entries()) {
    if (!machine.cpus.some((cpu) => cpu.node === from.id)) continue;
    for (const [j, to] of machine.nodes.entries())
      if (to.memoryBytes > 0) (i === j ? local : remote).push(machine.latencyNs[i]![j]!);
  }
  const ends = (values: readonly number[]): readonly [number, number] => [Math.min(...values), Math.max(...values)];
  return { local: ends(local.length > 0 ? local : [0]), ...(remote.length > 0 ? { remote: ends(remote) } : {}) };
}

const between = ([low, high]: readonly [number, number]): string =>
  low === high ? numberText(low) : `${numberText(low)} to ${numberText(high)}`;

/** Every machine in two lines. */
export function machineListText(machines: readonly MachineSpec[], screen: Screen): string {
  const nameWidth = Math.max(...machines.map((machine) => machine.name.length)) + 2;
  return (
    machines
      .map((machine) => {
        const { local, remote } = latencyRange(machine);
        const memory = machine.nodes.reduce((sum, node) => sum + node.memoryBytes, 0);
        const facts = [
          countText(machine.nodes.length, "node"),
          countText(distinct(machine.cpus.map((cpu) => cpu.core)).length, "core"),
          countText(machine.cpus.length, "CPU"),
          bytesText(memory),
          `${between(local)} ns local${remote ? `, ${between(remote)} remote` : ""}`,
        ].join(", ");
        const [first, ...more] = wrap(facts, screen.columns - nameWidth - 2);
        return `${screen.bold(machine.name.padEnd(nameWidth))}${[first!, ...more.map((line) => " ".repeat(nameWidth) + line)].join("\n")}${machine.provisional ? ` ${screen.warn(MARK)}` : ""}\n${hanging("", machine.description, screen, nameWidth - 2)}`;
      })
      .join("") +
    `\n${wrap(`${MARK} provisional: latency, bandwidth or topology is recalled or assumed`, screen.columns).join("\n  ")}\n`
  );
}

/** One machine in full. */
export function machineText(machine: MachineSpec, screen: Screen): string {
  return [
    `${screen.bold(machine.name)}\n${hanging("", machine.description, screen, 0)}`,
    machine.provisional
      ? hanging(
          screen.warn(MARK),
          "provisional: its latency, bandwidth or topology is recalled, assumed or scaled",
          screen,
          2,
        )
      : "",
    nodesText(machine, screen),
    cachesText(machine, screen),
    translationText(machine, screen),
    interconnectText(machine, screen),
    costsText(machine, screen),
    sourcesText(machine, screen),
  ].join("");
}

function nodesText(machine: MachineSpec, screen: Screen): string {
  const sockets = distinct(machine.cpus.map((cpu) => cpu.socket)).length;
  const cores = distinct(machine.cpus.map((cpu) => cpu.core)).length;
  const { value, low = value, high = value } = machine.hertz;
  const clock = `${hertzText(value)}${low === high ? "" : ` (${numberText(low / 1e9)} to ${hertzText(high)})`}`;
  const placed = machine.nodes.some((node) => node.startAddress !== undefined);
  const rows = machine.nodes.map(({ id, memoryBytes, startAddress }) => {
    const cpus = machine.cpus.filter((cpu) => cpu.node === id);
    const of = (field: "core" | "l3" | "socket"): number[] => distinct(cpus.map((cpu) => cpu[field]));
    return [
      `${id}`,
      memoryBytes === 0 ? "none" : bytesText(memoryBytes),
      ...(placed ? [startAddress === undefined ? "" : `0x${startAddress.toString(16)}`] : []),
      cpus.length === 0 ? "none" : formatCpuList(of("socket")),
      `${of("core").length}`,
      `${of("l3").length}`,
      cpus.length === 0
        ? "none"
        : brokenAtCommas(formatCpuList(cpus.map((cpu) => cpu.id).sort((a, b) => a - b)), screen.columns - 52),
    ];
  });
  const guess = machine.assumedTopology === undefined ? "" : ` ${MARK}`;
  return (
    heading(
      "Nodes",
      `${countText(sockets, "socket")}${guess}, ${cores} cores${guess}, ${machine.cpus.length} CPUs, ${clock}, addresses of ${machine.physicalBits} bits, virtual ${machine.virtualBits}${machine.encryptionBit === undefined ? "" : `, memory encrypted by bit ${machine.encryptionBit}`}`,
      screen,
    ) +
    renderTable(
      [
        { head: "node", align: "right" },
        { head: "memory", align: "right" },
        ...(placed ? [{ head: "from", align: "right" } as const] : []),
        { head: "socket", align: "right" },
        { head: "cores", align: "right" },
        { head: "L3s", align: "right" },
        { head: "CPUs" },
      ],
      rows,
      screen,
    ) +
    (machine.assumedTopology === undefined
      ? ""
      : hanging(
          MARK,
          `a guess: ${machine.assumedTopology}. A copy of /sys/devices/system with node and cpu, or JSON, says it`,
          screen,
        ))
  );
}

function cachesText(machine: MachineSpec, screen: Screen): string {
  const l3Cores = distinct(machine.cpus.filter((cpu) => cpu.l3 === machine.cpus[0]!.l3).map((cpu) => cpu.core)).length;
  const row = (name: string, cache: CacheSpec, shared: string): string[] => [
    name,
    bytesText(cache.bytes),
    `${cache.ways}`,
    `${cache.bytes / cache.ways / 64}`,
    shared,
    numberText(cache.cycles.value),
    range(cache.cycles),
    mark(cache.cycles),
  ];
  return (
    heading(
      "Caches",
      `of an ${machine.vendor === "amd" ? "AMD" : "Intel"} core; 64-byte lines; cycles from access to use`,
      screen,
    ) +
    renderTable(
      [
        { head: "" },
        { head: "size", align: "right" },
        { head: "ways", align: "right" },
        { head: "sets", align: "right" },
        { head: "of" },
        { head: "cycles", align: "right" },
        { head: "range" },
        { head: "" },
      ],
      [
        row("L1I", machine.l1i, "a core"),
        row("L1D", machine.l1d, "a core"),
        row("L2", machine.l2, "a core"),
        row("L3", machine.l3, `${countText(l3Cores, "core")}, ${machine.l3.inclusion}`),
      ],
      screen,
    )
  );
}

function translationText({ translation }: MachineSpec, screen: Screen): string {
  const { instruction, data, second, pagingStructure, mixedSizes } = translation;
  const tlb = (spec: TlbSpec | undefined): string =>
    !spec ? "none" : spec.ways === spec.entries ? `${spec.entries} full` : `${spec.entries} / ${spec.ways}`;
  return (
    heading("TLBs", "of a core, entries / ways", screen) +
    renderTable(
      [
        { head: "" },
        { head: "4 KiB", align: "right" },
        { head: "2 MiB", align: "right" },
        { head: "1 GiB", align: "right" },
        { head: "cycles", align: "right" },
        { head: "range" },
        { head: "" },
      ],
      [
        ["code", tlb(instruction.small), tlb(instruction.large), "none", "", "", ""],
        ["data", tlb(data.small), tlb(data.large), tlb(data.huge), "", "", ""],
        [
          "second level",
          tlb(second),
          second.large ? "shared" : "none",
          tlb(second.huge),
          numberText(second.cycles.value),
          range(second.cycles),
          mark(second.cycles),
        ],
      ],
      screen,
    ) +
    hanging(
      "paging-structure caches:",
      `${pagingStructure.pde} PDE, ${pagingStructure.pdpte} PDPTE, ${pagingStructure.pml4e} PML4E entries ${mark(pagingStructure)}`.trimEnd(),
      screen,
      25,
    ) +
    hanging(
      "a fetch of two sizes:",
      mixedSizes ? "may be a machine check, where a page's size changed with no flush between" : "takes either",
      screen,
      25,
    )
  );
}

function interconnectText(machine: MachineSpec, screen: Screen): string {
  const names = machine.nodes.map((node) => `${node.id}`);
  const many = names.length > 8;
  const tilde = machine.provisional ? ` ${MARK}` : "";
  const hasCpus = machine.nodes.map((node) => machine.cpus.some((cpu) => cpu.node === node.id));
  const matrix = (
    title: string,
    note: string,
    cells: readonly (readonly number[])[],
    text: (value: number) => string,
  ): string =>
    heading(title, note, screen) +
    renderMatrix(
      names,
      cells.map((row) => row.map(text)),
      "node",
      screen,
    );
  // No CPU there asks, or no memory there answers: whatever number stands in the matrix is never used.
  const used = (cells: readonly (readonly number[])[], text: (value: number) => string): string[][] =>
    cells.map((row, i) => row.map((value, j) => (hasCpus[i] && machine.nodes[j]!.memoryBytes > 0 ? text(value) : "-")));
  const measured = (
    title: string,
    note: string,
    cells: readonly (readonly number[])[],
    text: (value: number) => string,
  ): string => heading(title, note, screen) + renderMatrix(names, used(cells, text), "node", screen);
  const { sameL3, sameSocket, otherSocket } = machine.cacheToCacheNs;
  const transfer = (name: string, number: Sourced): string[] => [
    name,
    `${numberText(number.value)} ns`,
    range(number),
    mark(number),
  ];
  return (
    measured(
      "Memory latency, ns",
      `row: node of the CPU, column: node of the memory; +-${numberText(machine.latencySpread * 100)} %${tilde}`,
      machine.latencyNs,
      (ns) => ns.toFixed(many ? 0 : 1),
    ) +
    measured("Memory read bandwidth, GB/s", `1 GB = 1,000,000,000 bytes${tilde}`, machine.bandwidthMBs, (mbs) =>
      (mbs / 1000).toFixed(1),
    ) +
    loadedText(machine, screen) +
    matrix("Distances (SLIT)", "10 local, 255 unreachable", machine.distance, String) +
    heading("Lines from another core or another L3", "", screen) +
    renderTable(
      [{ head: "" }, { head: "", align: "right" }, { head: "range" }, { head: "" }],
      [
        sameL3 ? transfer("core of the same L3", sameL3) : ["core of the same L3", "as same socket", "", ""],
        transfer("same socket", sameSocket),
        transfer("other socket", otherSocket),
      ],
      screen,
    )
  );
}

/** Points of a curve that are shown: some of a long one. */
const MOST_POINTS = 12;

/** How latency grows with use. */
function loadedText({ loadedLatency }: MachineSpec, screen: Screen): string {
  const title = "Latency under load";
  if (!loadedLatency)
    return (
      heading(title, "", screen) + hanging(" ", `the shape that published curves share: ${COMMON_SHAPE_SOURCE}`, screen)
    );
  const { points } = loadedLatency;
  const step = Math.ceil((points.length - 1) / (MOST_POINTS - 1)) || 1;
  const shown = points.filter((_, i) => i % step === 0 || i === points.length - 1);
  return (
    heading(title, `share of the peak read bandwidth, times the idle latency${mark(loadedLatency)}`, screen) +
    renderTable(
      [
        { head: "in use, %", align: "right" },
        { head: "times idle", align: "right" },
      ],
      shown.map(({ utilisation, timesIdle }) => [(100 * utilisation).toFixed(1), timesIdle.toFixed(2)]),
      screen,
    ) +
    (shown.length < points.length
      ? hanging(" ", `${shown.length} of ${points.length} points; --json has all`, screen)
      : "")
  );
}

function costsText({ costs }: MachineSpec, screen: Screen): string {
  const row = (name: string, number: Sourced): string[] => [
    name,
    numberText(number.value),
    range(number),
    mark(number),
  ];
  const rowIf = (name: string, number: Sourced | undefined): string[][] => (number ? [row(name, number)] : []);
  return (
    heading("Costs", "share: the part of a miss that the core does not hide", screen) +
    renderTable(
      [{ head: "" }, { head: "value", align: "right" }, { head: "range" }, { head: "" }],
      [
        row("cycles an instruction, nothing missing", costs.cyclesPerInstruction),
        row("share of an instruction-fetch miss", costs.fetchExposure),
        row("share of a load miss", costs.loadExposure),
        row("share of a store miss", costs.storeExposure),
        row("share of a page walk", costs.walkExposure),
        row("cycles an inter-processor interrupt", costs.ipiCycles),
        ...(costs.frontEnd
          ? [
              row("jumps the front end foresees", costs.frontEnd.targets),
              row("lines it has under way at once", costs.frontEnd.lines),
              ...rowIf("of these straight on, unforeseen", costs.frontEnd.straightLines),
              ...rowIf("cycles to start anew behind another", costs.frontEnd.restartCycles),
              ...rowIf("cycles of a fetch beyond a load's", costs.frontEnd.missCycles),
            ]
          : [
              ["lines fetched ahead on an L1I miss", `${costs.prefetchLines}`, "", ""],
              ...rowIf("cycles of theirs over when first fetched", costs.prefetchHiddenCycles),
            ]),
      ],
      screen,
    )
  );
}

/** Sources of single numbers, equal ones together, then those of the machine. */
function sourcesText(machine: MachineSpec, screen: Screen): string {
  const fields = new Map<string, { names: string[]; provisional: boolean }>();
  const add = (name: string, source: string, provisional: boolean): void => {
    const entry = fields.get(source) ?? { names: [], provisional: false };
    entry.names.push(name);
    fields.set(source, { names: entry.names, provisional: entry.provisional || provisional });
  };
  for (const { path, number } of sourcedNumbers(machine))
    add(path.join("."), number.source, number.provisional ?? false);
  add("translation", machine.translation.source, false);
  add("latencyNs, bandwidthMBs, distance", machine.interconnectSource, machine.provisional);
  if (machine.loadedLatency)
    add("loadedLatency", machine.loadedLatency.source, machine.loadedLatency.provisional ?? false);
  let text = heading("What the numbers rest on", `${MARK} recalled or assumed, not read or measured`, screen);
  for (const [source, { names, provisional }] of fields) {
    text += hanging(provisional ? MARK : " ", `${names.join(", ")}: ${source}`, screen);
  }
  return text + heading("Sources", "", screen) + machine.sources.map((source) => hanging("-", source, screen)).join("");
}
