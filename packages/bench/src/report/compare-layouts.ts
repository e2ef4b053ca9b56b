/** What a comparison says of layouts. Values in, text out. */
import type { CompareResult } from "@kreplica/replay";
import { percentText } from "./compare-gains.js";
import { countText } from "./units.js";
import { heading, paragraph, type Screen } from "./terminal.js";

/** How far where things lie moves the figures, and how it was found; nothing where the option was not given. */
export function layoutsText({ layouts, machine, tests }: CompareResult, screen: Screen): string {
  if (!layouts) return "";
  const { count, seed, sampling } = layouts;
  const same = tests.flatMap((each) => (each.cache === "hot" && each.layout ? [{ ...each, layout: each.layout }] : []));
  return (
    heading("Layouts:", "how far where functions, pages and tables lie moves a gain", screen) +
    paragraph(
      `${countText(count, "layout")} drawn (seed ${seed}), beside the one as linked, recorded and booted: every function of the text, moved whole on multiples of 16 bytes, changes places with others in its 256 KiB; ` +
        "entry code and what falls through stays; the guest's pages change places within 2 MiB, and a kernel's tables lie in other frames.",
      screen,
    ) +
    paragraph(
      "by layout: least and most that two kernels would be said to gain over each other with a layout each, as two builds have; low .. high has it in it. A gain inside it is no more than another link of the same source could show." +
        (same.length === 0
          ? ""
          : ` With the same layout in both, as a switch at boot would have it, hot: ${same.map(({ test, layout }) => `${test.name} ${percentText(layout.sameLow)} .. ${percentText(layout.sameHigh)}`).join(", ")}.`),
      screen,
    ) +
    (machine?.layout
      ? paragraph(
          `Of the whole machine's mean: cold ${percentText(machine.layout.cold.low)} .. ${percentText(machine.layout.cold.high)}, hot ${percentText(machine.layout.hot.low)} .. ${percentText(machine.layout.hot.high)}.`,
          screen,
        )
      : "") +
    (sampling === undefined
      ? ""
      : paragraph(
          `Of tests of more than a million references an eighth is run in each layout; a gain told from it is off by ${sampling.toFixed(2)} at most, which moves both ends alike and is taken off.`,
          screen,
        ))
  );
}
