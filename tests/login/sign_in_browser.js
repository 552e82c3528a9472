// A person with a real browser: opens the page, presses the button of that name, and says what the browser shows then.
// Usage: node sign_in_browser.js BUTTON ADDRESS, with playwright-core where node finds it, and chromium.
const { chromium } = require("playwright-core");
const { appendFileSync } = require("node:fs");

(async () => {
  const [button, address] = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath: process.env.SIGN_IN_CHROMIUM, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(address);
    if (process.env.SIGN_IN_PICTURE) await page.screenshot({ path: process.env.SIGN_IN_PICTURE });
    await page.getByRole("button", { name: button, exact: true }).click();
    await page.waitForURL(/\/oauth-callback\?/);
    appendFileSync(process.env.SIGN_IN_SHOWN, (await page.getByRole("heading").innerText()) + "\n");
  } finally {
    await browser.close();
  }
})();
