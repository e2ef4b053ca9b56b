/**
 * Files that get shorter under those who map them: right when it is met anywhere, and each fault of it is found, by the
 * slow model or by the rule about pages of files.
 */
import { type BootParts, smallImage, smallMachine } from "@kreplica/kernel";
import { type Process, Processes, UserFrames } from "@kreplica/mm-core";
import { describe, expect, test } from "vitest";
import { CheckedSystem } from "../src/checked-system.js";
import { CORE_FAMILIES } from "../src/core-families.js";
import { Differential } from "../src/differential.js";
import { ALL_FAMILIES, Repertoire } from "../src/families.js";
import { fileFamily } from "../src/families/files.js";
import { meetingFamily } from "../src/families/meetings.js";
import { processFamily } from "../src/families/processes.js";
import { userPageFamily } from "../src/families/user-pages.js";
import type { Operation } from "../src/family.js";
import { type Given, type Runs, runsBehind } from "./met.js";

const families = [...CORE_FAMILIES, fileFamily, meetingFamily];
const touch = (cpu: number, page: number, kind = "write", value = 40): Given => ({
  op: "touch",
  cpu,
  page,
  kind,
  value,
});
const map = (p: number, page: number, shared: boolean): Given => ({
  op: "map-file",
  ...{ p, cpu: p, page, pages: 3, writable: true, file: 0, offset: 0, shared },
});
const cut = (pages: number): Given => ({ op: "truncate", file: 0, pages, cpu: 0 });

/** File 0: shared by process 0, on CPUs 0 and 2, and its child 1 on CPU 1; process 2 on CPU 3 has a copy of page 1. */
const SETUP: readonly Given[] = [
  { op: "spawn", cpu: 0 },
  map(0, 0, true),
  touch(0, 1),
  { op: "fork", p: 0, cpu: 1 },
  touch(1, 1, "read"),
  { op: "spawn", cpu: 3 },
  map(2, 0, false),
  touch(3, 1),
  { op: "run", p: 0, cpu: 0 },
  { op: "run", p: 0, cpu: 2 },
  touch(2, 1, "read"),
];

const kernel = (pti: boolean, before?: (parts: BootParts) => void) => ({
  ...{ spec: smallMachine(2), policy: "per-node", image: smallImage(), pti },
  ...(before ? { before } : {}),
});

const runsOn = (pti: boolean, before?: (parts: BootParts) => void): Runs =>
  runsBehind(() => new CheckedSystem(kernel(pti, before), { families }), SETUP);

/** The rule that operations behind the setup break; nothing when none. */
const broken = (pti: boolean, last: readonly Given[], before?: (parts: BootParts) => void): string =>
  runsOn(pti, before).broken(...last);

/** Has something another way while a file gets shorter. */
const whileCut =
  (change: (alive: Set<Process>, parts: BootParts) => () => void) =>
  (parts: BootParts): void => {
    const processes = parts.assembly.get(Processes);
    const truncate = processes.truncate.bind(processes);
    processes.truncate = (...given) => {
      const back = change(processes.alive as Set<Process>, parts);
      truncate(...given);
      back();
    };
  };

