/** Layer number by package name. */
export const layers: Readonly<Record<string, number>>;
