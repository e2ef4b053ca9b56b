/** A file's name without its folder, as messages call it. */

/** The last part of a path, whichever way its separators lean. @param path with at least one name in it */
export const fileName = (path: string): string => /([^\\/]*)[\\/]*$/.exec(path)![1]!;
