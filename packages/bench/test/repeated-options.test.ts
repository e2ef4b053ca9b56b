/** An option with one value is given once: a second value is refused, naming both, whatever the command. */
import { Command } from "commander";
import { expect, test } from "vitest";
import { listOption } from "../src/commands/values.js";
import { isRepeatable } from "../src/commands/values.js";
import { invoke, registered } from "./invoke.js";

test("every option that takes one value refuses another, and takes the same again", async () => {
  let looked = 0;
  for (const command of await registered()) {
    for (const option of command.options.filter((each) => each.required && !each.variadic && !isRepeatable(each))) {
      looked++;
      const [one, two] =
        option.argChoices?.slice(0, 2) ??
        (/<(number|count)>/.test(option.flags)
          ? option.long === "--budget"
            ? ["5", "6"]
            : ["1", "2"]
          : /<address>/.test(option.flags)
            ? ["redis://127.0.0.1:1", "redis://127.0.0.1:2"]
            : ["x", "y"]);
      const { code, error } = await invoke([command.name(), option.long!, one!, option.long!, two!]);
      expect([code, error], `${command.name()} ${option.long!}`).toEqual([
        2,
        `kreplica: ${option.long!}: given twice, "${one!}" and "${two!}". Leave one of them out.\n`,
      ]);
    }
  }
  expect(looked).toBeGreaterThan(40);
  expect(await invoke(["boot", "--pti", "on", "--pti=off"])).toMatchObject({
    code: 2,
    error: expect.stringContaining("--pti: given twice") as string,
  });
  expect(
    (await invoke(["machine", "tiny-2-node", "--base", "tiny-2-node", "--base", "tiny-2-node"])).error,
  ).not.toContain("given twice");
});

test("compare --test takes a recording's file name with its ending, and says of another kernel's that KPTI is a choice", async () => {
  const traces = new URL("fixtures/other-kernel/", import.meta.url).pathname;
  const words = [
    "compare",
    "--machine",
    "tiny-2-node",
    "--traces",
    `${traces}on4-mount-cpu2.kt.zst`,
    "--recorded-kernel",
    `${traces}System.map-on.zst`,
    "--json",
  ];
  for (const name of ["on4-mount-cpu2.kt.zst", `${traces}on4-mount-cpu2.kt.zst`]) {
    const { code, out, error } = await invoke([...words, "--test", name]);
    expect([code, (JSON.parse(out) as { tests: unknown[] }).tests.length], error).toEqual([0, 2]);
    expect(error).toContain("booted with page-table isolation, whatever the recorded kernel had");
  }
  const without = await invoke([...words, "--test", "on4-mount-cpu2", "--no-pti"]);
  expect([without.code, without.error]).toEqual([0, ""]);
  expect((await invoke([...words, "--test", "on4-kill.kt.zst"])).error).toMatch(
    /--test: no recording is of "on4-kill\.kt\.zst"/,
  );
}, 300_000);

test("--no-pti is --pti off on every command that has it, and a second value beside --pti", async () => {
  const boot = ["boot", "--machine", "tiny-2-node"];
  const short = await invoke([...boot, "--no-pti"]);
  expect(short).toEqual(await invoke([...boot, "--pti", "off"]));
  expect(short).not.toEqual(await invoke([...boot, "--pti", "on"]));
  const twice = await invoke([...boot, "--pti", "on", "--no-pti"]);
  expect([twice.code, twice.error]).toEqual([2, expect.stringMatching(/--pti/)]);
  expect((await invoke(["machine", "--no-pti"])).code).toBe(2);
}, 60_000);

test("a list is separated by commas or given again, and either is the same; an empty name is none", async () => {
  const given = async (...words: string[]): Promise<unknown> => {
    const command = new Command().addOption(listOption("--program <names>", "programs")).argument("<file>");
    await command.parseAsync([...words, "file.o"], { from: "user" });
    return command.opts()["program"];
  };
  expect(await given("--program", "one,two", "--program=three")).toEqual(["one", "two", "three"]);
  expect(await given("--program", "one", "--program", "two,,three,")).toEqual(["one", "two", "three"]);
  expect(await given()).toBeUndefined();
});
