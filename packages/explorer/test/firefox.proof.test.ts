/// <reference types="node" />
/**
 * The real page in Firefox as distributions ship it, headless, over WebDriver BiDi: a lesson walked to its end, a file
 * opened, the address shown to another, nothing on the console. Skipped, and said so, where there is no firefox.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machineDocument, preset } from "@kreplica/machines";
import { type Browser, type ElementHandle, launch, type Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LESSONS } from "../src/model/lessons.js";
import { type ServedSite, servedSite } from "./site.js";

const program = ["/usr/bin/firefox-esr", "/usr/bin/firefox"].find((path) => existsSync(path));
if (!program) console.warn("no /usr/bin/firefox-esr here: the explorer is not tried in Firefox");

describe.skipIf(!program)("in firefox", () => {
  let site: ServedSite;
  let browser: Browser;
  let page: Page;
  const said: string[] = [];

  beforeAll(async () => {
    site = await servedSite();
    browser = await launch({ browser: "firefox", executablePath: program!, headless: true });
    page = await opened("");
  });
  afterAll(async () => {
    await browser?.close();
    site.close();
  });

  async function opened(hash: string): Promise<Page> {
    const one = await browser.newPage();
    one.setDefaultTimeout(60_000);
    one.on("console", (message) => said.push(message.text()));
    one.on("pageerror", (error) => said.push(String(error)));
    await one.goto(`${site.address}#${hash}`);
    await one.waitForSelector(".transport");
    return one;
  }
  const text = (selector: string, one = page): Promise<string> =>
    one.$eval(selector, (element) => element.textContent ?? "");
  const shows = (step: number): Promise<unknown> =>
    page.waitForFunction(
      (words) => {
        const { textContent } = document.querySelector(".where")!;
        return textContent.startsWith(words) && !textContent.includes("at work");
      },
      {},
      `step ${step} of`,
    );

  test("a lesson is walked to its end, and its last step shown to another", async () => {
    const lesson = LESSONS.find(({ id }) => id === "mremap-flush")!;
    await page.select(".lessons select", lesson.id);
    await shows(19);
    for (let step = 20; step <= 19 + lesson.operations.length; step++) {
      await page.click(".transport .main");
      await shows(step);
    }
    expect(await text(".violation")).toContain(lesson.invariant);
    await page.select(
      ".page select",
      await page.$eval(".page option:nth-of-type(2)", (option) => (option as HTMLOptionElement).value),
    );
    await page.waitForSelector(".copy .code");
    const other = await opened(new URL(page.url()).hash.slice(1));
    await other.waitForSelector(".copy .code");
    for (const part of [".middle", ".right"]) expect(await text(part, other)).toBe(await text(part));
    await other.close();
  });

  test("a machine of one's own is opened, and a damaged one refused by its line", async () => {
    const folder = mkdtempSync(join(tmpdir(), "kreplica-firefox-"));
    const input = (await page.$(".file input")) as ElementHandle<HTMLInputElement>;
    const open = async (name: string, content: string): Promise<void> => {
      writeFileSync(join(folder, name), content);
      await input.uploadFile(join(folder, name));
    };
    await open("mine.json", JSON.stringify(machineDocument(preset("e5-2690v3-2s")!)));
    await page.waitForSelector(".opened");
    await page.waitForFunction(() => document.querySelectorAll(".cpu").length === 48);
    await open("broken.json", '{\n"nodes": [');
    await page.waitForSelector(".trouble");
    expect(await text(".trouble")).toMatch(/^broken\.json, line 2: /);
    rmSync(folder, { recursive: true });
  });

  test("nothing was said on the console all the while", () => {
    expect(said).toEqual([]);
  });
});
