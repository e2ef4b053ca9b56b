/** numactl and the Memory Latency Checker as accounts, and a numactl that knows no distances. */
import { TextLines } from "@kreplica/inputs";
import { expect, test } from "vitest";
import { accountsFromText, parseNumactlHardware } from "../../src/index.js";

const nodes = `available: 2 nodes (0,3)
node 0 cpus: 0 1
node 0 size: 100 MB
node 3 cpus:
node 3 size: 200 MB
`;

test("without distances nodes are 10 and 20, as Linux has them; without that word the table is missed", () => {
  const parse = (text: string) => parseNumactlHardware(new TextLines("box.txt", text)).distance;
  expect(parse(`${nodes}No distance information available.\n`)).toEqual([
    [10, 20],
    [20, 10],
  ]);
  expect(() => parse(nodes)).toThrow("node distances: the table is missing");
});

test("each figure has its line", () => {
  const [account] = accountsFromText(
    `${nodes}node distances:\nnode   0   3 \n  0:  10  17 \n  3:  28  10 \n`,
    "box.txt",
  );
  const placed = account!.facts.map(({ kind, of, value, place }) => [kind, of, value, place.line]);
  expect(placed).toContainEqual(["nodeMemory", "3", 200 * 2 ** 20, 5]);
  expect(placed).toContainEqual(["nodeCpus", "3", [], 4]);
  expect(placed).toContainEqual(["distance", "3 0", 28, 9]);
});

test("MLC's cache-to-cache table: the local hit, and the mean of the remote ones", () => {
  const [account] = accountsFromText(
    `Intel(R) Memory Latency Checker - v3.9\nMeasuring idle latencies (in ns)...\n Memory node\n Socket 0 1\n 0 80 130\n 1 131 81\nMeasuring cache-to-cache transfer latency (in ns)...\nLocal Socket L2->L2 HIT  latency\t53.7\nLocal Socket L2->L2 HITM latency\t53.7\nRemote Socket L2->L2 HITM latency (data address homed in writer socket)\n\t\t\tReader Numa Node\nWriter Numa Node     0\t     1\t\n            0\t     -\t 113.0\t\n            1\t 115.0\t     -\nRemote Socket L2->L2 HITM latency (data address homed in reader socket)\n            0\t     -\t 177.7\n`,
    "mlc.txt",
  );
  expect(account!.facts.filter(({ kind }) => kind === "cacheToCacheNs")).toEqual([
    { kind: "cacheToCacheNs", of: "sameSocket", value: 53.7, place: { file: "mlc.txt", line: 8 } },
    { kind: "cacheToCacheNs", of: "otherSocket", value: 135.2, place: { file: "mlc.txt", line: 10 } },
  ]);
});
