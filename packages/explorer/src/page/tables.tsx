/** Page tables as trees, one a root, side by side: what a node has to itself is open, what all share is folded. */
import { type AddressRange, canonical, entryBytes } from "@kreplica/hw-x86/api";
import { formatCpuList } from "@kreplica/inputs";
import { useMemo } from "preact/hooks";
import type { ComponentChildren, VNode } from "preact";
import type { EntryRun, RootView, TableView, View } from "../model/view.js";
import { hex, levelName, NodeChip, Panel } from "./shown.jsx";

const SIZES = ["", "4 KiB", "2 MiB", "1 GiB"];

/** What every row needs. */
interface Around {
  readonly view: View;
  readonly byFrame: ReadonlyMap<number, TableView>;
  /** Roots that lead to a table, by its frame. */
  readonly reachedBy: ReadonlyMap<number, ReadonlySet<string>>;
  /** Entries the last step stored to, as frame * 512 + index. */
  readonly changed: ReadonlySet<number>;
  /** Frames that a broken rule names. */
  readonly blamed: ReadonlySet<number>;
  readonly open: ReadonlyMap<string, boolean>;
  toggle(path: string, now: boolean): void;
  look(address: bigint): void;
}

/** `rw x U A D G`, each at its place: read-only or writable, executable, user, accessed, dirty, global. */
function lettersOf(flags: string): string {
  const words = flags.split(" ");
  const letter = (word: string, short: string): string => (words.includes(word) ? short : "-");
  return [
    words.includes("rw") ? "rw" : "r-",
    letter("x", "x"),
    letter("user", "U"),
    letter("accessed", "A"),
    letter("dirty", "D"),
    letter("global", "G"),
  ].join("");
}

const Allows = ({ flags }: { flags: string }): VNode => (
  <span class="allows" title={flags}>
    {lettersOf(flags)}
  </span>
);

/** The name of the first part of the address space that an entry maps. */
function regionAt({ regions }: View, { start, end }: AddressRange): string {
  return regions.find((region) => BigInt(region.start) < end && start < BigInt(region.end))?.name ?? "";
}

/** Roots by which each table is reached. */
function reached(view: View, byFrame: ReadonlyMap<number, TableView>): Map<number, Set<string>> {
  const found = new Map<number, Set<string>>();
  const visit = (frame: number, root: string): void => {
    const roots = found.get(frame) ?? new Set();
    if (roots.has(root)) return;
    found.set(frame, roots.add(root));
    for (const entry of byFrame.get(frame)?.entries ?? []) if (entry.table) visit(entry.frame, root);
  };
  for (const { frame, name } of view.roots) visit(frame, name);
  return found;
}

/** @param choose called with an address whose page is to be looked into */
export function Tables({
  view,
  whose: chosen,
  setWhose,
  turned,
  turn,
  blamed,
  choose,
}: {
  view: View;
  /** Process whose tables are seen; the kernel's when absent. */
  whose: number | undefined;
  setWhose: (process: number | undefined) => void;
  /** Tables opened (`+` before the way there) and closed (`-`) by hand. */
  turned: readonly string[];
  turn: (path: string, now: boolean) => void;
  blamed: ReadonlySet<number>;
  choose: (address: bigint) => void;
}): VNode {
  const processes = [...new Set(view.roots.flatMap(({ process }) => process ?? []))];
  const open = new Map(turned.map((each) => [each.slice(1), each.startsWith("+")]));
  const whose = chosen !== undefined && processes.includes(chosen) ? chosen : undefined;
  const shown = view.roots.filter(({ process }) => process === whose);
  const around = useMemo((): Omit<Around, "open" | "toggle" | "look" | "blamed"> => {
    const byFrame = new Map(view.tables.map((table) => [table.frame, table]));
    return {
      view,
      byFrame,
      reachedBy: reached(view, byFrame),
      changed: new Set(view.stored),
    };
  }, [view]);
  return (
    <Panel
      name="tables"
      title="Page tables"
      note="Each table's colour is the node its frame lies on. Open is what a root has to itself; “shared” tables are one and the same for several roots. A mark stands at entries that the last step stored to. Letters: rw writable, x executable, U user, A accessed, D dirty, G global."
    >
      <div class="tabs" role="toolbar" aria-label="Whose tables">
        {[undefined, ...processes].map((process) => (
          <button
            key={String(process)}
            type="button"
            class="tab"
            aria-pressed={process === whose}
            onClick={() => {
              setWhose(process);
            }}
          >
            {process === undefined ? "the kernel's" : `process ${process}'s`}
          </button>
        ))}
      </div>
      {shown.length === 0 ? <p class="empty">No tables stand in memory yet: the next step builds the first.</p> : null}
      <div class="roots">
        {shown.map((root) => (
          <Tree
            key={root.name}
            root={root}
            around={{
              ...around,
              blamed,
              open,
              toggle: turn,
              look: choose,
            }}
          />
        ))}
      </div>
    </Panel>
  );
}

