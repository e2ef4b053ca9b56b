/** What tests use of document-schemas.mjs. */

/** File names and texts of all schemas made from types, as they are to stand in schemas/. */
export function schemaTexts(): Promise<ReadonlyMap<string, string>>;
