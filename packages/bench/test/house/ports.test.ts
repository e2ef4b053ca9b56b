/**
 * Every port can be bound by a stranger: doors of interfaces load no implementation, and nobody asks what class stands
 * behind a token.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const packages = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const sources = readdirSync(packages).flatMap((name) =>
  readdirSync(join(packages, name, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(packages, name, "src", file)),
);
const decorated = (text: string): string[] =>
  [...text.matchAll(/@injectable\(\)\s*(?:export )?class (\w+)/g)].map(([, name]) => name!);

/** Files of the package that a file loads, itself included: type imports load nothing. */
function loaded(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, what, from] of readFileSync(file, "utf8").matchAll(
    /^(?:import|export)\s+(?!type\b)([^;"]*?)\s*from\s+"(\.[^"]+)\.js"/gm,
  )) {
    const names = /^\{(.*)\}$/s
      .exec(what!)?.[1]
      ?.split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "");
    if (names?.every((name) => name.startsWith("type "))) continue;
    loaded(resolve(dirname(file), `${from!}.ts`), seen);
  }
  return seen;
}

test("what an api door loads decorates no class", () => {
  const doors = sources.filter((file) => /^[^/]+\/src\/api\.ts$/.test(relative(packages, file)));
  expect(doors.length).toBeGreaterThan(5);
  const found = doors.flatMap((door) =>
    [...loaded(door)].flatMap((file) =>
      decorated(readFileSync(file, "utf8")).map(
        (name) => `${relative(packages, door)} loads ${name} of ${relative(packages, file)}`,
      ),
    ),
  );
  expect(found).toEqual([]);
});

test("no code asks whether a part is an instance of a class that an assembly binds, or takes it for one", () => {
  const bound = new Set(sources.flatMap((file) => decorated(readFileSync(file, "utf8"))));
  expect(bound.size).toBeGreaterThan(20);
  const found = sources.flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/\b(instanceof|as) (\w+)/g)]
      .filter(([, , name]) => bound.has(name!))
      .map(([what]) => `${relative(packages, file)}: ${what}`),
  );
  expect(found).toEqual([]);
});

test("tokens stand beside interfaces: no file has one and the class that implements it", () => {
  // What bench binds for its own variants is no port of a subsystem.
  const found = sources
    .filter((file) => !relative(packages, file).startsWith("bench/"))
    .filter((file) => {
      const text = readFileSync(file, "utf8");
      return /= token</.test(text) && decorated(text).length > 0;
    });
  expect(found.map((file) => relative(packages, file))).toEqual([]);
});
