/** The page says what the document says, and nothing else; it is one file, and reads well. */
import { describe, expect, test } from "vitest";
import { parse, type DefaultTreeAdapterTypes } from "parse5";
import { type ReportDocument, reportPage, valueAt } from "../src/index.js";
import { STYLE } from "../src/style.js";
import { smallDocument } from "./small-document.js";
import { smallExplanation, smallMap } from "./small-map.js";

type Node = DefaultTreeAdapterTypes.ChildNode;
type Element = DefaultTreeAdapterTypes.Element;

const isElement = (node: Node): node is Element => "tagName" in node;
const attribute = (node: Element, name: string): string | undefined =>
  node.attrs.find((each) => each.name.toLowerCase() === name)?.value;
const textOf = (node: Node): string =>
  "value" in node ? node.value : "childNodes" in node ? node.childNodes.map(textOf).join("") : "";

/** All elements, outer ones first. */
function* elements(nodes: readonly Node[]): Generator<Element> {
  for (const node of nodes) {
    if (!isElement(node)) continue;
    yield node;
    yield* elements(node.childNodes);
  }
}
const all = (page: string): Element[] => [...elements(parse(page).childNodes as Node[])];
const named = (page: string, tag: string): Element[] => all(page).filter(({ tagName }) => tagName === tag);

/** Every figure or word that names its place, and whether the text is that value, rounded as it is written. */
function claims(page: string, document: ReportDocument): { path: string; text: string; right: boolean }[] {
  return all(page).flatMap((element) => {
    const path = attribute(element, "data-from");
    if (path === undefined) return [];
    const text = textOf(element);
    const value = valueAt(document, path);
    if (typeof value === "string") return [{ path, text, right: text === value.replaceAll("`", "") }];
    const shown = Number(text.replaceAll(",", ""));
    const digits = text.split(".")[1]?.length ?? 0;
    const scale = Number(attribute(element, "data-scale") ?? 1);
    const exact = typeof value === "number" ? value / scale : Number.NaN;
    return [{ path, text, right: Math.abs(shown - exact) <= 0.500001 * 10 ** -digits }];
  });
}

/** Text that names no place in the document, without ticks of an axis and counts of what the machine lists. */
function freeText(nodes: readonly Node[]): string {
  return nodes
    .map((node) => {
      if (!isElement(node)) return "value" in node ? node.value : "";
      if (attribute(node, "data-from") !== undefined || ["style", "script", "title"].includes(node.tagName)) return "";
      if (["tick", "count"].includes(attribute(node, "class") ?? "")) return "";
      return `${freeText(node.childNodes)} `;
    })
    .join("");
}

