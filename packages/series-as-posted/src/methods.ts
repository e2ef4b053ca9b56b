/** How overlays change one method of a part, and let it keep the others. */

/** A part whose fields an overlay may set. */
export type Changeable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Lets something happen at the end of a method of an object. */
export function after<T, K extends keyof T>(object: T, method: K, then: () => void): void {
  const original = (object[method] as (...given: unknown[]) => unknown).bind(object);
  object[method] = ((...given: unknown[]) => {
    const result = original(...given);
    then();
    return result;
  }) as T[K];
}
