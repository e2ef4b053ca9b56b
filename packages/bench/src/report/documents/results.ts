/** What `kreplica results --json` prints: rows of a sweep, or what was asked of them. */

/** A table: columns by name, and rows. */
export interface ResultsDocument {
  readonly schema: "kreplica.results/1";
  /** As it was named. */
  readonly folder: string;
  /** A ready-made question's name, or the SQL. */
  readonly question: string;
  /** Column that a ready-made question is about. */
  readonly column: string;
  readonly columns: readonly string[];
  /** A value for each column. */
  readonly rows: readonly (readonly (string | number | boolean | null)[])[];
}
