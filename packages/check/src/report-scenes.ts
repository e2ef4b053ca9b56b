/**
 * Scenes that bug reports suggest: short lists that random operations come together to once in ten thousand. Drawn when
 * a bug is looked for that such a report is about, with processes, CPUs and places by chance.
 */
import type { Drawing } from "./drawing.js";
import type { Operation } from "./operation.js";

type Step = Operation & Readonly<Record<string, unknown>>;

const map = (drawing: Drawing, p: number, page: number, pages: number, large = false): Step => ({
  op: "mmap",
  p,
  cpu: drawing.cpu(),
  page,
  pages,
  writable: true,
  large,
  locked: false,
  policy: 0,
});
const write = (drawing: Drawing, cpu: number, page: number): Step => ({
  op: "touch",
  cpu,
  page,
  kind: "write",
  value: 1 + drawing.random(1000),
});

/** A CPU comes back to a process while another takes pages from it. */
export function switchedMeanwhile(drawing: Drawing): readonly Step[] {
  const [p, cpu, page] = [drawing.random(2), drawing.random(8), drawing.place()];
  return [
    { op: "spawn", cpu },
    { op: "spawn", cpu },
    map(drawing, p, page, 2),
    { op: "run", p, cpu },
    write(drawing, cpu, page),
    write(drawing, cpu, page + 1),
    { op: "run", p: p + 1, cpu },
    {
      op: "between",
      during: { op: "munmap", p, cpu: cpu + 1, page, pages: 1 },
      store: 1,
      second: { op: "run", p, cpu },
    },
  ];
}

/** Part of a large page that a CPU uses is locked or unlocked: it splits, and nothing else changes. */
export function splitBeside(drawing: Drawing): readonly Step[] {
  const [p, cpu] = [drawing.process(), drawing.cpu()];
  const page = drawing.oneOf([0, 6, 12]);
  return [
    { op: "munmap", p, cpu, page, pages: 512 },
    map(drawing, p, page, 512, true),
    { op: "run", p, cpu },
    write(drawing, cpu, page),
    { op: "mlock", p, cpu, page, pages: drawing.pages(), on: false },
  ];
}

/** A process ends while a CPU that ran it is off line. */
export function endedOffLine(drawing: Drawing): readonly Step[] {
  const [p, cpu] = [drawing.process(), drawing.random(4)];
  return [
    { op: "spawn", cpu },
    { op: "run", p, cpu },
    { op: "offline", cpu },
    { op: "exit", p },
  ];
}

/** A change of rights for which a table cannot be had. */
export function refusedChange(drawing: Drawing): readonly Step[] {
  return [
    { op: "joinmem" },
    { op: "refuse", nth: 1 },
    { op: "setmem", change: drawing.oneOf(["ro", "np"]), page: drawing.random(7), pages: drawing.pages() },
    { op: "refuse", nth: 0 },
  ];
}

/** The first entry of a process to the kernel. */
export function firstEntry(drawing: Drawing): readonly Step[] {
  const cpu = drawing.cpu();
  return [
    { op: "spawn", cpu },
    { op: "run", p: drawing.process(), cpu },
    { op: "entryfetch", cpu, half: "user" },
  ];
}

/** A large area comes where a small one was, which a CPU had used in another process. */
export function grownArea(drawing: Drawing): readonly Step[] {
  const [cpu, node] = [drawing.random(4), drawing.random(8)];
  return [
    { op: "spawn", cpu },
    { op: "spawn", cpu },
    { op: "run", p: 0, cpu },
    { op: "area", node, pages: 1, where: "window behind", base: "local" },
    ...[0, 1, 2].map((area): Step => ({ op: "arearead", area, cpu, page: 0 })),
    { op: "run", p: 1, cpu },
    ...[2, 1, 0].map((area): Step => ({ op: "areafree", area })),
    { op: "areapurge" },
    { op: "area", node, pages: 1, where: "window large", base: "local" },
  ];
}

/** All, each with the operations that it cannot be without. */
export const REPORT_SCENES: readonly {
  readonly needs: readonly string[];
  readonly scene: (drawing: Drawing) => readonly Step[];
}[] = [
  { needs: ["between", "munmap", "run"], scene: switchedMeanwhile },
  { needs: ["mlock", "touch"], scene: splitBeside },
  { needs: ["offline", "exit"], scene: endedOffLine },
  { needs: ["refuse", "setmem"], scene: refusedChange },
  { needs: ["entryfetch", "run"], scene: firstEntry },
  { needs: ["area", "areapurge", "run"], scene: grownArea },
];
