/** `kreplica bpf` as text: verdicts, results by node, and where the code was fetched from with and without copies. */
import type { BpfRun, Fetches } from "../measure/run-bpf.js";
import { renderTable, type Column, type Screen } from "./terminal.js";
import { bytesText } from "./units.js";

const right = (head: string): Column => ({ head, align: "right" });
const sources = (f: Fetches): string[] => [f.caches, f.otherCaches, f.local, f.remote].map((n) => n.toLocaleString("en"));

/** @param runs shared images, replicated ones, or both */
export function bpfText(runs: readonly BpfRun[], heading: string, repeat: number, screen: Screen): string {
  let text = `${screen.bold(heading)}\n`;
  for (const program of runs[0]?.programs ?? []) {
    text += `\n${screen.bold(program.name)} (${program.section}): accepted after ${program.processed} instructions followed; ${program.slots} slots, ${program.bytes} bytes of x86-64\n`;
    text += renderTable(
      [{ head: "images" }, right("node"), right("cpu"), right("code on"), right("r0"), right("instructions"), right("cold: own caches"), right("other caches"), right("local"), right("remote"), ...(repeat > 0 ? [right("warm: remote")] : [])],
      runs.flatMap((run) => run.programs.find((each) => each.name === program.name)!.nodes.map((node) => [
        run.replicate ? "replicated" : "shared", `${node.node}`, `${node.cpu}`, `node ${node.codeOn}`, node.outcome === "exit" ? `${node.result}` : screen.bad(node.outcome), node.instructions.toLocaleString("en"),
        ...sources(node.cold), ...(repeat > 0 ? [node.warm.remote.toLocaleString("en")] : []),
      ])),
      screen,
    );
  }
  if (runs[0] && runs[0].maps.length > 0) {
    text += `\n${screen.bold("maps")}\n${renderTable([{ head: "name" }, { head: "kind" }, right("memory"), right("keys")], runs[0].maps.map((map) => [map.name, map.kind, bytesText(map.bytes), `${map.keys}`]), screen)}`;
  }
  text += `\n${screen.bold("code areas")}\n`;
  text += renderTable([{ head: "images" }, ...(runs[0]?.codeBytes ?? []).map(({ node }) => right(`node ${node}`))], runs.map((run) => [run.replicate ? "replicated" : "shared", ...run.codeBytes.map(({ bytes }) => bytesText(bytes))]), screen);
  return text + screen.dim("  Fetches are lines of code, the model's counts; entries of helpers are among them. Cold: every cache emptied before.\n");
}
