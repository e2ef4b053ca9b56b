/** What is explored: the kernel, the lesson, the next operation; and what is dropped onto the page. */
import { useState } from "preact/hooks";
import type { VNode } from "preact";
import type { Place } from "../hash.js";
import { type Catalogue, type OperationChoice, plainOperation } from "../model/choices.js";
import { Fold, Panel, roomsOf } from "./shown.jsx";

/** Nodes, levels, KPTI, policy and defects. @param change takes the kernel's values that are to be others */
export function KernelChoice({
  place,
  catalogue,
  change,
}: {
  place: Place;
  catalogue: Catalogue;
  change: (values: Partial<Place>) => void;
}): VNode {
  const toggle = (id: string): void => {
    const laid = place.laid.includes(id) ? place.laid.filter((each) => each !== id) : [...place.laid, id];
    const wanted = catalogue.faults.filter((each) => laid.includes(each.id));
    const configured = wanted.find(({ configuration }) => configuration !== undefined);
    const { levels } = wanted.find((each) => each.levels !== undefined) ?? place;
    const { configuration: _, ...rest } = place;
    change({
      ...rest,
      laid,
      ...(levels === undefined ? {} : { levels }),
      pti: place.pti || wanted.some(({ pti }) => pti),
      nodes: Math.max(place.nodes, ...wanted.map(({ fewestNodes }) => fewestNodes)),
      ...(configured?.configuration === undefined ? {} : { configuration: configured.configuration }),
    });
  };
  return (
    <Panel name="kernel" title="The kernel">
      <div class="fields">
        <label>
          nodes
          <select
            value={place.nodes}
            disabled={place.machine !== undefined}
            onChange={({ currentTarget }) => {
              change({ nodes: Number(currentTarget.value) });
            }}
          >
            {[1, 2, 3, 4, 5, 6, 7, 8].map((nodes) => (
              <option key={nodes} value={nodes}>
                {nodes}
              </option>
            ))}
          </select>
        </label>
        <label>
          levels
          <select
            value={place.levels}
            onChange={({ currentTarget }) => {
              change({ levels: currentTarget.value === "5" ? 5 : 4 });
            }}
          >
            <option value={4}>4</option>
            <option value={5}>5</option>
          </select>
        </label>
        <label>
          KPTI
          <select
            value={place.pti ? "on" : "off"}
            onChange={({ currentTarget }) => {
              change({ pti: currentTarget.value === "on" });
            }}
          >
            <option value="off">off</option>
            <option value="on">on</option>
          </select>
        </label>
        <label class="wide">
          who holds copies
          <select
            value={place.policy}
            onChange={({ currentTarget }) => {
              change({ policy: currentTarget.value });
            }}
          >
            {catalogue.policies.map(({ name, summary }) => (
              <option key={name} value={name} title={summary}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p class="note">{catalogue.policies.find(({ name }) => name === place.policy)?.summary}</p>
      <Fold
        name="defects"
        summary={`Defects of the series and bugs of Linux${place.laid.length > 0 ? `: ${place.laid.join(", ")} on` : ""}`}
      >
        {roomsOf(catalogue.faults).map(([room, faults]) => (
          <fieldset key={room} class="defects">
            <legend>{room}</legend>
            {faults.map(({ id, sentence }) => (
              <label key={id}>
                <input
                  type="checkbox"
                  checked={place.laid.includes(id)}
                  onChange={() => {
                    toggle(id);
                  }}
                />
                <span>
                  <b>{id}</b> {sentence}
                </span>
              </label>
            ))}
          </fieldset>
        ))}
      </Fold>
    </Panel>
  );
}

/** What people call the operations they look for; each is one of the checker's, or a few. */
const QUICK: readonly {
  readonly name: string;
  readonly operations: readonly { readonly op: string }[];
  readonly policy?: string;
}[] = [
  { name: "new process", operations: [{ op: "spawn", cpu: 0 } as never] },
  { name: "fork", operations: [{ op: "fork", p: 0, cpu: 2 } as never] },
  { name: "exec", operations: [{ op: "exec", p: 0, cpu: 0 } as never] },
  {
    name: "first touch",
    operations: [
      { op: "mmap", p: 0, cpu: 0, page: 0, pages: 2, writable: true, large: false, locked: false, policy: 0 } as never,
      { op: "touch", cpu: 0, page: 0, kind: "write", value: 7 } as never,
    ],
  },
  {
    name: "PUD allocation",
    operations: [
      { op: "mmap", p: 0, cpu: 0, page: 6, pages: 1, writable: true, large: false, locked: false, policy: 0 } as never,
      { op: "touch", cpu: 0, page: 6, kind: "write", value: 1 } as never,
    ],
  },
  { name: "migrate to node 1", operations: [{ op: "run", p: 0, cpu: 2 } as never] },
  {
    name: "load a module",
    operations: [{ op: "modload", module: 0, node: 1 } as never, { op: "modlive", module: 0 } as never],
  },
  {
    name: "load a BPF program",
    operations: [
      { op: "bpfload", program: 0 } as never,
      { op: "bpfrun", program: 0, cpu: 0 } as never,
      { op: "bpfrun", program: 0, cpu: 2 } as never,
    ],
  },
  { name: "text poke with INT3", operations: [{ op: "patch", change: "key", nth: 0, cpu: 0 } as never] },
  { name: "CPU off line", operations: [{ op: "offline", cpu: 1 } as never] },
  { name: "CPU on line", operations: [{ op: "online", cpu: 0 } as never] },
  {
    name: "node 1 has waited for text",
    operations: [{ op: "wait-for-text", cpu: 2, kilocycles: 1000 } as never],
    policy: "on-demand",
  },
  { name: "memory of node 1 is wanted", operations: [{ op: "want-memory", node: 1 } as never], policy: "on-demand" },
];

/** Adds operations to the story. @param add takes them, to be done one after the other */
export function Operations({
  catalogue,
  nodes,
  policy,
  add,
}: {
  catalogue: Catalogue;
  nodes: number;
  policy: string;
  add: (operations: readonly { readonly op: string }[]) => void;
}): VNode {
  const [chosen, setChosen] = useState<OperationChoice | undefined>(undefined);
  const [values, setValues] = useState<Readonly<Record<string, unknown>>>({});
  const isHere = (each: { readonly policy?: string }): boolean => policy.startsWith(each.policy ?? "");
  const offered = catalogue.operations.filter(isHere);
  const choice = chosen && isHere(chosen) ? chosen : offered[0]!;
  const operation = { ...plainOperation(choice.op, choice.fields), ...values };
  const families = [...new Set(offered.map(({ family }) => family))];
  return (
    <Panel name="operations" title="Do something" note="Adds to the story behind the step you are at, and does it.">
      <div class="quick">
        {QUICK.filter((each) => isHere(each) && (nodes > 1 || each.name !== "migrate to node 1")).map(({ name, operations }) => (
          <button
            key={name}
            type="button"
            onClick={() => {
              add(operations);
            }}
          >
            {name}
          </button>
        ))}
      </div>
      <Fold name="operations" summary="Any operation of the checker">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            add([operation]);
          }}
        >
          <label>
            operation
            <select
              value={choice.op}
              onChange={({ currentTarget }) => {
                setChosen(offered.find(({ op }) => op === currentTarget.value));
                setValues({});
              }}
            >
              {families.map((family) => (
                <optgroup key={family} label={family}>
                  {offered
                    .filter((each) => each.family === family)
                    .map(({ op, example }) => (
                      <option key={op} value={op}>
                        {op}: {example}
                      </option>
                    ))}
                </optgroup>
              ))}
            </select>
          </label>
          <div class="fields">
            {Object.entries(choice.fields).map(([field, type]) => (
              <Field
                key={`${choice.op}.${field}`}
                name={field}
                type={type}
                value={(operation as Readonly<Record<string, unknown>>)[field]}
                set={(value) => {
                  setValues({ ...values, [field]: value });
                }}
              />
            ))}
          </div>
          <button type="submit">do it</button>
        </form>
      </Fold>
    </Panel>
  );
}

function Field({
  name,
  type,
  value,
  set,
}: {
  name: string;
  type: OperationChoice["fields"][string];
  value: unknown;
  set: (value: unknown) => void;
}): VNode {
  if (type === "operation")
    return (
      <label class="wide">
        {name}
        <span class="note">CPU 0 runs a kernel thread</span>
      </label>
    );
  return (
    <label>
      {name}
      {type === "number" ? (
        <input
          type="number"
          min={0}
          max={65_535}
          required
          value={String(value)}
          onInput={({ currentTarget }) => {
            if (currentTarget.validity.valid) set(Number(currentTarget.value));
          }}
        />
      ) : type === "boolean" ? (
        <select
          value={String(value)}
          onChange={({ currentTarget }) => {
            set(currentTarget.value === "true");
          }}
        >
          <option value="false">no</option>
          <option value="true">yes</option>
        </select>
      ) : (
        <select
          value={String(value)}
          onChange={({ currentTarget }) => {
            set(currentTarget.value);
          }}
        >
          {type.map((word) => (
            <option key={word} value={word}>
              {word}
            </option>
          ))}
        </select>
      )}
    </label>
  );
}
