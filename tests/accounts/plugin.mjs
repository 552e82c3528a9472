// The npm package opencode-antigravity-auth, by its own storage and account modules: one order per line of standard
// input, one answer per line of standard output, both JSON. Usage: node plugin.mjs FOLDER_OF_THE_PACKAGE
import { register } from "node:module";
import { pathToFileURL } from "node:url";
import { createInterface } from "node:readline";

// The package is built for a bundler: its imports have no endings, which node insists on.
const hooks = `
export async function resolve(specifier, context, next) {
  if (!specifier.startsWith(".")) return next(specifier, context);
  for (const ending of ["", ".js", "/index.js"]) {
    try { return await next(specifier + ending, context); } catch (error) { if (ending === "/index.js") throw error; }
  }
}`;
register("data:text/javascript," + encodeURIComponent(hooks));

const folder = process.argv[2];
const load = (name) => import(pathToFileURL(`${folder}/dist/src/plugin/${name}.js`).href);
const storage = await load("storage");
const { AccountManager } = await load("accounts");
let manager;

const orders = {
  read: () => storage.loadAccounts(),
  open: async () => { manager = await AccountManager.loadFromDisk(); return manager.getAccountCount(); },
  save: () => manager.saveToDisk(),
  // What its menu does: a switch in memory, then everything that it has in memory into the file.
  enable: async ({ index, enabled }) => { manager.setAccountEnabled(index, enabled); await manager.saveToDisk(); },
  verification: async ({ index, url }) => {
    manager.markAccountVerificationRequired(index, "verify", url);
    await manager.saveToDisk();
  },
  merge: ({ accounts }) => storage.saveAccounts({ version: 4, accounts, activeIndex: 0 }),
  replace: ({ accounts }) => storage.saveAccountsReplace({ version: 4, accounts, activeIndex: 0 }),
  saves: async ({ count }) => { for (let i = 0; i < count; i++) await manager.saveToDisk(); },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  try {
    console.log(JSON.stringify({ answer: (await orders[order.name](order)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
process.exit(0);
