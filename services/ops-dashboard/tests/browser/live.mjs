// A shop, its dashboard, and everything between as it is deployed. Run by `cargo x ui`, which starts
// them and does what the lines that begin with "do" say. The tests follow each other: one pipeline,
// from its first order to its halt.
import assert from "node:assert/strict";
import { look, pictures, run, shots, sites, test, visit } from "./driver.mjs";

const { shop, dashboard } = sites;
const told = (page, selector, text, limit = 60_000) => page.waitForFunction(
  ([selector, text]) => document.querySelector(selector)?.textContent.includes(text), [selector, text], { timeout: limit },
);
const untold = (page, selector, text) => page.waitForFunction(
  ([selector, text]) => !document.querySelector(selector)?.textContent.includes(text), [selector, text], { timeout: 120_000 },
);
const wish = (text) => console.log(`do ${text}`);
const open = (page, address) => page.goto(address, { waitUntil: "domcontentloaded" });
const close = (page) => page.context().close();

// Pictures of places in both themes, each after what `ready` waits for.
async function album(name, places, ready = async () => {}) {
  if (!shots) return;
  for (const scheme of ["light", "dark"]) {
    const page = await visit({ scheme });
    for (const [place, address] of Object.entries(places)) {
      await open(page, address);
      await ready(page, place);
      await pictures(page, `live-${name}-${place}`, scheme);
    }
    await close(page);
  }
}

let order, receipt;
async function buy(page) {
  await open(page, `${shop}/shop`);
  await page.locator("form.add button:enabled").first().click();
  await open(page, `${shop}/cart`);
  await page.getByLabel("Name").fill("Grace Hopper");
  await page.getByLabel("E-mail").fill("grace@example.org");
  await page.getByRole("button", { name: "Place order" }).click();
  await page.waitForURL("**/orders/*");
  receipt = page.url();
  order = Number(receipt.split("/").pop());
}

test("before anything is sold every page says what would be there", async () => {
  await album("first", { overview: `${dashboard}/`, events: `${dashboard}/events`, letters: `${dashboard}/dead-letters`, activity: `${dashboard}/activity`, shop: `${shop}/shop`, cart: `${shop}/cart`, business: `${shop}/business`, lab: `${shop}/lab` });
});

test("an order is followed on its receipt to every place", async () => {
  const page = await visit();
  await buy(page);
  await told(page, ".saying", "Everywhere within");
  for (const place of ["committed", "in the log", "in the warehouse", "searchable", "in the audit log"]) await told(page, ".rungs", place);
  assert.deepEqual(page.problems, []);
  await close(page);
});

test("the dashboard shows the same order, where it came from and where it went", async () => {
  const page = await visit();
  await open(page, dashboard);
  for (const name of ["audit", "duckdb", "search"]) await told(page, "#projections", name);
  // What was committed before the page was opened is not in its sample: another order is.
  const buyer = await visit();
  await buy(buyer);
  await told(page, "#events", "public.orders");
  await told(page, "#headline", "Nothing lost");
  await open(page, `${dashboard}/events?topic=shop.public.orders`);
  await buy(buyer);
  await told(page, "#events", `"id":${order}`);
  await page.locator("#events li", { hasText: `"id":${order}` }).locator("a").first().click();
  await page.waitForSelector(".whole");
  assert.match(await page.textContent(".whole"), /Grace Hopper|grace@example.org|customer/);
  for (const rung of ["appended", "audit", "duckdb", "search"]) await told(page, ".whole .way", rung);
  await album("record", { whole: page.url() });
  await open(page, `${dashboard}/projections/duckdb`);
  await told(page, "main", "running");
  await open(page, `${dashboard}/schemas`);
  await told(page, "main", "shop.public.orders-value");
  await page.getByRole("link", { name: "shop.public.orders-value" }).click();
  await told(page, "main", "Version 1");
  await open(page, `${dashboard}/source`);
  await told(page, "#facts", "penstock");
  await told(page, "#facts", "streaming");
  await told(page, "#tables", "public.orders");
  await open(page, `${dashboard}/query?sql=${encodeURIComponent(`SELECT id FROM public_orders WHERE id = ${order}`)}`);
  await told(page, "main table tbody", String(order));
  await open(page, `${dashboard}/search?q=Grace`);
  await told(page, "main", "Grace Hopper");
  assert.deepEqual(page.problems, []);
  await Promise.all([page, buyer].map(close));
});

