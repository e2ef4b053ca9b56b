/**
 * What is known before any kernel has booted in the browser: all that can be chosen, and what is seen after each step
 * of the first kernel's boot. The site's build asks a session for it ({@link ./model/first.ts}); the page shows it at
 * once, and the worker, which boots that kernel meanwhile, need not look at its boot again.
 */
import { FIRST, hashOf, type Place } from "./hash.js";
import type { Catalogue } from "./model/choices.js";
import type { StoryStep, TableView, View } from "./model/view.js";

/** The boot of the first kernel. */
export interface FirstBoot {
  /** Of the story without operations: the boot's, and the end. */
  readonly steps: readonly StoryStep[];
  /** By step, from 0. */
  readonly views: readonly View[];
}

export interface First extends FirstBoot {
  readonly catalogue: Catalogue;
}

/** The same as the site's file holds it: a table that several steps leave as it is stands there once. */
export interface PackedFirst extends Omit<First, "views"> {
  readonly tables: readonly TableView[];
  /** With places in {@link tables}. */
  readonly views: readonly (Omit<View, "tables"> & { readonly tables: readonly number[] })[];
}

export function packFirst({ views, ...rest }: First): PackedFirst {
  const places = new Map<string, number>();
  const placeOf = (table: TableView): number => {
    const text = JSON.stringify(table);
    const place = places.get(text) ?? places.size;
    places.set(text, place);
    return place;
  };
  const packed = views.map((view) => ({ ...view, tables: view.tables.map(placeOf) }));
  return { ...rest, views: packed, tables: [...places.keys()].map((text) => JSON.parse(text) as TableView) };
}

export const unpackFirst = ({ tables, views, ...rest }: PackedFirst): First => ({
  ...rest,
  views: views.map((view) => ({ ...view, tables: view.tables.map((place) => tables[place]!) })),
});

/** Whether a place's kernel is the first one, whatever is done on it. */
export const isFirstKernel = (place: Place): boolean => isPlain({ ...place, operations: [] });

/** The step of the first kernel's boot that a place is about; undefined where it is about anything else. */
export const firstStep = (place: Place): number | undefined =>
  isPlain(place) && place.moment.store === 0 && place.moment.step <= FIRST.moment.step ? place.moment.step : undefined;

const isPlain = (place: Place): boolean => hashOf({ ...place, moment: FIRST.moment }) === hashOf(FIRST);
