/**
 * Public surface of series-as-posted: every defect of the series as a row, and how they are laid over a list of
 * plugins.
 */
import { type Plugin, plugin } from "@kreplica/di";
import { COPIED_SOURCE } from "./copied-source.js";
import { D1 } from "./d1.js";
import { D10_GROWTH } from "./d10-growth.js";
import { D10 } from "./d10.js";
import { D11 } from "./d11.js";
import { D12 } from "./d12.js";
import { D13 } from "./d13.js";
import { D14 } from "./d14.js";
import { D15 } from "./d15.js";
import { D16 } from "./d16.js";
import { D2 } from "./d2.js";
import { D3 } from "./d3.js";
import { D4 } from "./d4.js";
import { D5 } from "./d5.js";
import { D6 } from "./d6.js";
import { D7 } from "./d7.js";
import { D8 } from "./d8.js";
import { D9 } from "./d9.js";
import type { LaidFault, SeriesDefect } from "./defect.js";
import { N1 } from "./n1.js";
import { N2 } from "./n2.js";
import { N3 } from "./n3.js";
import { REMOTE_TABLE } from "./remote-table.js";

export type { Configuration, Confirmation, LaidFault, SeriesDefect } from "./defect.js";

/** The defects of the series as posted, in the order of their numbers. */
export const SERIES_DEFECTS: readonly SeriesDefect[] = [
  D1,
  D2,
  D3,
  D4,
  D5,
  D6,
  D7,
  D8,
  D9,
  D10,
  D10_GROWTH,
  D11,
  D12,
  D13,
  D14,
  D15,
  D16,
  N1,
  N2,
  N3,
  REMOTE_TABLE,
];

/** Of other designs, to be laid over the corrected kernel as those of the series are. */
export const OTHER_DEFECTS: readonly SeriesDefect[] = [COPIED_SOURCE];

/** All that can be laid. */
export const DEFECTS: readonly SeriesDefect[] = [...SERIES_DEFECTS, ...OTHER_DEFECTS];

/** The series' own way with areas. */
export const AREA_DEFECTS: readonly SeriesDefect[] = [D6, D7, D12, N3];

/** A defect by its id. @returns undefined for an id that is none */
export const defectOf = (id: string): SeriesDefect | undefined => DEFECTS.find((each) => each.id === id);

/**
 * Plugins with defects laid over them, in the order given. Overlays over what no plugin of the list binds are left out:
 * a kernel without vmalloc has no areas to get wrong.
 */
export function layOver(plugins: readonly Plugin[], defects: readonly LaidFault[]): Plugin[] {
  const bound = new Set(plugins.flatMap((each) => each.bindings.map((binding) => binding.token.key)));
  const laid = defects.map(({ id, overlays }) =>
    plugin(
      id,
      overlays.filter((each) => bound.has(each.token.key)),
    ),
  );
  return [...plugins, ...laid.filter(({ bindings }) => bindings.length > 0)];
}