const everywhere = {
  overview: `${dashboard}/`, events: `${dashboard}/events`, projection: `${dashboard}/projections/duckdb`, letters: `${dashboard}/dead-letters`, schemas: `${dashboard}/schemas`, schema: `${dashboard}/schemas/shop.public.orders-value`,
  source: `${dashboard}/source`, services: `${dashboard}/services`, query: `${dashboard}/query?sql=SELECT%20*%20FROM%20public_orders%20LIMIT%2020`, search: `${dashboard}/search?q=Grace`, activity: `${dashboard}/activity`,
  shop: `${shop}/shop`, product: `${shop}/products/1`, cart: `${shop}/cart`, business: `${shop}/business`, lab: `${shop}/lab`,
};

test("with orders coming in, no page overflows and axe finds nothing", async () => {
  const page = await visit();
  await open(page, `${shop}/lab`);
  await page.locator('button[name="preset"][value="10"]').click();
  await told(page, ".achieved", "orders/s");
  const found = [];
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const address of [...Object.values(everywhere), receipt]) found.push(...await look(page, address));
  }
  assert.deepEqual([...found, ...page.problems], []);
  await album("data", { ...everywhere, receipt });
  await close(page);
});

test("a projection is paused and resumed, and the activity log has both", async () => {
  const page = await visit();
  await open(page, dashboard);
  const row = page.locator("#projections tr", { hasText: "search" }).first();
  await row.getByRole("button", { name: "Pause" }).click();
  await told(page, ".notice", "pause search");
  await told(page, "#troubles", "search is paused");
  await told(page, "#headline", "Paused");
  await album("paused", { overview: dashboard, lab: `${shop}/lab`, activity: `${dashboard}/activity` });
  await page.locator("#troubles").getByRole("button", { name: "Resume" }).click();
  await told(page, ".notice", "resume search");
  await untold(page, "#troubles", "paused");
  await open(page, `${dashboard}/activity`);
  const lines = await page.locator("main tbody tr").allTextContents();
  assert.match(lines[0], /resume.*search/s);
  assert.match(lines[1], /pause.*search/s);
  assert.deepEqual(page.problems, []);
  await close(page);
});

test("a projection that is held falls behind, in words, and catches up", async () => {
  const page = await visit();
  await open(page, dashboard);
  const row = page.locator("#projections tr", { hasText: "duckdb" }).first();
  await row.getByRole("button", { name: "Pause" }).click();
  await told(page, "#headline", " behind");
  await page.waitForFunction(() => /\d+\s(s|min) behind/.test(document.querySelector("#headline").textContent), undefined, { timeout: 60_000 });
  await album("behind", { overview: dashboard, projection: `${dashboard}/projections/duckdb`, business: `${shop}/business`, lab: `${shop}/lab` });
  await page.locator("#troubles").getByRole("button", { name: "Resume" }).click();
  await page.waitForFunction(() => /\d+\sms behind/.test(document.querySelector("#headline").textContent), undefined, { timeout: 60_000 });
  assert.deepEqual(page.problems, []);
  await close(page);
});

test("a value that cannot be held is a dead letter, refused again, and given up", async () => {
  const page = await visit();
  await open(page, `${shop}/lab`);
  await page.getByRole("button", { name: "Send it" }).click();
  await told(page, ".notes", "weighs NaN");
  await open(page, dashboard);
  await told(page, "#troubles", "parked in duckdb");
  await told(page, "#headline", "parked");
  await page.locator("#troubles").getByRole("link", { name: "Look at them" }).click();
  await page.waitForURL("**/dead-letters?projection=duckdb");
  await album("letters", { overview: dashboard, list: page.url() });
  await page.locator("tbody a").first().click();
  await told(page, "main", "Original bytes");
  await told(page, "main", "NaN");
  await album("letters", { whole: page.url() });
  await page.getByRole("button", { name: "Replay 1 record" }).click();
  await told(page, ".notice", "still cannot be applied");
  const discard = page.getByRole("button", { name: /^Discard 1 record/ });
  await page.getByRole("button", { name: /^Discard 1 record/, disabled: true }).waitFor();
  await page.getByLabel(/to confirm/).fill("duckdb");
  await discard.click();
  await told(page, ".notice", "1 record discarded");
  await open(page, dashboard);
  await untold(page, "#headline", "parked");
  await open(page, `${dashboard}/activity`);
  await told(page, "main", "discard");
  assert.deepEqual(page.problems, []);
  await close(page);
});

