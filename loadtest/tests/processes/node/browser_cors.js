// SPDX-License-Identifier: Apache-2.0
// Pages of two origins call an API in a real browser. Arguments: the browser, a page of an origin that the API allows,
// one of an origin that it does not, and the API. Prints one JSON object: what each call came to.
const { chromium } = require("playwright-core");

const [executablePath, allowed, other, api] = process.argv.slice(2);

// Runs in the page: what a script sees of a response, or that it may not see it.
async function call([url, init]) {
  try {
    const response = await fetch(url, init);
    const fields = ["x-total", "x-hidden"].map((name) => response.headers.get(name));
    return [response.status, await response.text(), ...fields];
  } catch (error) {
    return error.name;
  }
}

const CALLS = {
  simple: ["/strict"],
  preflight: ["/strict", { method: "PUT", headers: { "x-token": "1" } }],
  method: ["/strict", { method: "DELETE" }],
  header: ["/strict", { method: "PUT", headers: { "x-other": "1" } }],
  credentials: ["/strict", { credentials: "include" }],
  any: ["/any"],
  anyWithCredentials: ["/any", { credentials: "include" }],
};

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const context = await browser.newContext();
    await context.addCookies([{ name: "who", value: "frida", url: api }]);
    const results = {};
    for (const [name, page] of Object.entries({ allowed, other })) {
      const tab = await context.newPage();
      await tab.goto(page);
      results[name] = {};
      for (const [what, [path, init]] of Object.entries(CALLS)) {
        results[name][what] = await tab.evaluate(call, [api + path, init]);
      }
    }
    console.log(JSON.stringify(results));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