describe("figures", () => {
  const page = reportPage(smallDocument);

  test("each is the document's value at the place it names", () => {
    const made = claims(page, smallDocument);
    expect(made.length).toBeGreaterThan(100);
    expect(made.filter(({ right }) => !right)).toEqual([]);
  });

  test("there is no number that names no place", () => {
    // L1, L2 and L3 are names of caches.
    const rest = freeText(parse(page).childNodes as Node[]).replaceAll(/\bL[123]\b/g, "");
    expect(rest.match(/\d[\d.,]*/g) ?? []).toEqual([]);
  });

  test("counts of CPUs are the machine's", () => {
    const counts = all(page)
      .filter((each) => attribute(each, "class") === "count")
      .map(textOf);
    expect(new Set(counts)).toEqual(new Set(["1", "2"]));
  });

  test("a document without a number that the page shows is refused", () => {
    const { cpu: _, ...without } = smallDocument.comparison;
    expect(() => reportPage({ ...smallDocument, comparison: without as ReportDocument["comparison"] })).toThrow(
      "no number at comparison.cpu",
    );
  });

  test("every node has a row, and the verdict its sentences; without them the page says whose the figures are", () => {
    const rows = named(page, "tr").map(textOf);
    expect(rows).toContainEqual(expect.stringMatching(/^125141\.518\.5-2\.115\.8-0\.3$/));
    expect(page).toContain("Whole machine: 4.3 (2.4 .. 5.8) % cold, &lt;b&gt;.");
    const { nodes: _, verdict: __, ...one } = smallDocument.comparison;
    const alone = reportPage({ ...smallDocument, comparison: { ...one, verdict: null } });
    expect(alone).toContain("One CPU alone was measured");
    expect(alone).toContain("With cold caches");
  });

  test("what a sentence has in backticks is code", () => {
    const verdict = { sentences: ["Another design: `kreplica compare --policy NAME`, or `<b>`."] };
    const made = reportPage({ ...smallDocument, comparison: { ...smallDocument.comparison, verdict } });
    expect(made).toContain("Another design: <code>kreplica compare --policy NAME</code>, or <code>&lt;b&gt;</code>.");
  });

  test("a spread by layouts is drawn, told and tabled where layouts were run, and nothing where none were", () => {
    const page = (layouts: object): string => {
      const tests = smallDocument.comparison.tests.map((each) => ({ ...each, ...layouts }));
      return reportPage({ ...smallDocument, comparison: { ...smallDocument.comparison, tests } });
    };
    const marks = ['class="layout"', "spread by where functions lie", "layout low"];
    for (const mark of marks) {
      expect(page({ layoutLow: -1, layoutHigh: 2 })).toContain(mark);
      expect(page({ layoutLow: null, layoutHigh: null })).not.toContain(mark);
      expect(page({})).not.toContain(mark);
    }
  });

  test("what was not reported is no nought", () => {
    const row = named(page, "tr")
      .map(textOf)
      .find((text) => text.startsWith("kill") && text.includes("cold"))!;
    expect(row).toMatch(/none$/);
  });
});