function Tree({ root, around }: { root: RootView; around: Around }): VNode {
  const points = around.view.cpus.filter((cpu) => cpu.online && cpu.root === root.frame).map(({ id }) => id);
  return (
    <div class="tree">
      <h3>
        {root.name}
        <span class="points">{points.length === 0 ? "no CPU on it" : `CR3 of CPU ${formatCpuList(points)}`}</span>
      </h3>
      <Table frame={root.frame} base={0n} path={root.name} around={around} />
    </div>
  );
}

function Table({ frame, base, path, around }: { frame: number; base: bigint; path: string; around: Around }): VNode {
  const table = around.byFrame.get(frame);
  if (!table) return <p class="empty">frame {hex(frame)} is no memory</p>;
  const { levels } = around.view;
  const roots = around.reachedBy.get(frame)!.size;
  return (
    <div class={`table edge${table.node % 8} ${around.blamed.has(frame) ? "blamed" : ""}`}>
      <p class="head">
        <b>{levelName(table.level, levels)}</b> <code>{hex(frame)}</code> <NodeChip node={table.node} />{" "}
        {roots > 1 ? <span class="shared">shared by {roots}</span> : null}
      </p>
      <ul>
        {groupsOf(table, base, around).map((group) => {
          const rows = group.map((entry) => (
            <Entry
              key={entry.first}
              entry={entry}
              table={table}
              base={base}
              path={`${path}/${entry.first}`}
              around={around}
            />
          ));
          return group.length === 1 ? (
            rows
          ) : (
            <Group
              key={group[0]!.first}
              entries={group}
              table={table}
              path={`${path}/${group[0]!.first}+`}
              around={around}
            >
              {rows}
            </Group>
          );
        })}
      </ul>
      {table.entries.length === 0 ? <p class="empty">empty</p> : null}
    </div>
  );
}

/** Fewer stay as they are. */
const FOLDED = 4;

/** Neighbours that lead to shared tables of one node alike go together. */
function groupsOf(table: TableView, base: bigint, { byFrame, reachedBy, blamed, view }: Around): EntryRun[][] {
  const span = entryBytes(table.level);
  const leadsToText = ({ first }: EntryRun): boolean => {
    const start = canonical(base + BigInt(first) * span, view.levels);
    return regionAt(view, { start, end: start + span }) === "text";
  };
  const many = haveManyRoots(view);
  const plain = (entry: EntryRun): boolean =>
    entry.table &&
    !leadsToText(entry) &&
    byFrame.has(entry.frame) &&
    !blamed.has(entry.frame) &&
    (!many || (reachedBy.get(entry.frame)?.size ?? 1) > 1);
  const groups: EntryRun[][] = [];
  for (const entry of table.entries) {
    const [before] = groups.at(-1)?.slice(-1) ?? [];
    if (before && plain(before) && plain(entry) && before.node === entry.node && before.flags === entry.flags)
      groups.at(-1)!.push(entry);
    else groups.push([entry]);
  }
  return groups.flatMap((group) => (group.length < FOLDED ? group.map((entry) => [entry]) : [group]));
}

