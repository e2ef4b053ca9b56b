/** What a comparison says of other CPUs' data in the last-level cache. Values in, text out. */
import type { CacheState, CompareResult } from "@kreplica/replay";
import { otherCores } from "@kreplica/replay";
import { labelOf } from "./compare-gains.js";
import { heading, paragraph, renderTable, right, type Screen } from "./terminal.js";

const states: readonly CacheState[] = ["cold", "hot"];

/** The sentence at the head of the report; nothing where the option was not given. */
export function pressureSentence({ job: { spec, where, pressure } }: CompareResult): string {
  if (!pressure) return "";
  const cores = otherCores(spec, where.cpu).length;
  const kind = { inclusive: "inclusive", victim: "a victim cache", independent: "not inclusive" }[spec.l3.inclusion];
  return ` Other CPUs read ${pressure.mbsPerCore} MB/s a core through the last-level cache of CPU ${where.cpu} (${kind}): ${cores} ${cores === 1 ? "core" : "cores"}, ${pressure.mbsPerCore * cores} MB/s in all.`;
}

/** Lines that came, test by test. */
export function pressureText({ job: { spec, pressure }, tests }: CompareResult, screen: Screen): string {
  if (!pressure) return "";
  const columns = [
    { head: "" },
    right("lines\none"),
    right("lines\ncopies"),
    right("runs\none"),
    right("runs\ncopies"),
  ];
  const rows = states.flatMap((cache) => [
    [screen.bold(cache), ...columns.slice(1).map(() => "")],
    ...tests
      .filter((each) => each.cache === cache)
      .map((each) => {
        const { singleCopy, perNode } = each;
        return [
          labelOf(each, tests),
          ...(["singleCopy", "perNode"] as const).map((side) => (each.foreignLines?.[side] ?? 0).toFixed(0)),
          ...[singleCopy, perNode].map(({ runs }) => String(runs)),
        ];
      }),
  ]);
  const loose = tests.filter(({ singleCopy, perNode }) => !singleCopy.settled || !perNode.settled).length;
  const note =
    `lines: of other CPUs' data that came into the last-level cache during one run, which holds ${spec.l3.bytes / 64}; runs: until the data had filled it twice and then twice again, of which hot is the mean.` +
    (loose === 0 ? "" : ` ${screen.warn(`${loose} of the means end before.`)}`);
  return (
    heading("Pressure:", "other CPUs' data in the last-level cache, with one copy and with copies", screen) +
    renderTable(columns, rows, screen) +
    "\n" +
    paragraph(note, screen)
  );
}
