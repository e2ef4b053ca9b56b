/** Test helpers. */
export {};
