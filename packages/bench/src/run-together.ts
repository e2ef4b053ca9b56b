/**
 * Comparisons whose jobs are run together: workers start once, and none of them is idle while another comparison ends.
 */

/** Answers jobs in their order. */
export type Run<Job, Answer> = (jobs: readonly Job[]) => Promise<readonly Answer[]>;

/**
 * Waits until each comparison has said what it wants run or has ended without, then runs all of it at once.
 *
 * @param comparisons each asks for its jobs once
 * @returns what they come to, in their order
 * @throws what the first that failed threw; where that was before the run, nothing is run
 */
export async function runTogether<Job, Answer, const Results extends readonly unknown[]>(
  run: Run<Job, Answer>,
  comparisons: { readonly [Nth in keyof Results]: (run: Run<Job, Answer>) => Promise<Results[Nth]> },
): Promise<Results> {
  const asked: {
    readonly jobs: readonly Job[];
    readonly answer: (answers: readonly Answer[]) => void;
    readonly fail: (error: unknown) => void;
  }[] = [];
  let expected = comparisons.length;
  const begin = (): void => {
    if (asked.length === 0 || asked.length < expected) return;
    run(asked.flatMap(({ jobs }) => jobs)).then(
      (answers) => {
        let from = 0;
        for (const { jobs, answer } of asked) answer(answers.slice(from, (from += jobs.length)));
      },
      (error: unknown) => {
        for (const { fail } of asked) fail(error);
      },
    );
  };
  return (await Promise.all(
    comparisons.map(async (comparison) => {
      let has = false;
      const result = await comparison(
        (jobs) =>
          new Promise((answer, fail) => {
            has = true;
            asked.push({ jobs, answer, fail });
            begin();
          }),
      );
      if (!has) {
        expected--;
        begin();
      }
      return result;
    }),
  )) as unknown as Results;
}
