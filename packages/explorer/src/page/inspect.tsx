/** Beside the tables: rules, what the last step stored, what a CPU has cached, the bytes of a page in each copy. */
import { countText } from "@kreplica/inputs";
import type { VNode } from "preact";
import { PAGE } from "../hash.js";
import type { Catalogue } from "../model/choices.js";
import type { View } from "../model/view.js";
import { Leads } from "./leads.jsx";
import { Fold, hex, NodeChip, Panel } from "./shown.jsx";

/** Frames in a rule's words are decimal; the tables show hexadecimal ones: both, and the node. */
function Detail({ text, view }: { text: string; view: View }): VNode {
  const nodeOf = new Map(view.tables.map(({ frame, node }) => [frame, node]));
  return (
    <p class="detail">
      {text.split(/\b((?:frame|root) \d+)\b/).map((part, index) => {
        if (index % 2 === 0) return part;
        const frame = Number(part.split(" ")[1]);
        const node = nodeOf.get(frame);
        return (
          <span key={index}>
            {part} (<code>{hex(frame)}</code>
            {node === undefined ? null : (
              <>
                {" "}
                <NodeChip node={node} />
              </>
            )}
            )
          </span>
        );
      })}
    </p>
  );
}

/** Rules that do not hold, each with its sentence and what was seen; and how many hold. */
export function Rules({
  view,
  catalogue,
  blamed,
}: {
  view: View;
  catalogue: Catalogue;
  blamed: ReadonlySet<number>;
}): VNode {
  const { broken, checked } = view;
  // What this step broke, above what the boot left.
  const latestFirst = (["now", "boot"] as const).flatMap((since) => broken.filter((rule) => rule.since === since));
  return (
    <Panel name="rules" title="Rules">
      <div role="status">
        {broken.length === 0 ? (
          <p class={checked === 0 ? "note" : "verdict"}>
            {checked === 0
              ? "Rules are looked at once the boot is over, and then after each step."
              : `All ${checked} rules about the kernel's state hold.`}
          </p>
        ) : (
          latestFirst.map((rule) => (
            <article class="violation" key={rule.id + rule.detail}>
              <p>
                <b>{rule.id}</b> {rule.since === "boot" ? "is broken since the boot" : "is broken by this step"}
              </p>
              <p class="sentence">{rule.sentence}</p>
              <Detail text={rule.detail} view={view} />
            </article>
          ))
        )}
      </div>
      <Leads view={view} blamed={blamed} />
      <Fold name="rules" summary="All rules, with their sentences">
        <dl class="sentences">
          {catalogue.rules.map(({ id, sentence }) => (
            <div key={id} class={broken.some((rule) => rule.id === id) ? "broken" : ""}>
              <dt>{id}</dt>
              <dd>{sentence}</dd>
            </div>
          ))}
        </dl>
      </Fold>
    </Panel>
  );
}

