/** What `kreplica tables --json` prints: one of three documents, told apart by `node`, `from` and `pictures`. */

/** Page tables of a booted kernel by node, or recorded ones. */
export type TablesDocument = TablePicturesDocument | NodeTableDocument | RecordedTablesDocument;

/** The way to a page on every node, and which entries of the nodes' tables differ. */
export interface TablePicturesDocument extends TablePictures {
  readonly schema: "kreplica.tables/1";
}

/** Pictures and differences of a booted kernel. */
export interface TablePictures {
  /** Of text, rodata, data and a user page, each a picture of several lines; cells marked `=` are shared. */
  readonly pictures: readonly string[];
  readonly differences: readonly TableDifference[];
}

/** Entries that two nodes' tables do not share. */
export interface TableDifference {
  /** The two nodes. */
  readonly nodes: readonly number[];
  /** `PGD[511] PUD[510]`, runs as `PMD[8..9]`. */
  readonly entries: readonly string[];
}

/** One node's kernel table, in the format of `/sys/kernel/debug/page_tables/kernel`. */
export interface NodeTableDocument {
  readonly schema: "kreplica.tables/1";
  readonly node: number;
  readonly lines: readonly string[];
}

/** A recorded table, every leaf as QEMU's `info tlb` lists it. */
export interface RecordedTablesDocument {
  readonly schema: "kreplica.tables/1";
  /** Directory, or name of tables that ship. */
  readonly from: string;
  /** CPU whose table it is. */
  readonly cpu: number;
  /** Physical addresses, hexadecimal, of table pages that were not recorded: what they map is not listed. */
  readonly missing: readonly string[];
  readonly lines: readonly string[];
}

/** @param tables pictures and differences, in that order */
export const tablePicturesDocument = ({ pictures, differences }: TablePictures): TablesDocument => ({
  schema: "kreplica.tables/1",
  pictures,
  differences,
});

/** @param lines as ptdump has them */
export const nodeTableDocument = (node: number, lines: readonly string[]): TablesDocument => ({
  schema: "kreplica.tables/1",
  node,
  lines,
});

/** @param recorded all but the schema */
export const recordedTablesDocument = ({
  from,
  cpu,
  missing,
  lines,
}: Omit<RecordedTablesDocument, "schema">): TablesDocument => ({
  schema: "kreplica.tables/1",
  from,
  cpu,
  missing,
  lines,
});
