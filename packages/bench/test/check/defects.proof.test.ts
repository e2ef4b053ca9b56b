/**
 * Every defect that is offered is found as a person asks for it, `check --defect ID` and nothing else: by name, alone,
 * within a few runs of the first seed.
 */
import { expect, test } from "vitest";
import { DEFECTS, defectOf } from "@kreplica/series-as-posted";
import { invoke } from "../invoke.js";

interface Document {
  readonly runs: number;
  readonly violations: readonly {
    readonly name?: string;
    readonly invariant: string;
    readonly operations: readonly unknown[];
  }[];
  readonly unseen?: unknown;
}

test.each(DEFECTS.map(({ id }) => id))("%s", async (id) => {
  const { code, out, error } = await invoke(["check", "--defect", id, "--json"]);
  const { runs, violations, unseen } = JSON.parse(out) as Document;
  expect([code, error, violations.map(({ name }) => name), unseen]).toEqual([1, "", [id], undefined]);
  expect(defectOf(id)!.breaks).toContain(violations[0]!.invariant);
  expect(violations[0]!.operations.length).toBeLessThanOrEqual(6);
  // The default is 400: what takes most of them is found by luck.
  expect(runs).toBeLessThanOrEqual(40);
});
