/** From what a command does or throws to text and exit code. */
import { InputError } from "@kreplica/inputs";
import { expect, test } from "vitest";
import type { RegisterCommand } from "../src/commands/command.js";
import { run } from "../src/commands/run.js";
import { screenFor } from "../src/report/terminal.js";

async function outcome(
  action: Parameters<RegisterCommand>[1] extends infer C ? (context: C) => void | Promise<void> : never,
  debug = false,
) {
  let out = "";
  let error = "";
  let stopped = 0;
  const register: RegisterCommand = (program, context) => {
    program.command("try").action(() => action(context));
  };
  const code = await run(["try"], [register], {
    version: "1",
    out: (text) => {
      out += text;
    },
    error: (text) => {
      error += text;
    },
    screen: screenFor({}, {}),
    debug,
    progress: {
      start() {},
      step() {},
      stop() {
        stopped++;
      },
    },
  });
  return { code, out, error, stopped };
}

test("fine: 0", async () => {
  expect(await outcome((context) => context.print("report\n"))).toEqual({
    code: 0,
    out: "report\n",
    error: "",
    stopped: 0,
  });
});

test("a check does not hold: 1, and the report is printed all the same", async () => {
  expect(
    await outcome(async (context) => {
      context.print("report\n");
      context.checkFailed();
      context.remark("one of 3 does not hold");
      await Promise.resolve();
    }),
  ).toEqual({ code: 1, out: "report\n", error: "kreplica: one of 3 does not hold\n", stopped: 0 });
});

test("bad input: 2, its message, and the progress line is cleared first", async () => {
  expect(
    await outcome(async () => {
      throw new InputError({ file: "f", line: 3, field: "x", reason: "is wrong", remedy: "put it right" });
    }),
  ).toEqual({ code: 2, out: "", error: "kreplica: f:3: x: is wrong. Put it right.\n", stopped: 1 });
  expect(new InputError({ file: "f", offset: 12, reason: "cut", remedy: "record again" }).message).toBe(
    "f at byte 12: cut. Record again.",
  );
});

test("bad input after a check failed is still bad input", async () => {
  expect(
    (
      await outcome((context) => {
        context.checkFailed();
        throw new InputError({ file: "f", reason: "is wrong", remedy: "put it right" });
      })
    ).code,
  ).toBe(2);
});

test("a fault of our own is none of these: 70, one line, the stack on request", async () => {
  const quiet = await outcome(() => {
    throw new TypeError("no\nsuch thing");
  });
  expect([quiet.code, quiet.error]).toEqual([
    70,
    "kreplica: a fault in kreplica itself: TypeError: no (KREPLICA_DEBUG=1 shows where)\n",
  ]);
  const loud = await outcome(() => {
    throw new TypeError("no");
  }, true);
  expect(loud.error).toMatch(/^kreplica: a fault in kreplica itself: TypeError: no\nTypeError: no\n {4}at /);
});
