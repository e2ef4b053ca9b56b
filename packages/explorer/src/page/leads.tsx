/** The entries behind a broken rule: the way down from each root, and what CPUs have cached of the same address. */
import type { VNode } from "preact";
import type { EntryView, LeadView, View } from "../model/view.js";
import { hex, levelName, NodeChip } from "./shown.jsx";

/** @param blamed frames that the rule's words name */
export function Leads({ view, blamed }: { view: View; blamed: ReadonlySet<number> }): VNode | null {
  if (view.leads.length === 0) return null;
  return (
    <div class="leads">
      <h3>The entries behind it</h3>
      {view.leads.map((lead) => (
        <Lead key={lead.address} lead={lead} levels={view.levels} blamed={blamed} />
      ))}
    </div>
  );
}

function Lead({
  lead: { address, ways, cached },
  levels,
  blamed,
}: {
  lead: LeadView;
  levels: number;
  blamed: ReadonlySet<number>;
}): VNode {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`Entries for ${address}`}>
      <table>
        <caption>
          <code>{address}</code>
        </caption>
        <tbody>
          {ways.map(({ root, entries }) => (
            <tr key={root}>
              <th scope="row">{root}</th>
              <td>
                {entries.map((entry, at) => (
                  <Entry key={at} entry={entry} levels={levels} blamed={blamed} />
                ))}
              </td>
            </tr>
          ))}
          {cached.map((entry, at) => (
            <tr key={`cached ${at}`} class={blamed.has(entry.frame) ? "blamed" : ""}>
              <th scope="row">CPU {entry.cpu} has cached</th>
              <td>
                {entry.structure ? `the way to a ${levelName(entry.level, levels)} ` : "frame "}
                <code>{hex(entry.frame)}</code> <NodeChip node={entry.node} /> {entry.flags}, PCID{" "}
                {entry.flags.includes("global") ? "all" : entry.pcid}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Entry({
  entry: { level, frame, index, to, node, flags },
  levels,
  blamed,
}: {
  entry: EntryView;
  levels: number;
  blamed: ReadonlySet<number>;
}): VNode {
  return (
    <span class={blamed.has(frame) || (to !== undefined && blamed.has(to)) ? "step blamed" : "step"}>
      {levelName(level, levels)}[{index}]{" "}
      {to === undefined ? (
        "not present"
      ) : (
        <>
          → <code>{hex(to)}</code> <NodeChip node={node!} /> {flags}
        </>
      )}
    </span>
  );
}