/** Several roots of the kernel's: then it shows which tables they share. */
const haveManyRoots = ({ roots }: View): boolean => roots.filter(({ process }) => process === undefined).length > 1;

/** A row that opens and closes what lies below it. */
function Fold({
  open,
  path,
  around,
  children,
}: {
  open: boolean;
  path: string;
  around: Around;
  children: ComponentChildren;
}): VNode {
  return (
    <button
      type="button"
      class="row"
      aria-expanded={open}
      onClick={() => {
        around.toggle(path, !open);
      }}
    >
      {children}
    </button>
  );
}

function Group({
  entries,
  table,
  path,
  around,
  children,
}: {
  entries: readonly EntryRun[];
  table: TableView;
  path: string;
  around: Around;
  children: ComponentChildren;
}): VNode {
  const open = around.open.get(path) ?? false;
  const [first, last] = [entries[0]!, entries.at(-1)!];
  const stored = entries.filter((entry) => around.changed.has(table.frame * 512 + entry.first)).length;
  return (
    <>
      <li class={stored > 0 ? "changed" : ""}>
        <Fold open={open} path={path} around={around}>
          <span class="index">
            {first.first}–{last.last}
          </span>
          <span class="to">
            {entries.length} × {levelName(table.level - 1, around.view.levels)} <NodeChip node={first.node} />
          </span>
          <span class="what">
            {stored > 0 ? <span class="sign">● {stored} stored</span> : null} <Allows flags={first.flags} />
          </span>
        </Fold>
      </li>
      {open ? children : null}
    </>
  );
}

function Entry({
  entry,
  table,
  base,
  path,
  around,
}: {
  entry: EntryRun;
  table: TableView;
  base: bigint;
  path: string;
  around: Around;
}): VNode {
  const { levels } = around.view;
  const span = entryBytes(table.level);
  const start = canonical(base + BigInt(entry.first) * span, levels);
  const what = regionAt(around.view, { start, end: start + span * BigInt(entry.last - entry.first + 1) });
  let changed = false;
  for (let index = entry.first; index <= entry.last && !changed; index++)
    changed = around.changed.has(table.frame * 512 + index);
  const place = entry.first === entry.last ? `${entry.first}` : `${entry.first}–${entry.last}`;
  const blamed = around.blamed.has(entry.frame);
  const marks = `${changed ? "changed" : ""} ${blamed ? "blamed" : ""}`;
  const sign = changed ? (
    <span class="sign" title="stored to by the last step">
      ● stored
    </span>
  ) : null;
  if (entry.table) {
    const below = around.byFrame.get(entry.frame);
    const alone = (around.reachedBy.get(entry.frame)?.size ?? 1) === 1;
    const many = haveManyRoots(around.view);
    const first = table.level === levels || table.level > 2;
    const open = around.open.get(path) ?? (many ? alone : what === "text" && first);
    return (
      <li class={marks}>
        <Fold open={open} path={path} around={around}>
          <span class="index">{place}</span>
          <span class="to">
            → {levelName(table.level - 1, levels)} <code>{hex(entry.frame)}</code> <NodeChip node={entry.node} />
          </span>
          <span class="what">
            {sign} {what} {alone || !many ? "" : <i>shared</i>} <Allows flags={entry.flags} />
          </span>
        </Fold>
        {open && below ? (
          <Table frame={entry.frame} base={base + BigInt(entry.first) * span} path={path} around={around} />
        ) : null}
      </li>
    );
  }
  return (
    <li class={marks}>
      <button
        type="button"
        class="row leaf"
        title={`look into ${hex(Number(start >> 12n))}`}
        onClick={() => {
          around.look(start);
        }}
      >
        <span class="index">{place}</span>
        <span class="to">
          {entry.last > entry.first ? `${entry.last - entry.first + 1} × ` : ""}
          {SIZES[table.level]} <code>{hex(entry.frame)}</code> <NodeChip node={entry.node} />
        </span>
        <span class="what">
          {sign} {what} <Allows flags={entry.flags} />
        </span>
      </button>
    </li>
  );
}
