// One engineer's way through the pages in a real Chromium; prints what was found as one JSON object.
// usage: node journey.mjs BASE_URL PICTURES_FOLDER MODULES_FOLDER RUN
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [base, pictures, modules, run] = process.argv.slice(2);
const require = createRequire(join(modules, "index.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: process.env.PILOTLINE_CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const found = { errors: [], violations: {}, pages: {} };

async function audit(page, name) {
  // Evaluated, not added as a script element: the content security policy of the pages refuses inline scripts.
  await page.evaluate(axe);
  const report = await page.evaluate(() => window.axe.run());
  found.violations[name] = report.violations.map((item) => `${item.id}: ${item.nodes.map((node) => node.target).join(" ")}`);
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: false });
}

async function visit(locale, scheme) {
  const context = await browser.newContext({ locale, colorScheme: scheme, viewport: { width: 1280, height: 860 }, timezoneId: "America/New_York" });
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error") found.errors.push(`${page.url()}: ${message.text()}`); });
  page.on("pageerror", (error) => found.errors.push(`${page.url()}: ${error.message}`));
  const tag = `${locale.slice(0, 2)}-${scheme}`;
  await page.goto(`${base}/board`);
  await page.waitForSelector("#connection[data-state='live'], #connection[data-state='delayed']", { timeout: 15000 });
  found.pages[`board-${tag}`] = {
    rows: await page.locator("tbody tr").count(),
    title: await page.locator("h1").innerText(),
    language: await page.evaluate(() => document.documentElement.lang),
    connection: await page.locator("#connection").innerText(),
  };
  await audit(page, `board-${tag}`);
  await page.click(`a[href$='/runs/${run}']`);
  await page.waitForSelector("#chart canvas", { timeout: 15000 });
  const failed = page.locator("tr[data-word='fail'], tr[data-word='inconclusive']").first();
  const chosen = (await failed.count()) ? failed : page.locator("tr[data-criterion]").first();
  await chosen.focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#evidence dl.facts dd");
  await page.waitForSelector("#evidence table tbody tr");
  found.pages[`run-${tag}`] = {
    criteria: await page.locator("tr[data-criterion]").count(),
    chosen: await chosen.getAttribute("data-criterion"),
    address: page.url(),
    facts: await page.locator("#evidence dl.facts dt").count(),
    samples: await page.locator("#evidence table tbody tr").count(),
    legend: await page.locator("#chart .u-legend").innerText(),
    connection: await page.locator("#connection").getAttribute("data-state"),
  };
  await audit(page, `run-${tag}`);
  await page.goto(`${base}/runs/${run}/compare?baseline=d00`);
  await page.waitForSelector("#overlay canvas", { timeout: 15000 });
  found.pages[`compare-${tag}`] = {
    title: await page.locator("h1").innerText(),
    clipped: await page.locator(".scroll").first().evaluate((box) => box.scrollWidth - box.clientWidth),
    phases: await page.locator("tr[data-phase]").evaluateAll((rows) => [...new Set(rows.map((row) => row.dataset.phase))]),
  };
  await audit(page, `compare-${tag}`);
  const nowhere = await context.newPage();
  const answer = await nowhere.goto(`${base}/runs/nowhere`);
  found.pages[`nowhere-${tag}`] = { status: answer.status(), title: await nowhere.locator("h1").innerText(), back: await nowhere.locator("main a.button").getAttribute("href") };
  await nowhere.close();
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto(`${base}/board`);
  found.pages[`narrow-${tag}`] = { clipped: await page.locator(".scroll").first().evaluate((box) => box.scrollWidth - box.clientWidth) };
  await context.close();
}

try {
  await visit("en-GB", "light");
  await visit("zh-CN", "dark");
} finally {
  await browser.close();
}
console.log(JSON.stringify(found));
