/** Numbers as people read them. */
import { countText, pluralOf } from "@kreplica/inputs";

/** 33554432 as `32 MiB`; whole numbers where the unit allows, else one decimal. */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(Number.isInteger(value) ? 0 : 1)} ${units[unit]!}`;
}

/** 2600000000 as `2.6 GHz`. */
export const hertzText = (hertz: number): string => `${Number((hertz / 1e9).toFixed(3))} GHz`;

/** At most three decimals, no trailing zeros. */
export const numberText = (value: number): string => `${Number(value.toFixed(3))}`;

/** To whole numbers, digits in threes: `12,345`. */
export const grouped = (value: number): string =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");

export { countText };

/** The same with digits in threes: `12,345 cells`. */
export const groupedCount = (count: number, one: string): string => `${grouped(count)} ${pluralOf(count, one)}`;
