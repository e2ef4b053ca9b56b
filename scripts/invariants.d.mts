export const PAGE: string;
interface Row {
  readonly id: string;
  readonly sentence: string;
  readonly when: string;
  readonly where: readonly string[];
}
export function withTables(page: string, rows: readonly Row[], groups: ReadonlyMap<string, string>): string;