/** What the last step stored. */
export function Changes({ view }: { view: View }): VNode {
  const { changes, stores, moment } = view;
  const seen = moment.store > 0 ? moment.store : stores;
  return (
    <Panel
      name="changes"
      title="What changed"
      note={
        changes.length === 0
          ? stores === 0
            ? "The step stored nothing."
            : "What the step stored was there already."
          : undefined
      }
    >
      {changes.length === 0 ? null : (
        <div class="scroll" tabIndex={0} role="region" aria-label="Stores of the step">
          <table>
            <thead>
              <tr>
                <th scope="col">#</th>
                <th scope="col">where</th>
                <th scope="col">before</th>
                <th scope="col">after</th>
              </tr>
            </thead>
            <tbody>
              {changes.map((change, index) => (
                <tr key={index} class={change.nth === moment.store ? "now" : ""}>
                  <td>{change.nth}</td>
                  <td>
                    <code>{hex(change.frame)}</code>
                    {change.index === undefined ? (
                      <code>+{hex(change.offset!)}</code>
                    ) : (
                      <code>[{change.index}]</code>
                    )}{" "}
                    <NodeChip node={change.node} />
                  </td>
                  <td>
                    <code>{change.before}</code>
                  </td>
                  <td>
                    <code>{change.after}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {seen > changes.length ? (
        <p class="note">{countText(seen, "store")}; those that change nothing are left out.</p>
      ) : null}
    </Panel>
  );
}

/** TLB and paging-structure caches of one CPU. */
export function Cached({ view, cpu, blamed }: { view: View; cpu: number; blamed: ReadonlySet<number> }): VNode {
  const found = view.cpus.find(({ id }) => id === cpu);
  const entries = found?.cached ?? [];
  return (
    <Panel
      name="cached"
      title={`What CPU ${cpu} has cached`}
      note={
        found
          ? `CR3 is ${found.cr3}. ${entries.length === 0 ? "Its TLB and paging-structure caches are empty." : "TLB entries name pages, structure entries the table to go on from."}`
          : "There is no such CPU."
      }
    >
      {entries.length === 0 ? null : (
        <div class="scroll" tabIndex={0} role="region" aria-label={`Cached entries of CPU ${cpu}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">address</th>
                <th scope="col">kind</th>
                <th scope="col">frame</th>
                <th scope="col">PCID</th>
                <th scope="col">allows</th>
              </tr>
            </thead>
            <tbody>
              {entries.map((entry, index) => (
                <tr key={index} class={blamed.has(entry.frame) ? "blamed" : ""}>
                  <td>
                    <code>{entry.address}</code>
                  </td>
                  <td>
                    {entry.structure
                      ? `→ ${["", "PTE", "PMD", "PUD", "P4D"][entry.level]}`
                      : ["", "4 KiB", "2 MiB", "1 GiB"][entry.level]}
                  </td>
                  <td>
                    <code>{hex(entry.frame)}</code> <NodeChip node={entry.node} />
                  </td>
                  <td>{entry.flags.includes("global") ? "all" : entry.pcid}</td>
                  <td>{entry.flags}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

/** Bytes of a page in each of its copies. @param choose an address or a symbol */
export function Page({
  view,
  asked,
  choose,
}: {
  view: View;
  /** As the address names it. */
  asked: string | undefined;
  choose: (page: string | undefined) => void;
}): VNode {
  const { page, places } = view;
  const [one, ...others] = page?.copies ?? [];
  return (
    <Panel
      name="page"
      title="A page, in each copy"
      note="Choose a place, or press a leaf of the tables: its bytes as every root reaches them, disassembled."
    >
      <select
        aria-label="Place to look into"
        value={page?.address ?? ""}
        onChange={({ currentTarget }) => {
          choose(currentTarget.value === "" ? undefined : currentTarget.value);
        }}
      >
        <option value="">nothing</option>
        {page && !places.some(({ address }) => address === page.address) ? (
          <option value={page.address}>{page.address}</option>
        ) : null}
        {places.map(({ name, address }) => (
          <option key={name} value={address}>
            {name}, {address}
          </option>
        ))}
      </select>
      <form
        class="look"
        onSubmit={(event) => {
          event.preventDefault();
          const field = event.currentTarget.elements.namedItem("look") as HTMLInputElement;
          choose(field.value);
        }}
      >
        <label>
          address or symbol
          <input
            name="look"
            required
            pattern={PAGE.source.slice(1, -1)}
            placeholder="0xffffffff81000000, do_syscall_64"
            defaultValue={asked ?? ""}
          />
        </label>
        <button type="submit">look</button>
      </form>
      {page?.name ? (
        <p>
          in <code>{page.name}</code>
        </p>
      ) : null}
      {page && !one ? <p class="empty">No root leads anywhere from {page.address}.</p> : null}
      {page?.copies.map((copy) => (
        <div class={`copy edge${copy.lies % 8}`} key={copy.frame}>
          <p>
            from node {copy.nodes.join(", ")}: frame <code>{hex(copy.frame)}</code> <NodeChip node={copy.lies} />
          </p>
          <div class="scroll" tabIndex={0} role="region" aria-label={`Code in frame ${hex(copy.frame)}`}>
            <table class="code">
              <tbody>
                {copy.code.map((line) => (
                  <tr key={line.address}>
                    <th scope="row">{line.address.slice(-4)}</th>
                    <td>{line.bytes}</td>
                    <td>{line.text}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </div>
      ))}
      {one && others.length > 0 ? (
        <p class="note">
          {others.every(({ bytes }) => bytes === one.bytes)
            ? "All copies hold the same bytes."
            : "The copies differ: a CPU of one node runs other code than one of another."}
        </p>
      ) : null}
    </Panel>
  );
}
