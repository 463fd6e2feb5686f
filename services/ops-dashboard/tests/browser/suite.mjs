// The pages in Chromium. Run by `cargo x ui`, which serves the sites; `--shots DIR` also writes
// pictures of every page, `--only WORD` runs the tests whose name has the word in it.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const sites = JSON.parse(process.env.SITES);
const argument = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const shots = argument("--shots");
const only = argument("--only") ?? "";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const letter = "/dead-letters?projection=search&show=shop.public.orders%3A2%3A7";
const pages = ["/", "/events", "/projections/duckdb", "/dead-letters", "/schemas", "/schemas/shop.public.orders-value", "/source", "/services", "/query?sql=SELECT%201", "/search?q=ada", "/activity"];
const extra = { broken: ["/dead-letters?projection=search", letter, "/projections/search"], much: ["/source?page=7"], paused: [] };
const plain = ["/", "/events", "/dead-letters", "/schemas", "/source", "/services", "/query", "/search", "/activity"];
const places = (site) => (["empty", "unreachable"].includes(site) ? plain : pages.concat(extra[site] ?? []))
  .filter((path) => site !== "much" || !path.startsWith("/projections"));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// A visitor; `problems` gathers what the console and the policy object to.
async function visit({ width = 1440, height = 900, scheme = "light", ...rest } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, ...rest });
  const page = await context.newPage();
  page.problems = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) page.problems.push(message.text()); });
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("dialog", (dialog) => { page.problems.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  return page;
}

const tests = [];
const test = (name, body) => tests.push({ name, body });

for (const site of ["flowing", "empty", "broken", "paused", "unreachable", "much"]) {
  for (const scheme of ["light", "dark"]) {
    test(`${site} in ${scheme}: nothing overflows, nothing is blocked, axe finds nothing`, async () => {
      const page = await visit({ scheme });
      const told = [];
      for (const path of places(site)) {
        for (const width of [375, 1024, 1440, 2560]) {
          await page.setViewportSize({ width, height: 900 });
          if (width === 375) await page.goto(sites[site] + path);
          await page.waitForFunction(() => document.readyState === "complete");
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          if (wide > 0) told.push(`${path} at ${width} is ${wide} px too wide`);
          if (width === 375 || width === 1440) {
            await page.evaluate(axe);
            const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
            const nodes = (violation) => violation.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ");
            told.push(...found.violations.map((violation) => `${path} at ${width}: ${violation.id}: ${nodes(violation)}`));
          }
        }
        if (shots) await pictures(page, site, scheme, path);
      }
      assert.deepEqual([...told, ...page.problems], []);
      await page.context().close();
    });
  }
}

async function pictures(page, site, scheme, path) {
  mkdirSync(shots, { recursive: true });
  for (const width of [375, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    await page.waitForTimeout(400);
    const name = path.split(/[?=&/]/).filter(Boolean).slice(0, 4).join("-").slice(0, 40) || "overview";
    await page.screenshot({ path: `${shots}/${site}-${name}-${width}-${scheme}.png`, fullPage: true });
  }
}

test("numbers change in place, and the charts are drawn", async () => {
  const page = await visit();
  await page.goto(sites.flowing);
  const detail = page.locator("#headline .detail").first();
  const node = await detail.elementHandle();
  const before = await detail.textContent();
  await page.waitForFunction((old) => document.querySelector("#headline .detail").textContent !== old, before);
  assert.ok(await node.evaluate((element) => element.isConnected), "the element stays");
  await page.waitForSelector("#chart-rate canvas");
  await page.waitForSelector("#events .events li");
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test("focus stays on a button while the numbers around it change", async () => {
  const page = await visit();
  await page.goto(sites.flowing);
  const button = page.locator("#projections button").first();
  await button.focus();
  const rate = await page.locator("#headline .detail").first().textContent();
  await page.waitForFunction((old) => document.querySelector("#headline .detail").textContent !== old, rate);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Pause");
  await page.context().close();
});

test("without script every page shows its numbers", async () => {
  const page = await visit({ javaScriptEnabled: false });
  await page.goto(sites.flowing);
  assert.match(await page.textContent("#headline"), /Flowing/);
  assert.match(await page.textContent("#projections"), /duckdb/);
  await page.goto(`${sites.flowing}/query?sql=SELECT+1`);
  assert.match(await page.textContent("main"), /Ada Lovelace/);
  await page.context().close();
});

test("a projection is paused and resumed with one click each", async () => {
  const page = await visit();
  await page.goto(sites.flowing);
  const row = page.locator("#projections tr", { hasText: "search" }).first();
  await row.getByRole("button", { name: "Pause" }).click();
  await page.waitForSelector(".notice:has-text('pause search')");
  await page.locator("#troubles").getByRole("button", { name: "Resume" }).click();
  await page.waitForSelector(".notice:has-text('resume search')");
  await page.waitForFunction(() => !document.querySelector("#troubles").textContent.includes("paused"));
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

test("discarding asks for the name", async () => {
  const page = await visit();
  await page.goto(`${sites.broken}/dead-letters?projection=search`);
  const button = page.getByRole("button", { name: "Discard 45 records" });
  assert.ok(await button.isDisabled());
  await page.getByLabel(/to confirm/).fill("search");
  await button.click();
  await page.waitForSelector(".notice:has-text('45 records discarded')");
  await page.context().close();
});

test("keys go to places, search, help, and rows", async () => {
  const page = await visit();
  await page.goto(sites.broken);
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await page.waitForURL("**/schemas");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.name), "q");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  assert.ok(await page.locator("#help").isVisible());
  await page.keyboard.press("Escape");
  await page.locator("#help").waitFor({ state: "hidden" });
  await page.waitForFunction(() => document.activeElement === document.body);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement.rowIndex), 2);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/schemas/**");
  await page.goBack();
  await page.waitForURL("**/schemas");
  await page.context().close();
});

test("events are paused, and one is opened", async () => {
  const page = await visit();
  await page.goto(`${sites.flowing}/events`);
  await page.waitForSelector("#events li");
  await page.keyboard.press("p");
  const first = await page.locator("#events li").first().textContent();
  await page.waitForFunction((at) => Number(document.querySelector("#fresh-at").dataset.at) > at + 2000, Number(await page.getAttribute("#fresh-at", "data-at")));
  assert.equal(await page.locator("#events li").first().textContent(), first);
  await page.locator("#events li a").first().click();
  await page.waitForSelector(".whole");
  assert.match(page.url(), /show=/);
  await page.context().close();
});

test("a theme is chosen and kept", async () => {
  const page = await visit();
  await page.goto(`${sites.empty}/source`);
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await background();
  await page.getByRole("button", { name: "Dark" }).click();
  await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  assert.match(page.url(), /\/source$/);
  assert.notEqual(await background(), light);
  await page.reload();
  assert.notEqual(await background(), light);
  await page.context().close();
});

test("with a token one signs in first", async () => {
  const page = await visit();
  await page.goto(`${sites.guarded}/source`);
  await page.getByLabel("Token").fill("correct-horse-battery");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/source");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL("**/login");
  await page.context().close();
});

test("the first screen is painted soon, from little", async () => {
  const page = await visit();
  await page.goto(sites.flowing);
  await page.goto(sites.flowing);
  const painted = await page.evaluate(() => new Promise((resolve) => {
    new PerformanceObserver((list) => {
      const entry = list.getEntriesByName("first-contentful-paint")[0];
      if (entry) resolve(entry.startTime);
    }).observe({ type: "paint", buffered: true });
  }));
  console.log(`  first contentful paint: ${Math.round(painted)} ms`);
  const bytes = await page.evaluate(() => performance.getEntriesByType("resource").reduce((sum, entry) => sum + entry.encodedBodySize, 0));
  assert.ok(bytes < 100_000, `${bytes} bytes of assets`);
  await page.context().close();
});

test("a dashboard that is gone is said to be, and its numbers fade", async () => {
  const page = await visit();
  await page.goto(sites.mortal);
  await page.waitForFunction(() => document.querySelector("#headline").textContent.includes("Flowing"));
  console.log("end mortal");
  await page.waitForSelector("body.is-old", { timeout: 30_000 });
  assert.match(await page.textContent("#fresh-text"), /no word from the dashboard since .*reconnecting/);
  await page.context().close();
});

// With --portrait DIR: the first screen after some minutes, as the documents show it.
const portrait = argument("--portrait");
if (portrait) {
  test("portrait", async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(argument("--after") ?? 320)));
    for (const scheme of ["light", "dark"]) {
      const page = await visit({ scheme });
      await page.goto(sites.flowing);
      await page.waitForSelector("#chart-late canvas");
      await page.waitForTimeout(3000);
      await page.waitForFunction(() => !document.querySelector("#events").textContent.includes("<img"));
      await page.screenshot({ path: `${portrait}/dashboard-${scheme}.png`, fullPage: true });
      await page.context().close();
    }
  });
}

// The pipelines' numbers take a moment to come in.
for (const site of Object.keys(sites).filter((name) => !["guarded"].includes(name))) {
  for (let tries = 0; tries < 200; tries += 1) {
    if ((await fetch(`${sites[site]}/readyz`)).ok) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
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
