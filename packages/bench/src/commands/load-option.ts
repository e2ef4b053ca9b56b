/** `--load`: how busy links and memory controllers are beside the test, in the user's words. */
import type { MachineSpec } from "@kreplica/hw-x86/api";
import { InputError } from "@kreplica/inputs";
import { Interconnect, type Load } from "@kreplica/replay";
import { Option } from "commander";

/** What is above that gives way to whoever else asks, and is no background any more. */
const MOST = 0.95;
const FORMS = "0.6, link=0.7, memory=0.5, link:0-1=0.7, memory:0=0.5 and cpus=12, with commas between";

/** As commander fills it in. */
export interface LoadOption {
  readonly load?: string;
}

/** Adds nothing to a machine that is idle: without it no figure moves. */
export const loadOption = (): Option =>
  new Option(
    "--load <shares>",
    `other traffic, as shares of the peak bandwidth from 0 to ${MOST}: of all links and memory controllers (0.6), of one kind (link=0.7, memory=0.5), of both ways between two nodes' sockets or of one node (link:0-1=0.7, memory:0=0.5); cpus=N: so many CPUs of every node do as the measured one does (cpus=all); with commas between (default: an idle machine)`,
  );

/** @throws InputError naming the part that is wrong */
export function readLoad({ load: text }: LoadOption, spec: MachineSpec): Load | undefined {
  if (text === undefined) return undefined;
  const paths = new Interconnect(spec);
  const background = new Float64Array(paths.resources.length);
  let cpusPerNode = 1;
  const refuse = (reason: string, remedy: string): never => {
    throw new InputError({ file: "--load", reason, remedy });
  };
  for (const part of text.split(",").map((each) => each.trim())) {
    const match = /^(?:(cpus|link|memory)(?::(\d{1,2})(?:-(\d{1,2}))?)?=)?(\S+)$/.exec(part);
    if (!match) return refuse(`${JSON.stringify(part)} is not understood`, `parts are written like ${FORMS}`);
    const [, kind, first, second, value] = match as unknown as [string, ...(string | undefined)[]];
    if (kind === "cpus") {
      cpusPerNode = cpusOf(value!, first, spec, refuse);
      continue;
    }
    const share = /^(?:\d{1,3}(?:\.\d{1,6})?|\.\d{1,6})$/.test(value!) ? Number(value) : Number.NaN;
    if (!(share >= 0 && share <= MOST))
      refuse(
        `${JSON.stringify(value)} in ${JSON.stringify(part)} is not a share from 0 to ${MOST}`,
        `write a fraction of the peak, like 0.6; parts are written like ${FORMS}`,
      );
    const wanted = (index: number): boolean => {
      const resource = paths.resources[index]!;
      if (kind === undefined) return true;
      if (resource.kind !== kind) return false;
      if (first === undefined) return true;
      if (resource.kind === "memory") return resource.node === Number(first) && second === undefined;
      const [a, b] = [first, second].map((id) => spec.nodes.findIndex((node) => node.id === Number(id))) as [
        number,
        number,
      ];
      return a >= 0 && b >= 0 && (paths.link(a, b) === index || paths.link(b, a) === index);
    };
    const found = paths.resources.map((_, index) => index).filter(wanted);
    if (found.length === 0)
      refuse(
        kind === "link" && first === undefined
          ? `${spec.name} has no link between sockets`
          : `${spec.name} has no ${part.slice(0, part.indexOf("="))}`,
        `it has ${paths.resources.map(nameOf).slice(0, 12).join(", ")}${paths.resources.length > 12 ? ", ..." : ""}`,
      );
    for (const index of found) background[index] = share;
  }
  return { text, cpusPerNode, background };
}

function cpusOf(
  value: string,
  node: string | undefined,
  spec: MachineSpec,
  refuse: (reason: string, remedy: string) => never,
): number {
  if (node !== undefined) refuse("cpus is one number for all nodes", "write cpus=12");
  const most = Math.max(...spec.nodes.map(({ id }) => spec.cpus.filter((cpu) => cpu.node === id).length));
  if (value === "all") return most;
  if (!/^\d{1,4}$/.test(value) || Number(value) < 1 || Number(value) > most)
    refuse(
      `${JSON.stringify(value)} is not a number of CPUs from 1 to ${most}, which a node of ${spec.name} has`,
      "write cpus=1, which is the measured CPU alone, up to cpus=all",
    );
  return Number(value);
}

/** A resource as the option names it. */
const nameOf = (resource: Interconnect["resources"][number]): string =>
  resource.kind === "memory" ? `memory:${resource.node}` : `link:${resource.from}-${resource.to}`;
