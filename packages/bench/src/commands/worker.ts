/** `kreplica worker`: measures what sweeps gave to a queue, on any machine that reaches its Redis. */
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { queueAddress } from "../queue/redis.js";
import { work } from "../queue/work.js";
import { groupedCount } from "../report/units.js";
import { codeVersion } from "../sweep/code-version.js";
import { type CommandContext, examples, exitCodes } from "./command.js";
import { numberOption } from "./values.js";

const LEASE = { least: 1, most: 3600 };
const DEFAULT_LEASE = 30;
const MOST_SECONDS = 1_000_000;
const MOST_JOBS = 1024;

interface WorkerOptions {
  readonly queue: URL;
  readonly jobs?: number;
  readonly lease: number;
  readonly idle?: number;
}

/** `--queue`, whose value is an address. */
export const queueOption = (description: string): Option =>
  new Option("--queue <address>", `${description}: redis://USER:PASSWORD@HOST:PORT, rediss:// with TLS`).argParser(
    queueAddress,
  );

export function registerWorker(program: Command, context: CommandContext): void {
  program
    .command("worker")
    .summary("measure what `kreplica sweep --queue` gave to a queue")
    .description(
      "Takes replays from the queue of a Redis, fetches the recordings, kernels and schedules it lacks by their digests, and sends each cell as it is measured. It runs nothing that a job brings: plugin files are its own, by --plugin. A worker that ends or is not heard of loses its job to another. Needs bullmq and ioredis, which are installed apart.",
    )
    .addOption(queueOption("the queue").makeOptionMandatory())
    .addOption(numberOption("--jobs <number>", "replays at a time", { least: 1, most: MOST_JOBS }, "as many as CPUs"))
    .addOption(
      numberOption(
        "--lease <number>",
        "seconds after which a worker that is not heard of loses its job",
        LEASE,
        DEFAULT_LEASE,
      ),
    )
    .addOption(
      numberOption(
        "--idle <number>",
        "seconds without a job after which it ends",
        { least: 1, most: MOST_SECONDS },
        "never",
      ),
    )
    .addHelpText(
      "after",
      examples(
        ["kreplica worker --queue redis://queue.example:6379", "until it is stopped"],
        ["kreplica worker --queue redis://queue.example --idle 60", "until there was nothing to do for a minute"],
      ) + exitCodes,
    )
    .action(async (options: WorkerOptions) => {
      const { jobs, cells, failed } = await work({
        address: options.queue,
        version: codeVersion(),
        jobs: options.jobs ?? availableParallelism(),
        lease: options.lease,
        ...(options.idle === undefined ? {} : { idle: options.idle }),
        remark: context.remark,
      });
      context.print(
        `${groupedCount(jobs, "job")}, ${groupedCount(cells, "cell")}${failed > 0 ? `; ${groupedCount(failed, "failed attempt")}` : ""}\n`,
      );
    });
}