test("a column that was not there is a new version of the schema", async () => {
  const page = await visit();
  await open(page, `${shop}/lab`);
  await page.getByRole("button", { name: "Add it" }).click();
  await told(page, ".notes", "lab_1");
  await page.waitForFunction(async (address) => (await (await fetch(address)).text()).includes("lab_1"), `${shop}/lab`);
  await open(page, `${dashboard}/schemas/shop.public.products-value`);
  while (!(await page.textContent("main")).includes("lab_1")) await open(page, `${dashboard}/schemas/shop.public.products-value`);
  await album("column", { schema: page.url(), schemas: `${dashboard}/schemas` });
  await close(page);
});

for (const [service, faded] of [["capture", "#source .faded"], ["projector", "#projections tr.faded"]]) {
  test(`a killed ${service} is said to be gone within five seconds, and to be back`, async () => {
    const page = await visit();
    await open(page, dashboard);
    await told(page, "#fresh-text", "live");
    wish(`kill ${service}`);
    const begun = Date.now();
    await told(page, "#troubles", `${service} does not answer`);
    await page.waitForSelector(faded);
    const took = Date.now() - begun;
    console.log(`  said after ${took} ms`);
    assert.ok(took < 5_000, `${took} ms`);
    await told(page, "#fresh-text", "not answer");
    if (service === "capture") await buy(await visit());
    await album(`no-${service}`, { overview: dashboard, source: `${dashboard}/source`, services: `${dashboard}/services`, projection: `${dashboard}/projections/duckdb`, query: everywhere.query, lab: `${shop}/lab`, business: `${shop}/business`, receipt });
    wish(`start ${service}`);
    await told(page, "#fresh-text", "live", 120_000);
    await untold(page, "#troubles", "does not answer");
    assert.deepEqual(page.problems, []);
    await close(page);
  });
}

test("a frozen projector is told from a slow one", async () => {
  const page = await visit();
  await open(page, dashboard);
  await told(page, "#fresh-text", "live");
  wish("freeze projector");
  await told(page, "#troubles", "projector does not answer");
  await told(page, "#troubles", "it has told nothing for");
  wish("thaw projector");
  await untold(page, "#troubles", "does not answer");
  await close(page);
});

test("a dashboard that was away is found again by the page itself", async () => {
  const page = await visit();
  await open(page, dashboard);
  await told(page, "#fresh-text", "live");
  wish("kill ops-dashboard");
  await page.waitForSelector("body.is-old", { timeout: 30_000 });
  await told(page, "#fresh-text", "no word from the dashboard since");
  wish("start ops-dashboard");
  await page.waitForSelector("body:not(.is-old)", { timeout: 60_000 });
  await told(page, "#fresh-text", "live");
  await told(page, "#projections", "duckdb");
  await close(page);
});

test("a slot that is gone is a halt that says what to do", async () => {
  const page = await visit();
  await open(page, dashboard);
  await told(page, "#fresh-text", "live");
  // Before capture's next session takes it; and then its last word, before the process ends.
  wish(`sql DO $$ DECLARE slot name := (SELECT slot_name FROM pg_replication_slots);
    BEGIN LOOP BEGIN
      PERFORM pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots;
      PERFORM pg_drop_replication_slot(slot);
      EXIT;
    EXCEPTION WHEN object_in_use THEN NULL; END; END LOOP; END $$`.replace(/\s+/g, " "));
  await told(page, "#headline", "Halted", 120_000);
  await told(page, "#troubles", "Capture halted");
  await told(page, "#troubles", "capture does not answer");
  assert.match(await page.textContent("#troubles .remedy"), /\w+ \w+/);
  await album("halted", { overview: dashboard, source: `${dashboard}/source`, receipt, lab: `${shop}/lab` });
  assert.deepEqual(page.problems, []);
  await close(page);
});

await run();
