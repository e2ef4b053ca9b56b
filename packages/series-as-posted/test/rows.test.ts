/** The rows: every defect once, each with its sentence; and how they are laid. */
import { expect, test } from "vitest";
import { bindValue, plugin, token } from "@kreplica/di";
import { DEFECTS, defectOf, layOver, SERIES_DEFECTS } from "../src/index.js";

test("ids are each other's only once, and each has something to say and to lay", () => {
  expect(new Set(DEFECTS.map(({ id }) => id)).size).toBe(DEFECTS.length);
  for (const { id, sentence, patch, effect, overlays } of DEFECTS) {
    expect(sentence.length * patch.length * effect.length * overlays.length, id).toBeGreaterThan(0);
    expect(defectOf(id)?.sentence).toBe(sentence);
  }
  expect(SERIES_DEFECTS.map(({ id }) => id).filter((id) => /^D\d+$/.test(id))).toEqual(
    Array.from({ length: 16 }, (_, index) => `D${index + 1}`),
  );
  expect(defectOf("D17")).toBeUndefined();
});

test("overlays over what a list does not bind are left out, the others follow the list", () => {
  const Own = token<number>("test/Own");
  const plugins = [plugin("own", [bindValue(Own, 1)])];
  expect(layOver(plugins, DEFECTS)).toEqual(plugins);
  const { token: view } = defectOf("D10")!.overlays[0]!;
  expect(
    layOver([...plugins, plugin("view", [bindValue(view, {})])], [defectOf("D10")!, defectOf("D7")!]).map(
      ({ name }) => name,
    ),
  ).toEqual(["own", "view", "D10"]);
});
