/**
 * A test replayed on a kernel whose copies come on demand: far until it has waited longer than the price, near from
 * then on, and at the price of a copy far to the end.
 */
import { dataFile } from "@kreplica/recordings";
import { expect, test } from "vitest";
import { invoke } from "./invoke.js";

const KILL = dataFile("traces/hsw-kill.kt.zst");

interface Compared {
  readonly tests: readonly {
    readonly cache: string;
    readonly gainPercent: number;
    readonly perNode: { readonly account: { readonly text: { readonly remote: number } } };
    readonly singleCopy: { readonly account: { readonly text: { readonly remote: number } } };
  }[];
}
const compared = async (policy: string, ...more: string[]): Promise<Compared> => {
  const { out } = await invoke(["compare", "--policy", policy, "--traces", KILL, "--cpu", "12", ...more, "--json"]);
  return JSON.parse(out) as Compared;
};
const farText = ({ tests }: Compared, kernel: "singleCopy" | "perNode") =>
  ["cold", "hot"].map((cache) => tests.find((each) => each.cache === cache)![kernel].account.text.remote);

test("cold the master's text; hot, after the run that paid for it, its own", async () => {
  const at = await compared("on-demand:1", "--pressure", "3000");
  const [coldOne, hotOne] = farText(at, "singleCopy");
  const [cold, hot] = farText(at, "perNode");
  expect(coldOne).toBeGreaterThan(0);
  expect(cold).toBe(coldOne);
  expect(hotOne).toBeGreaterThan(0);
  expect(hot).toBe(0);
});

test("at the price of a copy no run of the test pays for one", async () => {
  const at = await compared("on-demand:copy");
  expect(farText(at, "perNode")).toEqual(farText(at, "singleCopy"));
});
