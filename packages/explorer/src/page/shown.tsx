/** Small pieces that everything on the page is made of. */
import { type ComponentChildren, createContext, type VNode } from "preact";
import { useContext } from "preact/hooks";

/** Hexadecimal as it stands in a table: with 0x. */
export const hex = (value: number): string => `0x${value.toString(16)}`;

/** What a table of a level is called: the top one is the PGD, of whichever level it is. */
export const levelName = (level: number, levels: number): string =>
  level === levels ? "PGD" : ["", "PTE", "PMD", "PUD", "P4D"][level]!;

/** A node, in its colour and with its number: nobody has to tell colours apart. */
export const NodeChip = ({ node, children }: { node: number; children?: ComponentChildren }): VNode => (
  <span class={`chip n${node < 0 ? "none" : node % 8}`}>{children ?? (node < 0 ? "no memory" : `node ${node}`)}</span>
);

/** A part of the page with its heading. */
export const Panel = ({
  title,
  note,
  name,
  children,
}: {
  title: string;
  note?: ComponentChildren;
  name: string;
  children: ComponentChildren;
}): VNode => (
  <section class={`panel ${name}`} aria-labelledby={`${name}-title`}>
    <h2 id={`${name}-title`}>{title}</h2>
    {note ? <p class="note">{note}</p> : null}
    {children}
  </section>
);

/** Neighbours of one room together, room by room. */
export function roomsOf<T extends { readonly room: string }>(all: readonly T[]): [string, T[]][] {
  const rooms = new Map<string, T[]>();
  for (const each of all) rooms.set(each.room, [...(rooms.get(each.room) ?? []), each]);
  return [...rooms];
}

/** Folds that are open, by name: the address says it. */
export const Folds = createContext<{
  readonly open: readonly string[];
  readonly turn: (name: string, now: boolean) => void;
}>({ open: [], turn: () => undefined });

/** A fold whose being open is in the address. */
export function Fold({
  name,
  summary,
  children,
}: {
  name: string;
  summary: ComponentChildren;
  children: ComponentChildren;
}): VNode {
  const { open, turn } = useContext(Folds);
  const now = open.includes(name);
  return (
    <details
      open={now}
      onToggle={({ currentTarget }) => {
        if (currentTarget.open !== now) turn(name, currentTarget.open);
      }}
    >
      <summary>{summary}</summary>
      {children}
    </details>
  );
}
