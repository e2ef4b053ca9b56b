/** Comparisons whose jobs are run together: each gets its own answers, one run for all, and no run after a fault. */
import { describe, expect, test } from "vitest";
import { type Run, runTogether } from "../src/run-together.js";

/** Answers a job with its tenfold, and keeps what it was asked. */
function recorder(): { readonly asked: (readonly number[])[]; readonly run: Run<number, number> } {
  const asked: (readonly number[])[] = [];
  return {
    asked,
    run: async (jobs) => {
      asked.push(jobs);
      return Promise.resolve(jobs.map((job) => job * 10));
    },
  };
}

const sum = (answers: readonly number[]): number => answers.reduce((all, each) => all + each, 0);

describe("comparisons run together", () => {
  test("all jobs are one run, in the order of the comparisons, and each gets the answers to its own", async () => {
    const { asked, run } = recorder();
    const results = await runTogether(run, [
      async (ask) => sum(await ask([1, 2])),
      async (ask) => (await ask([3])).join(),
    ]);
    expect(results).toEqual([30, "30"]);
    expect(asked).toEqual([[1, 2, 3]]);
  });

  test("one that has nothing to run keeps none waiting", async () => {
    for (const idleFirst of [true, false]) {
      const { asked, run } = recorder();
      const idle = async (): Promise<number> => Promise.resolve(7);
      const busy = async (ask: Run<number, number>): Promise<number> => sum(await ask([4]));
      expect(await runTogether(run, idleFirst ? [idle, busy] : [busy, idle])).toEqual(idleFirst ? [7, 40] : [40, 7]);
      expect(asked).toEqual([[4]]);
    }
    expect(await runTogether(recorder().run, [async () => Promise.resolve(1)])).toEqual([1]);
  });

  test("a fault before the run is thrown, and nothing is run", async () => {
    const { asked, run } = recorder();
    const fault = async (): Promise<number> => Promise.reject(new Error("no such kernel"));
    await expect(runTogether(run, [fault, async (ask) => sum(await ask([1]))])).rejects.toThrow("no such kernel");
    expect(asked).toEqual([]);
  });

  test("a fault of the run is every comparison's", async () => {
    const seen: unknown[] = [];
    const one = async (ask: Run<number, number>): Promise<number> => {
      try {
        return sum(await ask([1]));
      } catch (error) {
        seen.push(error);
        return 0;
      }
    };
    const broken = async (): Promise<readonly number[]> => Promise.reject(new Error("a worker died"));
    expect(await runTogether(broken, [one, one])).toEqual([0, 0]);
    expect(seen).toHaveLength(2);
  });
});
