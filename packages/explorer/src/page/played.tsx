/** A recording of one's own, reference by reference: what answered it, how it was translated, near or far. */
import type { VNode } from "preact";
import type { Fault } from "../protocol.js";
import type { PlayedReference, PlayedView } from "../model/view.js";
import { Trouble } from "./files.jsx";
import { hex, NodeChip, Panel } from "./shown.jsx";

/** @param go to a reference @param runOn a node */
export function Played({
  played,
  unplayed,
  go,
  runOn,
}: {
  played: PlayedView | undefined;
  unplayed: Fault | undefined;
  go: (reference: number) => void;
  runOn: (node: number) => void;
}): VNode | null {
  if (unplayed)
    return (
      <Panel name="played" title="The recording">
        <Trouble fault={unplayed} />
      </Panel>
    );
  if (!played) return null;
  const { name, kernel, named, machine, nodes, cpu, on, length, at, totals, before, behind } = played;
  const button = (words: string, title: string, to: number | undefined): VNode => (
    <button
      type="button"
      title={title}
      disabled={to === undefined || to < 0 || to >= length || to === at}
      onClick={() => {
        go(to!);
      }}
    >
      {words}
    </button>
  );
  return (
    <Panel
      name="played"
      title={`The recording ${name}`}
      note={
        <>
          Made on {kernel}; played here from cold caches on CPU {cpu} of {machine}, under the same policy, levels and KPTI
          as the kernel below. All of it is modelled.{" "}
          {named ? "" : "Open the vmlinuz it was recorded on to see the names of functions."}
        </>
      }
    >
      <div class="transport" role="toolbar" aria-label="References forward and back">
        {button("|◀", "the first reference", 0)}
        {button("◂ kernel", "the visit to the kernel before", before.entry)}
        {button("◂ far", "the far reference before", before.far)}
        {button("◀ reference", "a reference back", at - 1)}
        {button("reference ▶", "a reference forward", at + 1)}
        {button("far ▸", "the next far reference", behind.far)}
        {button("kernel ▸", "the next visit to the kernel", behind.entry)}
        <label class="inline">
          reference
          <input
            type="number"
            min={1}
            max={length}
            value={at + 1}
            onChange={({ currentTarget }) => {
              if (currentTarget.validity.valid && currentTarget.value !== "") go(Number(currentTarget.value) - 1);
            }}
          />
        </label>
        <span class="where">of {length.toLocaleString("en")}</span>
        <label class="inline">
          runs on
          <select
            value={on}
            onChange={({ currentTarget }) => {
              runOn(Number(currentTarget.value));
            }}
          >
            {nodes.map((node) => (
              <option key={node} value={node}>
                node {node}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p class="note totals">
        So far, of CPU {cpu}: {totals.caches.toLocaleString("en")} lines from near caches,{" "}
        {totals.near.toLocaleString("en")} from node {on}'s own memory, <b>{totals.far.toLocaleString("en")} far</b>;{" "}
        {totals.walks.toLocaleString("en")} page walks, which read {totals.farWalks.toLocaleString("en")} entries from
        afar.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="References of the recording">
        <table>
          <thead>
            <tr>
              <th scope="col">#</th>
              <th scope="col">what</th>
              <th scope="col">line</th>
              <th scope="col">frame</th>
              <th scope="col">answered by</th>
              <th scope="col">translated by</th>
            </tr>
          </thead>
          <tbody>
            {played.rows.map((row) => (
              <Row key={row.nth} row={row} now={row.nth === at} other={row.cpu !== cpu} />
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Row({ row, now, other }: { row: PlayedReference; now: boolean; other: boolean }): VNode {
  return (
    <tr class={`${now ? "here" : ""} ${row.far ? "far" : ""}`} aria-current={now ? "step" : undefined}>
      <td>{row.nth + 1}</td>
      <td>
        {row.enters ? <b>enters the kernel: </b> : null}
        {row.kind}
        {other ? ` of CPU ${row.cpu}` : ""}
      </td>
      <td>
        <code>{row.address}</code> <small>{row.name ?? row.region}</small>
      </td>
      <td>
        {row.frame < 0 ? (
          "no memory"
        ) : (
          <>
            <code>{hex(row.frame)}</code> <NodeChip node={row.node} />
          </>
        )}
      </td>
      <td>{row.from}</td>
      <td>
        {row.translation}
        {row.farWalks > 0 ? `, ${row.farWalks} of it far` : ""}
      </td>
    </tr>
  );
}
