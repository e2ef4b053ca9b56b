/** An axis in percent: nought is one of its lines, wherever it begins. */
import { expect, test } from "vitest";
import { percentAxis } from "../src/axis.js";

test.each([
  [[-3, 63], 10, 20, ["0 %", "20 %", "40 %", "60 %"]],
  [[-30, 12], 10, 20, ["-20 %", "0 %", "20 %"]],
  [[1, 4], 5, 5, ["0 %", "5 %"]],
  [[-12, -3], 5, 5, ["-15 %", "-10 %", "-5 %", "0 %"]],
])("of %j", (values, grain, step, lines) => {
  const { x, ticks } = percentAxis(values, grain, () => step, 100);
  expect(Array.from(ticks.matchAll(/>([^<]+)<\/text>/g), ([, text]) => text)).toEqual(lines);
  expect(ticks.match(/class="zero" x1="([\d.]+)"/)?.[1]).toBe(String(Math.round(x(0) * 10) / 10));
  expect(ticks.match(/class="zero"/g)).toHaveLength(1);
});
