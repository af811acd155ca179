// SPDX-License-Identifier: Apache-2.0
// A person in a real browser: signs in at the issuer's forms, and lets a page call with and without the session.
// Arguments: the browser and the page that the person wants to see. Prints one JSON object.
const { chromium } = require("playwright-core");

const [executablePath, page] = process.argv.slice(2);

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const context = await browser.newContext();
    const tab = await context.newPage();
    await tab.goto(page);
    await tab.fill("input[name=login]", "frida");
    await tab.fill("input[name=password]", "x");
    await tab.click("button[type=submit]");
    await tab.waitForSelector("input[name=prompt][value=consent]", { state: "attached" });
    await tab.click("button[type=submit]");
    await tab.waitForURL(page);
    const cookies = await context.cookies(page);
    const fetched = await tab.evaluate(async () => (await fetch("/api")).status);
    const strangers = await tab.evaluate(async () => (await fetch("/api", { credentials: "omit" })).status);
    const cookie = cookies.find((cookie) => cookie.name === "session");
    console.log(JSON.stringify({ place: tab.url(), cookie, fetched, strangers }));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
