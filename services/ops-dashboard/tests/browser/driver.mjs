// What the suites share: Chromium, visitors, pictures, the look at a page that every page stands.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const sites = JSON.parse(process.env.SITES);
export const argument = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
export const shots = argument("--shots");
const only = argument("--only") ?? "";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// A visitor; `problems` gathers what the console and the policy object to.
export async function visit({ width = 1440, height = 900, scheme = "light", ...rest } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, ...rest });
  const page = await context.newPage();
  page.problems = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) page.problems.push(message.text()); });
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("dialog", (dialog) => { page.problems.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  return page;
}

// Goes to an address, and tells what overflows and what axe finds there, narrow and wide.
export async function look(page, address) {
  const path = new URL(address).pathname, told = [];
  for (const width of [375, 1024, 1440, 2560]) {
    await page.setViewportSize({ width, height: 900 });
    if (width === 375) await page.goto(address, { waitUntil: "domcontentloaded" });
    await page.waitForFunction(() => document.readyState === "complete");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) told.push(`${path} at ${width} is ${wide} px too wide`);
    const isUnseen = await page.evaluate(() => {
      const place = document.querySelector(".places a[aria-current]")?.getBoundingClientRect();
      return place !== undefined && (place.left < 0 || place.right > innerWidth);
    });
    if (isUnseen) told.push(`${path} at ${width}: its place in the navigation is not seen`);
    if (width === 375 || width === 1440) {
      await page.evaluate(axe);
      const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
      const nodes = (violation) => violation.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ");
      told.push(...found.violations.map((violation) => `${path} at ${width}: ${violation.id}: ${nodes(violation)}`));
    }
  }
  return told;
}

// Takes the page as it is, narrow and wide. Charts are drawn anew after a change of width.
export async function pictures(page, name, scheme) {
  mkdirSync(shots, { recursive: true });
  for (const width of [375, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    await page.waitForTimeout(400);
    await page.screenshot({ path: `${shots}/${name}-${width}-${scheme}.png`, fullPage: true });
  }
}

const tests = [];
export const test = (name, body) => tests.push({ name, body });

// Runs what was declared, one after the other, and ends the process.
export async function run() {
  let failed = 0;
  for (const { name, body } of tests.filter((one) => one.name.includes(only))) {
    const begun = Date.now();
    try {
      await body();
      console.log(`ok   ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${name}\n${error.stack}`);
    }
  }
  await browser.close();
  console.log(failed ? `${failed} failed` : "all is well");
  process.exit(failed ? 1 : 0);
}
