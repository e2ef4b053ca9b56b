/** What `kreplica schema --json` prints: the list of published schemas. */

/** The schemas of all documents that kreplica prints, writes or reads. */
export interface SchemasDocument {
  readonly schema: "kreplica.schemas/1";
  readonly schemas: readonly ListedSchema[];
}

/** A schema and what it is of. */
export interface ListedSchema {
  /** What the document's field `schema` says; where a document has no such field, the name it goes by. */
  readonly name: string;
  /** Command that prints or reads such documents. */
  readonly command: string;
  /** Path of the schema, JSON Schema 2020-12. */
  readonly file: string;
}

/** @param schemas in the order they are listed */
export const schemasDocument = (schemas: readonly ListedSchema[]): SchemasDocument => ({
  schema: "kreplica.schemas/1",
  schemas,
});
