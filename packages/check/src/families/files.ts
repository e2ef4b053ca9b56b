/**
 * Files and shared memory: mapped by several processes, for all to see or for each its own, and files that get shorter
 * and longer while they are.
 */
import { countText } from "@kreplica/inputs";
import type { Drawing } from "../drawing.js";
import type { Operation, OperationFamily } from "../family.js";
import { PLACES, placeText as at } from "../places.js";
import { FILE_PAGES } from "../population.js";
import { ModelFile } from "../user-model.js";

interface Area {
  readonly p: number;
  readonly cpu: number;
  readonly page: number;
  readonly pages: number;
  readonly writable: boolean;
}
export type FileOperation =
  /** @param offset page of the file at the first */
  | (Area & { readonly op: "map-file"; readonly file: number; readonly offset: number; readonly shared: boolean })
  | (Area & { readonly op: "map-shared" })
  | { readonly op: "truncate"; readonly file: number; readonly pages: number; readonly cpu: number };

const area = { p: "number", cpu: "number", page: "number", pages: "number", writable: "boolean" } as const;

export const fileFamily: OperationFamily<FileOperation> = {
  name: "files",
  seenByUsers: true,
  // One run in 32 has it, as those beside the core: drawn in all, every seed that is noted somewhere had other runs.
  rare: true,
  kinds: {
    "map-file": { weight: 8, fields: { ...area, file: "number", offset: "number", shared: "boolean" } },
    "map-shared": { weight: 3, fields: area },
    truncate: { weight: 6, fields: { file: "number", pages: "number", cpu: "number" } },
  },
  scenes: [cutBeneath],

  draw(op, drawing) {
    if (op === "truncate")
      return { op, file: drawing.random(2), pages: drawing.random(FILE_PAGES + 2), cpu: drawing.cpu() };
    const where = {
      p: drawing.process(),
      cpu: drawing.cpu(),
      page: drawing.place(),
      pages: drawing.pages(),
      writable: drawing.random(4) > 0,
    };
    return op === "map-shared"
      ? { op, ...where }
      : { op, ...where, file: drawing.random(2), offset: drawing.random(2), shared: drawing.flag() };
  },

  describe(o) {
    if (o.op === "truncate") return `file ${o.file} ends after ${countText(o.pages, "page")}, on CPU ${o.cpu}`;
    const where = `at ${at(o.page)}, r${o.writable ? "w" : "-"}, on CPU ${o.cpu}`;
    return o.op === "map-shared"
      ? `process ${o.p} maps ${countText(o.pages, "page")} to be shared ${where}`
      : `process ${o.p} maps ${countText(o.pages, "page")} of file ${o.file} from its page ${o.offset}, ${o.shared ? "shared" : "private"}, ${where}`;
  },

  start(system) {
    const { population } = system;
    const { processes } = population;
    let isCut = false;
    return {
      perform(o) {
        const cpu = system.cpu(o.cpu);
        if (o.op === "truncate") {
          const { file, model } = population.file(o.file);
          processes.truncate(file, o.pages, cpu);
          model.resize(o.pages);
          for (const each of population.live) each.model.truncated(model);
          isCut = true;
          return;
        }
        const who = population.pick(o.p);
        if (!who) return;
        const { process, model } = who;
        const range = { start: system.address(o.page), pages: o.pages };
        const free = model.isFree(range);
        const isFile = o.op === "map-file";
        const mapped = isFile ? population.file(o.file) : undefined;
        const shared = !isFile || o.shared;
        const offset = isFile ? o.offset : 0;
        const properties = { writable: o.writable, shared, offset, ...(mapped ? { file: mapped.file } : {}) };
        if (!system.unchangedWhenRefused(() => processes.mmap(process, range, properties, cpu))) return;
        if (!free) system.fail("F8", "mmap over pages that are mapped");
        model.mapFile(range, o.writable, mapped?.model ?? new ModelFile(o.pages), offset, shared);
      },
      // Not at once: it may have come in the middle of another operation, of which the model knows nothing yet.
      afterStep() {
        if (isCut) population.checkFiles();
        isCut = false;
      },
    };
  },
};

/** Two processes have a file, one of them pages of its own perhaps; it ends earlier, and is as long as before. */
function cutBeneath({ random, focus }: Drawing): readonly Operation[] {
  const p = (focus.p = random(4));
  const page = (focus.page = 3 * random(PLACES / 3));
  const [cpu, file] = [random(4), random(2)];
  const other = cpu + 1 + random(3);
  const mapping = { page, pages: FILE_PAGES, writable: true, file, offset: 0 };
  const steps: readonly (FileOperation | Readonly<Record<string, unknown> & { readonly op: string }>)[] = [
    { op: "munmap", p, cpu, page, pages: FILE_PAGES },
    { op: "munmap", p: p + 1, cpu: other, page, pages: FILE_PAGES },
    { op: "map-file", p, cpu, ...mapping, shared: true },
    { op: "map-file", p: p + 1, cpu: other, ...mapping, shared: random(2) === 0 },
    { op: "run", p, cpu },
    { op: "touch", cpu, page: page + 1, kind: "write", value: 1 + random(1000) },
    { op: "run", p: p + 1, cpu: other },
    { op: "touch", cpu: other, page: page + 1, kind: random(2) === 0 ? "read" : "write", value: 1 + random(1000) },
    { op: "truncate", file, pages: random(2), cpu: random(4) },
    { op: "touch", cpu, page: page + 1, kind: "read", value: 1 },
    { op: "truncate", file, pages: FILE_PAGES, cpu: random(4) },
    { op: "touch", cpu: other, page: page + 1, kind: "read", value: 1 },
  ];
  return steps;
}