describe.each([false, true])("KPTI %s", (pti) => {
  test("stores are seen by all who share, copies by nobody else; behind the end there is nothing", () => {
    expect(
      broken(pti, [
        touch(1, 1, "write", 41),
        touch(0, 1, "read", 41),
        touch(3, 0, "read", 40),
        cut(1),
        touch(0, 1, "read"),
        touch(3, 1, "read"),
        cut(3),
        touch(3, 1, "read"),
        touch(1, 1, "read"),
        { op: "mlock", p: 2, cpu: 3, page: 0, pages: 3, on: true },
        touch(0, 0, "write", 44),
        touch(3, 0, "read", 44),
      ]),
    ).toBe("");
  });

  test("pages given back before the flush that takes them from the CPUs: a reader meets one that is free", () => {
    const met = (before?: (parts: BootParts) => void): readonly string[] => {
      const runs = runsOn(pti, before);
      const { points } = runs.countsOf(cut(1));
      const ids = Array.from({ length: points + 1 }, (_, nth) =>
        runs.broken({ op: "read-within", during: cut(1), point: nth + 1, cpu: 2, page: 1 }),
      );
      return [...new Set(ids)].sort();
    };
    expect(met()).toEqual([""]);
    expect(
      met(
        whileCut((_alive, { switcher }) => {
          const flush = switcher.flush.bind(switcher);
          const owed: Parameters<typeof flush>[] = [];
          switcher.flush = (...given) => {
            owed.push(given);
          };
          return () => {
            switcher.flush = flush;
            for (const each of owed) flush(...each);
          };
        }),
      ),
    ).toEqual(["", "G5"]);
  });

  test("a process that is forgotten keeps what lies behind the end; so does one that keeps its copies", () => {
    const forgotten = whileCut((alive) => {
      const [, child] = alive;
      alive.delete(child!);
      return () => alive.add(child!);
    });
    expect(broken(pti, [cut(1)], forgotten)).toBe("F10");
    const kept = whileCut((alive) => {
      const trees = [...alive].map(({ vmas }) => ({ vmas, all: vmas.all.bind(vmas) }));
      for (const { vmas, all } of trees) vmas.all = () => all().filter(({ shared }) => shared);
      return () => {
        for (const { vmas, all } of trees) vmas.all = all;
      };
    });
    expect(broken(pti, [cut(1)], kept)).toBe("F10");
    // The one has its copy again when the file is as long as before, if nobody looked meanwhile.
    expect(broken(pti, [cut(2), touch(3, 1, "read")], kept)).toBe("");
  });

  test("a CPU that is not flushed has what is no longer there", () => {
    const unflushed = whileCut((_alive, { switcher }) => {
      const flush = switcher.flush.bind(switcher);
      switcher.flush = () => undefined;
      return () => {
        switcher.flush = flush;
      };
    });
    expect(broken(pti, [cut(1)], unflushed)).toBe("G12");
  });

  test("a store to a private page that reaches the file: by the words of who shares it, and by the page's frame", () => {
    const reaches = ({ assembly }: BootParts): void => {
      assembly.get(UserFrames).count = () => 1;
    };
    expect(broken(pti, [touch(3, 2, "read"), touch(3, 2), touch(0, 2, "read")], reaches)).toBe("F7");
    expect(broken(pti, [touch(3, 2, "read"), touch(3, 2), cut(3)], reaches)).toBe("F10");
  });

  test("fork that has shared pages copied on the first store, as private ones are", () => {
    const copied = ({ assembly }: BootParts): void => {
      const processes = assembly.get(Processes);
      const fork = processes.fork.bind(processes);
      processes.fork = (...given) => {
        const child = fork(...given);
        for (const vma of child?.vmas.all() ?? []) {
          child!.vmas.remove(vma);
          child!.vmas.insert({ ...vma, shared: false });
        }
        return child;
      };
    };
    expect(broken(pti, [touch(1, 1, "write", 44), touch(0, 1, "read")], copied)).toBe("F7");
  });
});

test("drawn runs of files come to the same with a single copy", () => {
  const all = new Repertoire([processFamily, userPageFamily, fileFamily].map((each) => ({ ...each, rare: false })));
  const system = new Differential(kernel(true), "end", families);
  for (let seed = 0; seed < 40; seed++) system.run(all.drawRun(seed, 60));
  expect(system.parted).toBe(0);
});

test("operations on files are told and read back like any", () => {
  const all = new Repertoire(ALL_FAMILIES);
  const shared = { op: "map-shared", p: 1, cpu: 1, page: 6, pages: 2, writable: false };
  const given = [map(0, 0, true), map(2, 0, false), shared, cut(1)] as unknown as Operation[];
  for (const each of given) expect(all.faults(each)).toEqual([]);
  expect(given.map((each) => all.describe(each))).toEqual([
    "process 0 maps 3 pages of file 0 from its page 0, shared, at 0x200000, rw, on CPU 0",
    "process 2 maps 3 pages of file 0 from its page 0, private, at 0x200000, rw, on CPU 2",
    "process 1 maps 2 pages to be shared at 0x8000200000, r-, on CPU 1",
    "file 0 ends after 1 page, on CPU 0",
  ]);
});
