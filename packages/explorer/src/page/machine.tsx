/** The machine drawn: nodes with their memory and CPUs, and which node's tables each CPU's CR3 points at. */
import type { VNode } from "preact";
import type { View } from "../model/view.js";
import { hex, NodeChip, Panel } from "./shown.jsx";

/** CPUs a node, above which those that do nothing of interest are numbers alone. */
const MANY = 4;

/** @param cpu the one that is looked into */
export function MachinePicture({
  view,
  cpu,
  choose,
}: {
  view: View;
  cpu: number;
  choose: (cpu: number) => void;
}): VNode {
  const tableNode = new Map(view.tables.map(({ frame, node }) => [frame, node]));
  const rootOf = new Map(view.roots.map((root) => [root.frame, root]));
  return (
    <Panel
      name="machine"
      title="The machine"
      note="A box is a node. Each CPU shows what it runs and where its CR3 points; a CPU whose root lies on another node is marked. Press a CPU to see what it has cached."
    >
      <div class="nodes">
        {view.nodes.map((node) => (
          <div class={`node edge${node.id % 8}`} key={node.id}>
            <h3>
              <NodeChip node={node.id} /> {node.master ? "master" : node.holder ? "holds a copy" : "no copy"}
            </h3>
            <p class="memory">
              {node.tableFrames} table frames, {Math.round(node.freeFrames / 256)} MiB free
            </p>
            <ul class={view.cpus.length > MANY * view.nodes.length ? "many" : ""}>
              {view.cpus
                .filter((each) => each.node === node.id)
                .map((each) => {
                  const root = rootOf.get(each.root);
                  const lies = tableNode.get(each.root);
                  const idle = each.online && each.runs === "kernel" && each.id !== cpu;
                  const far = each.online && lies !== undefined && lies !== each.node;
                  return (
                    <li key={each.id}>
                      <button
                        type="button"
                        class={`cpu ${each.online ? "" : "offline"} ${far ? "far" : ""} ${idle ? "idle" : ""}`}
                        title={`CPU ${each.id}: ${each.online ? each.runs : "off line"}`}
                        aria-pressed={each.id === cpu}
                        onClick={() => {
                          choose(each.id);
                        }}
                      >
                        <b>CPU {each.id}</b> <span>{each.online ? each.runs : "off line"}</span>
                        <span class="cr3">
                          CR3 → {each.online ? (root?.name ?? hex(each.root)) : "nothing"}{" "}
                          {lies === undefined || !each.online ? null : <NodeChip node={lies} />}
                        </span>
                      </button>
                    </li>
                  );
                })}
            </ul>
          </div>
        ))}
      </div>
    </Panel>
  );
}