describe("what stands on a page when it was asked for", () => {
  const mix = {
    file: "strace.txt",
    coldPercent: 12.5,
    calls: 4321,
    coveredCalls: 3210,
    coveredTimePercent: 61.27,
    gainPercent: 3.42,
    gainLow: 1.51,
    gainHigh: 5.93,
    nodes: [{ node: 1, cpus: 25, gainPercent: 8.13 }],
    tests: [{ test: "kill", calls: 321, weightPercent: 91.26, gainPercent: 22.17 }],
    uncovered: [{ name: "futex", calls: 77 }],
  };
  const time = { machinePercent: { cold: 1.2345, hot: 0.0512 } };
  const rates = {
    processes: { count: 2000, bytes: 16_384_000, everywhereBytes: 24_576_000 },
    forks: { perSecond: 300, time },
    migrations: { perSecond: 40, stores: 482, time: null },
  };
  const counts = (all: number) => ({
    textFromOwnL3: all + 1,
    textFromOtherL3: all + 20,
    textFromNearMemory: all + 300,
    textFromFarMemory: all + 4000,
    contendedData: all + 50_000,
  });
  const point = (cache: "cold" | "hot", cpusPerNode: number, gainPercent: number) => ({
    test: "kill",
    cache,
    recording: "kill.kt.zst",
    cpusPerNode,
    gainPercent,
    gainLow: gainPercent - 1.11,
    gainHigh: gainPercent + 2.22,
    singleCopy: counts(100 * cpusPerNode),
    perNode: counts(200 * cpusPerNode),
  });
  const gain = (of: number) => ({
    coldPercent: of + 2,
    coldLow: of,
    coldHigh: of + 4,
    hotPercent: 2 - of,
    hotLow: -of,
    hotHigh: 4 - of,
  });
  const designs = smallDocument.policies.map(({ name, cost }, i) => ({
    name,
    sameAs: i === 0 ? null : smallDocument.policies[0]!.name,
    gain: gain(3.43 + 20 * i),
    cost: { ...cost, bootBytes: cost.bootBytes + 7 },
    forkCycles: i === 0 ? { cold: 8765, hot: 543 } : null,
    firstSwitch: i === 0 ? { cycles: { cold: 9753, hot: 864 } } : null,
    movedGain: i === 0 ? gain(-31.87) : null,
  }));
  const atOnce = [point("cold", 3, 7.77), point("hot", 3, -2.34), point("cold", 6, 5.66), point("hot", 6, -4.56)];
  const document: ReportDocument = {
    ...smallDocument,
    comparison: {
      ...smallDocument.comparison,
      load: { atOnce },
      mix,
      rates,
      tests: smallDocument.comparison.tests.map((each) => ({ ...each, layoutLow: -9.87, layoutHigh: 6.54 })),
    },
    explain: smallExplanation,
    map: smallMap,
    comparedPolicies: { tests: ["kill", "mount"], policies: designs },
  };
  const page = reportPage(document);
  const text = (id: string): string => textOf(all(page).find((each) => attribute(each, "id") === id)!);

  test("every figure of it is the document's, and none names no place", () => {
    const made = claims(page, document);
    for (const part of [
      "comparison.mix.",
      "comparison.rates.",
      "comparison.load.atOnce.",
      "explain.figures.",
      "explain.sensitivity.",
      "map.cells.",
      "comparedPolicies.policies.",
    ])
      expect(made.filter(({ path }) => path.startsWith(part)).length, part).toBeGreaterThan(4);
    expect(made.filter(({ right }) => !right)).toEqual([]);
    const rest = freeText(parse(page).childNodes as Node[]).replaceAll(/\bL[123]\b/g, "");
    expect(rest.match(/\d[\d.,]*/g) ?? []).toEqual([]);
    expect(page).not.toMatch(/<(somebody|reported|modelled)>/);
  });

  test("the map says of which test it is", () => {
    expect(text("map")).toContain("Of kill, one copy against per-node:");
  });

  test("the mix and what it costs, in sentences", () => {
    const said = text("mix");
    expect(said).toContain("The mix gains 3.4 % (1.5 to 5.9). That is of the 3,210 of 4,321 calls of strace.txt");
    expect(said).toContain("2,000 processes take 15.6 MiB of page tables more");
    expect(said).toContain("300 forks a second take 1.234 % of the machine's CPUs cold, 0.051 hot more");
    expect(said).toContain("40 migrations a second take a time that was not run more, and 482 stores");
    expect(said).toContain("futex77");
  });

  test("many CPUs at once: a row of bars for each number of them, its hot figure that of the same number", () => {
    const titles = named(page, "section")
      .filter((each) => attribute(each, "id") === "busy")
      .flatMap((each) => [...elements(each.childNodes)])
      .filter(({ tagName, childNodes }) => tagName === "title" && textOf(childNodes[0]!).startsWith("kill,"))
      .map(textOf);
    expect(titles).toEqual([
      "kill, 3 CPUs of every node: 7.8 percent cold, -2.3 hot",
      "kill, 6 CPUs of every node: 5.7 percent cold, -4.6 hot",
    ]);
    expect(text("busy")).toContain("killhot6-4.6-5.7-2.3601620900");
  });

  test.each([
    ["idle", null, undefined],
    ["test", null, "The second thread of each of their cores runs the test too"],
    ["neighbour", "mount", "The second thread of each of their cores runs mount at the same time"],
    ["idle", "mount", "As many other cores of each node run mount at the same time"],
  ] as const)("many CPUs at once: beside them, threads %s, neighbour %s", (otherThreads, neighbour, said) => {
    const { comparison } = document;
    const atOnce = comparison.load!.atOnce!.map((each) => ({
      ...each,
      otherThreads,
      neighbour: neighbour === null ? null : { test: neighbour, cpus: 6 },
    }));
    const shown = reportPage({ ...document, comparison: { ...comparison, load: { ...comparison.load, atOnce } } });
    if (said === undefined) expect(shown).not.toContain("of their cores");
    else expect(shown.replaceAll(/<[^>]*>/g, "")).toContain(said);
  });

  test("designs: gain and cost on one line, drawn and tabled, and nothing where they were not compared", () => {
    expect(page).toMatch(/<line class="zero"[^>]*><text class="tick"[^>]*>0 %/);
    expect(text("policies")).toContain("over kill, mount; cost is what");
    const { name, cost } = designs[0]!;
    const row = named(page, "tr")
      .map(textOf)
      .find((each) => each.startsWith(`${name}5.43.47.4-1.4-3.40.6-29.9-31.9-27.933.931.935.9`))!;
    expect(row).toMatch(/8,7655439,753864none$/);
    const lines = named(page, "title")
      .map(textOf)
      .filter((each) => each.startsWith(`${name}: gain 5.4 percent cold, -1.4 hot; `));
    expect(lines).toHaveLength(1);
    const bars = named(page, "rect").filter((each) => attribute(each, "class") === "price");
    // The legend's, too.
    expect(bars).toHaveLength(designs.length + 1);
    expect(cost.bootBytes).toBeGreaterThan(0);
    expect(Math.max(...bars.map((each) => Number(attribute(each, "width"))))).toBe(170);
    expect(reportPage(smallDocument)).not.toContain('class="price"');
  });

  test("causes: plausible ones marked, sizes in KiB, the nearest gain where none does it; no column of what is not looked at", () => {
    const said = text("explain");
    expect(said).toMatch(/killcold26\.122\.1within its limits0\.83victim1\.54\*512 KiB\(21\.2\)4,480\*far\/near ratio/);
    expect(said).toMatch(/mounthot8\.70\.0out of reach of any near copy/);
    expect(said).not.toContain("run-ahead");
  });

  test("layouts are drawn where they were, and have no column where the document has null", () => {
    expect(text("gain")).toContain("layout low");
    expect(page.match(/class="layout"/g)).toHaveLength(document.comparison.tests.length + 1);
    const none = reportPage({
      ...smallDocument,
      comparison: {
        ...smallDocument.comparison,
        tests: smallDocument.comparison.tests.map((each) => ({ ...each, layoutLow: null, layoutHigh: null })),
      },
    });
    expect(none).not.toContain('class="layout"');
    expect(none).not.toContain("layout low");
  });

  test("and does not where it was not", () => {
    const ids = all(reportPage(smallDocument)).flatMap((each) => attribute(each, "id") ?? []);
    for (const id of ["mix", "busy", "explain", "map"]) {
      expect(ids).not.toContain(id);
      expect(page).toContain(`<section id="${id}">`);
    }
  });
});

