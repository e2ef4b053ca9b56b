/** Numbers of things in words: one of it is not told as several. */

/** The word for a thing, as there are so many of it: `page`, `pages`. */
export const pluralOf = (count: number, one: string): string => (count === 1 ? one : `${one}s`);

/** `1 run`, `4 runs` */
export const countText = (count: number, one: string): string => `${count} ${pluralOf(count, one)}`;
