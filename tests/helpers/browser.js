// A real browser for tests: a line of JSON on standard input says what to do, a line on standard output what came of it.
// What to do is a list of calls, [method, ...arguments], each on what the one before returned; the first on the page.
// Usage: node browser.js, with playwright-core where node finds it, and chromium (BROWSER_CHROMIUM).
const { chromium } = require("playwright-core");
const { createInterface } = require("node:readline");

(async () => {
  const browser = await chromium.launch({ executablePath: process.env.BROWSER_CHROMIUM, args: ["--no-sandbox"] });
  let page;
  const requests = [];
  const problems = [];
  const own = {
    open: async (options) => {
      await page?.context().close();
      requests.length = problems.length = 0; // those of another test
      page = await (await browser.newContext(options)).newPage();
      page.setDefaultTimeout(60000);
      page.on("request", (request) => requests.push([request.method(), request.url()]));
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") problems.push(message.text());
      });
    },
    requests: () => requests,
    problems: () => problems,
  };
  try {
    for await (const line of createInterface({ input: process.stdin })) {
      let said;
      try {
        let found = page;
        for (const [method, ...given] of JSON.parse(line)) {
          const at = own[method] ? own : found;
          found = await (typeof at[method] === "function" ? at[method](...given) : at[method]);
        }
        said = { found: Array.isArray(found) || typeof found !== "object" ? (found ?? null) : null };
      } catch (error) {
        said = { error: String(error) };
      }
      process.stdout.write(JSON.stringify(said) + "\n");
    }
  } finally {
    await browser.close();
  }
})();