describe("one file", () => {
  const page = reportPage(smallDocument);

  test("that asks for nothing else", () => {
    for (const element of all(page)) {
      expect(attribute(element, "src")).toBeUndefined();
      expect(attribute(element, "href") ?? "#").toMatch(/^#/);
    }
    expect(page).not.toMatch(/https?:|@import|url\(/);
  });

  test("in which words of the document are words", () => {
    expect(page).not.toContain("<somebody>");
    expect(named(page, "p").map(textOf).join()).toContain("by <somebody> & others");
    const evil = reportPage({ ...smallDocument, command: '"><script>alert(1)</script>' });
    expect(named(evil, "script")).toHaveLength(1);
  });

  test("whose folded parts are open on paper", () => {
    expect(named(page, "details").length).toBeGreaterThan(0);
    expect(page).toMatch(/@media print\{[^]*details::details-content\{content-visibility:visible/);
    expect(page).toContain('addEventListener("beforeprint"');
    // And light, also where the screen is dark.
    expect(STYLE.match(/@media[^{]*prefers-color-scheme:dark[^{]*/g)).toEqual([
      "@media screen and (prefers-color-scheme:dark)",
    ]);
  });

  test("whose links lead to its sections, headings in order", () => {
    const ids = new Set(all(page).flatMap((each) => attribute(each, "id") ?? []));
    for (const link of named(page, "a")) expect(ids).toContain(attribute(link, "href")!.slice(1));
    const levels = all(page).flatMap(({ tagName }) => (/^h[1-6]$/.test(tagName) ? [Number(tagName[1])] : []));
    expect(levels[0]).toBe(1);
    levels.slice(1).forEach((level, i) => expect(level).toBeLessThanOrEqual(levels[i]! + 1));
  });

  test("with a caption for each table, a head for each row, and words for each picture", () => {
    for (const table of named(page, "table")) {
      expect([...elements(table.childNodes)].filter(({ tagName }) => tagName === "caption")).toHaveLength(1);
      for (const row of [...elements(table.childNodes)].filter(({ tagName }) => tagName === "tr"))
        expect(row.childNodes.filter(isElement)[0]!.tagName).toBe("th");
    }
    for (const drawing of named(page, "svg"))
      expect(attribute(drawing, "aria-hidden") === "true" || attribute(drawing, "role") === "img").toBe(true);
  });

  test("that says no name of a test or a step only by its place", () => {
    expect(page).toContain("fork-1 cold");
    expect(named(page, "th").map(textOf)).toContain("numa-replicate-kernel *");
  });
});

describe("what is drawn", () => {
  test("a bar's parts are as long as its cycles, the longer of a pair fills the picture", () => {
    const page = reportPage(smallDocument);
    const bars = named(page, "rect").filter(
      (each) => /^cause c\d+$/.test(attribute(each, "class") ?? "") && attribute(each, "height") === "15",
    );
    const rows = new Map<string, Element[]>();
    for (const each of bars) {
      const row = attribute(each, "y")!;
      rows.set(row, [...(rows.get(row) ?? []), each]);
    }
    const ends = [...rows.values()].map((row) =>
      Math.max(...row.map((each) => Number(attribute(each, "x")) + Number(attribute(each, "width")))),
    );
    expect(Math.max(...ends)).toBeCloseTo(850, 0);
  });

  test("the link is wider where more cycles wait for it", () => {
    const far = (remote: number): number => {
      const document = { ...smallDocument, why: smallDocument.why.map((bar) => ({ ...bar, farCycles: remote })) };
      const line = named(reportPage(document), "line").find((each) => attribute(each, "class") === "far");
      return Number(attribute(line!, "stroke-width"));
    };
    expect(far(2000)).toBeGreaterThan(far(1000));
  });
});

describe("contrast is at least WCAG AA's 4.5", () => {
  const channel = (value: number): number => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]: readonly number[]): number =>
    0.2126 * channel(r!) + 0.7152 * channel(g!) + 0.0722 * channel(b!);
  const hex = (text: string): number[] => [1, 3, 5].map((at) => Number.parseInt(text.slice(at, at + 2), 16) / 255);
  const hsl = (hue: number, saturation: number, light: number): number[] => {
    const a = saturation * Math.min(light, 1 - light);
    return [0, 8, 4].map((n) => {
      const k = (n + hue / 30) % 12;
      return light - a * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    });
  };
  const contrast = (one: readonly number[], other: readonly number[]): number => {
    const [a, b] = [luminance(one), luminance(other)].sort((x, y) => y - x);
    return (a! + 0.05) / (b! + 0.05);
  };
  const themes = [...STYLE.matchAll(/color-scheme:(light|dark);([^}]*)/g)].map((found) => ({
    name: found[1]!,
    value: new Map([...found[2]!.matchAll(/--([\w-]+):([^;]+);/g)].map((each) => [each[1]!, each[2]!] as const)),
  }));

  test.each(themes)("$name: text, links and node colours", ({ value }) => {
    const page = hex(value.get("page")!);
    for (const name of ["ink", "dim", "link"]) {
      expect(contrast(hex(value.get(name)!), page)).toBeGreaterThanOrEqual(4.5);
      expect(contrast(hex(value.get(name)!), hex(value.get("stripe")!))).toBeGreaterThanOrEqual(4.5);
    }
    // Marks of a picture: 3 is enough.
    for (const name of ["gain", "bound", "reported", "far"])
      expect(contrast(hex(value.get(name)!), page)).toBeGreaterThanOrEqual(3);
    const light = Number.parseFloat(value.get("node-light")!) / 100;
    for (const [, hue] of STYLE.matchAll(/\.n\d+\{fill:hsl\((\d+) /g))
      expect(contrast(hex(value.get("node-ink")!), hsl(Number(hue), 0.6, light))).toBeGreaterThanOrEqual(4.5);
  });

  test("both themes were found", () => {
    expect(new Set(themes.map(({ name }) => name))).toEqual(new Set(["light", "dark"]));
  });
});
