/**
 * The comparison's table of a busy machine: shares of links and controllers, latencies, relief. Values in, text out.
 */
import { COMMON_SHAPE_SOURCE } from "@kreplica/machines";
import { type Balance, type CompareResult, type Resource, STATES } from "@kreplica/replay";
import { labelOf, percentText } from "./compare-gains.js";
import { heading, paragraph, renderTable, right, type Screen } from "./terminal.js";

/** Share of the peak of the busiest link, or memory controller, in percent; `-` where there is none. */
export function busiestText(kind: Resource["kind"], resources: readonly Resource[], utilisation: Float64Array): string {
  const shares = resources.flatMap((each, nth) => (each.kind === kind ? [utilisation[nth]!] : []));
  return shares.length === 0 ? "-" : percentText(100 * Math.max(...shares));
}

/** What stands where no load was asked for. */
export const idleText = ({ loaded }: CompareResult): string => (loaded ? "" : " Idle machine; --load to change.");

/** How busy it is, test by test; nothing on an idle machine. */
export function loadText(result: CompareResult, screen: Screen): string {
  const { loaded, tests, standing, job } = result;
  if (!loaded) return "";
  const { load, resources } = loaded;
  const { spec, where } = job;
  const index = (node: number): number => spec.nodes.findIndex(({ id }) => id === node);
  const [own, image] = [index(standing.own.node), index(where.masterNode)];
  const most = (kind: Resource["kind"], { utilisation }: Balance): string => busiestText(kind, resources, utilisation);
  const ns = ({ spec: busy }: Balance, home: number): string => busy.latencyNs[own]![home]!.toFixed(1);
  const columns = [
    { head: "" },
    right("link %\none"),
    right("link %\ncopies"),
    right("memory %\none"),
    right("memory %\ncopies"),
    right("image ns\none"),
    right("image ns\ncopies"),
    right("own ns\none"),
    right("own ns\ncopies"),
    right("relief\n%"),
  ];
  const rows = STATES.flatMap((cache) => [
    [screen.bold(cache), ...columns.slice(1).map(() => "")],
    ...tests
      .filter((each) => each.cache === cache)
      .flatMap((each) => {
        const found = loaded.tests.find((one) => one.file === each.file && one.cache === cache);
        if (!found) return [];
        const { single, perNode, relief } = found;
        return [
          [
            labelOf(each, tests),
            ...(["link", "memory"] as const).flatMap((kind) => [most(kind, single), most(kind, perNode)]),
            ...[image, own].flatMap((home) => [ns(single, home), ns(perNode, home)]),
            percentText(relief),
          ],
        ];
      }),
  ]);
  const loose = loaded.tests.filter(({ single, perNode }) => !single.settled || !perNode.settled).length;
  const note =
    `link, memory: share of the peak of the busiest link and of the busiest memory controller, background (${load.text}) and what ${load.cpusPerNode === 1 ? "one CPU" : `${load.cpusPerNode} CPUs`} of every node ${load.cpusPerNode === 1 ? "asks" : "ask"} for who ${load.cpusPerNode === 1 ? "runs" : "run"} the test; image, own: latency of the image's node and of the CPU's own; relief: the part of the gain that is links and controllers less busy, for text and data alike. ` +
    (result.machine ? "" : "One CPU alone is looked at: what CPUs of other nodes ask for is not known and left out. ") +
    `Latency over use: ${spec.loadedLatency?.source ?? COMMON_SHAPE_SOURCE}.` +
    (loose === 0 ? "" : ` ${screen.warn(`${loose} of the balances did not settle.`)}`);
  return (
    heading("Load:", "how busy links and memory controllers are, with one copy and with copies", screen) +
    renderTable(columns, rows, screen) +
    "\n" +
    paragraph(note, screen)
  );
}
