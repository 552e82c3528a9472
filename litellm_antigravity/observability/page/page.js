"use strict";
// Shows /antigravity/status and /antigravity/decisions, and asks for changes. Everything that comes from the proxy is put
// into the page as text. The key is in a header, never in an address, and in this tab's sessionStorage alone.

const EVERY_MS = 3000;
const KEPT = "antigravity-key";
const FAMILIES = { claude: "Claude", gemini: "Gemini" };
const MINUTES = 60;
const REFUSED = [400, 401, 403, 500]; // LiteLLM answers 400 or 500 to some keys, by what is installed
const SHOWN_DECISIONS = 15;

const by = (id) => document.getElementById(id);
let ahead = 0; // seconds by which the proxy's clock is ahead of this one
let timer;

// Elements

function make(tag, names = "", ...children) {
  const element = document.createElement(tag);
  if (names) element.className = names;
  element.append(...children);
  return element;
}

function drawn(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function say(element, text) { // what has not changed is left alone, so that nothing is read out again
  if (element.textContent !== text) element.textContent = text;
}

// Times

const now = () => Date.now() / 1000 + ahead;

function left(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function countdown(element, before, until) {
  element.dataset.before = before;
  element.dataset.until = until ?? "";
  tick(element);
}

function tick(element) {
  const until = element.dataset.until;
  say(element, element.dataset.before + (until ? left(Number(until) - now()) : ""));
}

const clockTime = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hourCycle: "h23" });

// Asking

function keyOfAdminUI() { // LiteLLM's admin UI signs in with the key in this token, which it reads in the same way
  const cookie = document.cookie.split("; ").find((one) => one.startsWith("token="));
  try {
    const token = cookie ? decodeURIComponent(cookie.slice("token=".length)) : sessionStorage.getItem("token");
    const said = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return { key: said.key, header: said.auth_header_name || "Authorization" };
  } catch {
    return {};
  }
}

function credentials() {
  const kept = sessionStorage.getItem(KEPT);
  const { key, header } = kept ? { key: kept, header: "Authorization" } : keyOfAdminUI();
  return key ? { [header]: `Bearer ${key}` } : null;
}

async function ask(path, body) {
  const options = { cache: "no-store", headers: { ...credentials() } };
  if (body) {
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    options.headers["Content-Type"] = "application/json";
  }
  const reply = await fetch(path, options);
  const said = await reply.json().catch(() => null);
  if (reply.ok) return said;
  const problem = typeof said?.detail === "string" ? said.detail : said?.error?.message;
  throw Object.assign(new Error(problem || `the proxy answered ${reply.status}`), { status: reply.status });
}

async function load() {
  clearTimeout(timer);
  if (!credentials()) return signIn("");
  try {
    await show();
    live("Live", false);
  } catch (error) {
    if (REFUSED.includes(error.status)) {
      sessionStorage.removeItem(KEPT);
      return signIn("That key is not accepted.");
    }
    live(error.status ? error.message : "The proxy does not answer", true);
  }
  if (!document.hidden) timer = setTimeout(load, EVERY_MS); // else it goes on when it is looked at again
}

async function show() {
  let whole;
  try {
    whole = await Promise.all([ask("status?last_hour=1"), ask("decisions")]);
  } catch (error) {
    if (!REFUSED.includes(error.status)) throw error;
    return showOwn(await ask("usage"));
  }
  showWhole(...whole);
}

function live(text, isLost) {
  by("live").classList.toggle("lost", isLost);
  say(by("live"), text);
}

// What is shown to whom

function shown(part) {
  for (const id of ["sign-in", "view"]) by(id).hidden = id !== part;
  by("session").hidden = part !== "view";
  by("sign-out").hidden = !sessionStorage.getItem(KEPT); // the admin UI has a sign-out of its own
}

function signIn(problem) {
  const isNew = by("sign-in").hidden;
  shown("sign-in");
  say(by("refused"), problem);
  if (isNew || problem) by("key").focus();
}

function showOwn(usage) {
  ahead = usage.now - Date.now() / 1000;
  shown("view");
  by("whole").hidden = true;
  by("own-view").hidden = false;
  families(usage.families);
}

function showWhole(status, decisions) {
  ahead = status.now - Date.now() / 1000;
  shown("view");
  by("whole").hidden = false;
  by("own-view").hidden = true;
  const processes = status.processes.length;
  const state = status.shared_state.shared ? "" : " · shared state cannot be used";
  say(by("about"), `${status.strategy} · ${processes} process${processes === 1 ? "" : "es"}${state}`);
  families(status.families);
  capacity(status.models_without_capacity);
  const served = new Set(status.deployments.map((one) => `${one.account} ${one.family}`));
  keyed(by("accounts"), status.accounts, (one) => one.id, newRow, (row, one) => fillRow(row, one, served, status.may_change));
  rows("deployments", status.deployments.map((one) => [one.model_group, one.model, one.account ?? "any", stateOf(one)]));
  const on = (one, family) => one.current[family] ?? "–";
  rows("processes", status.processes.map((one) => [String(one.pid), one.strategy, on(one, "claude"), on(one, "gemini")]));
  showDecisions(decisions);
}

function families(found) {
  keyed(by("families"), found, (one) => one.family, () => make("li"), (tile, one) => {
    if (!tile.firstChild) tile.append(make("span"), make("strong"), make("span", "quiet small"));
    const [name, number, next] = tile.children;
    say(name, FAMILIES[one.family] ?? one.family);
    const text = `${one.free} of ${one.accounts} free`;
    if (number.textContent !== text) number.replaceChildren(`${one.free} `, make("span", "", `of ${one.accounts} free`));
    const none = one.free === one.accounts ? "all are free" : "the others do not come back by themselves";
    const back = one.next_back_seconds;
    countdown(next, back === null ? none : "next back in ", back === null ? null : now() + back);
  });
}

function capacity(models) {
  const said = Object.entries(models).map(([model, seconds]) => `${model} has no capacity for anybody: ${left(seconds)}.`);
  if (said.length) notice(said.join(" "), false, "capacity");
  else if (by("notice").dataset.about === "capacity") by("notice").hidden = true;
}

function notice(text, isProblem, about) {
  by("notice").hidden = false;
  by("notice").dataset.about = about;
  by("notice").classList.toggle("problem", isProblem);
  say(by("notice"), text);
}

function keyed(parent, items, keyOf, create, fill) { // elements stay, so that focus and selection do
  const known = new Map([...parent.children].map((one) => [one.dataset.key, one]));
  items.forEach((item, place) => {
    const key = keyOf(item);
    const element = known.get(key) ?? create(item);
    element.dataset.key = key;
    known.delete(key);
    fill(element, item);
    if (parent.children[place] !== element) parent.insertBefore(element, parent.children[place] ?? null);
  });
  for (const gone of known.values()) gone.remove();
}

function rows(id, found) {
  const text = JSON.stringify(found);
  if (by(id).dataset.text !== text) {
    by(id).dataset.text = text;
    by(id).replaceChildren(...found.map((cells) => {
      const row = make("tr", "", ...cells.map((cell) => make("td", "", cell)));
      row.setAttribute("role", "row");
      for (const cell of row.children) cell.setAttribute("role", "cell");
      return row;
    }));
  }
  say(by(`${id}-count`), String(found.length));
}

// Accounts

function newRow() {
  const row = make("tr");
  const name = make("th", "", make("div", "name"), make("div", "quiet small whose"), make("div", "quiet small numbers"));
  name.scope = "row";
  const cells = Object.entries(FAMILIES).map(([family, title]) => {
    const cell = make("td", family, make("div", "state"), make("div", "quiet small"), make("div", "quota"));
    cell.dataset.label = title;
    return cell;
  });
  const flying = make("td", "flying number");
  flying.dataset.label = "In flight";
  const hour = make("td", "hour", make("div"), make("div", "quiet small"));
  hour.dataset.label = "Last hour";
  const acts = make("td", "acts", make("div", "actions", ...Object.keys(ACTIONS).map((action) => newButton(action, row))));
  row.append(name, ...cells, flying, hour, acts);
  row.setAttribute("role", "row");
  name.setAttribute("role", "rowheader");
  for (const cell of row.querySelectorAll("td")) cell.setAttribute("role", "cell");
  return row;
}

function fillRow(row, account, served, mayChange) {
  row.account = account;
  row.classList.toggle("off", !account.enabled);
  const models = account.models.map((one) => one.model);
  const without = models.length ? ` · without ${models.join(", ")}` : "";
  say(row.querySelector(".name"), account.account);
  say(row.querySelector(".whose"), account.in_file ? "" : "another provider");
  say(row.querySelector(".numbers"), `health ${Math.round(account.health)} · bucket ${Math.floor(account.bucket)}${without}`);
  for (const [family, title] of Object.entries(FAMILIES)) {
    const has = account.in_file || served.has(`${account.account} ${family}`); // a key may have no models of a family
    fillFamily(row.querySelector(`.${family}`), has ? account.families[family] : null, title);
  }
  say(row.querySelector(".flying"), String(account.in_flight));
  fillHour(row.querySelector(".hour"), account.last_hour);
  for (const button of row.querySelectorAll("button")) {
    const { fits, label } = ACTIONS[button.dataset.action];
    button.hidden = !(mayChange && fits(account)) && document.activeElement !== button;
    button.setAttribute("aria-label", `${label} ${account.account}${account.in_file ? "" : ", another provider"}`);
  }
}

function stateOf(one) {
  const reason = one.reason ? ` (${one.reason})` : "";
  return { ready: "ready", disabled: "disabled", out: `out${reason}`, cooling_down: `cooling down${reason}` }[one.state];
}

function fillFamily(cell, one, title) {
  const [state, why, quota] = cell.children;
  for (const part of cell.children) part.hidden = !one && part !== state;
  if (!one) {
    state.className = "quiet";
    return countdown(state, "–", null);
  }
  state.className = `state ${one.state}`;
  const words = { ready: "Ready", disabled: "Disabled", out: "Out", cooling_down: "Back in " };
  countdown(state, words[one.state], one.state === "cooling_down" ? one.until : null);
  const until = one.state === "out" ? "until somebody acts" : one.fact ? "says upstream" : "we infer";
  say(why, one.reason && one.state !== "disabled" ? `${one.reason}, ${until}` : "");
  why.title = one.message ?? "";
  quota.hidden = one.state === "disabled";
  fillQuota(quota, one.quota_left, title);
}

function fillQuota(quota, share, title) {
  const text = share === null ? "quota unknown" : share > 0 ? `${Math.round(share * 100)} % left` : "quota used up";
  if (quota.lastChild?.textContent === text) return;
  const caption = make("div", "quiet small", text);
  if (share === null) return quota.replaceChildren(caption);
  const bar = make("div", "bar");
  bar.style.setProperty("--left", `${Math.round(share * 100)}%`);
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", `${title}: ${text}`);
  caption.setAttribute("aria-hidden", "true");
  quota.replaceChildren(bar, caption);
}

function fillHour(cell, hour) {
  const text = JSON.stringify(hour) ?? "";
  if (cell.dataset.text === text) return;
  cell.dataset.text = text;
  if (!hour) { // by the setting `statistics`
    cell.children[0].replaceChildren();
    return say(cell.children[1], "not counted");
  }
  const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
  const pools = Object.entries(hour.benched).filter(([pool]) => !pool.startsWith("model:")).map(([, minutes]) => minutes);
  const benched = Array.from({ length: MINUTES }, (_, place) => pools.some((one) => one[place]));
  const said = [`${sum(hour.served)} served`, `${sum(hour.refused)} refused`];
  if (benched.includes(true)) said.push(`${sum(benched.map(Number))} min benched`);
  const strip = stripOf(hour.served, hour.refused, benched);
  strip.setAttribute("aria-label", `Last hour: ${said.join(", ")}`);
  cell.children[0].replaceChildren(strip);
  const caption = cell.children[1];
  caption.setAttribute("aria-hidden", "true");
  say(caption, said.join(" · "));
}

function stripOf(served, refused, benched) { // a bar of 4 per minute, 32 high, on a line
  const strip = drawn("svg", { viewBox: "0 0 240 34", preserveAspectRatio: "none", role: "img", class: "strip" });
  const most = Math.max(4, ...served.map((one, place) => one + refused[place]));
  const bar = (kind, place, y, height, width = 3) =>
    strip.append(drawn("rect", { class: kind, x: 4 * place, y, width, height }));
  for (let place = 0; place < MINUTES; place++) {
    if (benched[place]) bar("benched", place, 0, 32, 4);
    bar(benched[place] ? "edge" : "ground", place, 32, 2, 4);
    const [up, down] = [served[place], refused[place]].map((one) => (one ? Math.max(3, (30 * one) / most) : 0));
    if (up) bar("served", place, 32 - up, up);
    if (down) bar("refused", place, Math.max(0, 32 - up - down), down);
  }
  return strip;
}

// Changes

const any = (account, ...states) => Object.values(account.families).some((one) => states.includes(one.state));

const ACTIONS = {
  retry: {
    label: "Use again", title: "Use %s again?", fits: (account) => any(account, "out", "cooling_down"),
    text: "Once its owner has acted: it ends all its cooldowns, and forgets that a verification was noted. If upstream " +
      "still refuses it, the next request finds out.",
  },
  reset: {
    label: "Reset", fits: (account) => any(account, "out", "cooling_down") || account.models.length > 0,
    text: "It lifts the cooldowns that were inferred. What upstream said stays.", force: true,
  },
  enable: {
    label: "Enable", fits: (account) => account.in_file && any(account, "disabled"),
    text: "Every process uses it from its next request on.", family: true,
  },
  disable: {
    label: "Disable", fits: (account) => account.in_file && any(account, "ready", "out", "cooling_down"),
    text: "No process uses it from its next request on. Requests that are under way go on.", family: true,
  },
};

let asked; // what the dialog is about

function newButton(action, row) {
  const button = make("button", "", ACTIONS[action].label);
  button.type = "button";
  button.dataset.action = action;
  button.addEventListener("click", () => confirmed(action, row.account));
  return button;
}

function confirmed(action, account) {
  const { label, title = `${label} %s?`, text, family, force } = ACTIONS[action];
  asked = { action, account: account.id };
  say(by("confirm-title"), title.replace("%s", () => account.account));
  say(by("confirm-text"), text);
  say(by("yes"), label);
  say(by("confirm-problem"), "");
  by("confirm-family").hidden = !family;
  by("confirm-force").hidden = !force;
  by("family").value = "";
  by("force").checked = false;
  by("confirm").showModal();
  by("no").focus();
}

async function change() {
  by("yes").disabled = true;
  try {
    const more = ACTIONS[asked.action].force ? { force: by("force").checked } : {};
    if (ACTIONS[asked.action].family && by("family").value) more.family = by("family").value;
    const { said } = await ask("change", { ...asked, ...more });
    by("confirm").close();
    notice(said, false, "change");
  } catch (error) {
    return say(by("confirm-problem"), `Nothing was changed: ${error.message}`);
  } finally {
    by("yes").disabled = false; // at once: somebody may ask for the next change while everything is read anew
  }
  await load();
}

// Decisions

const SENTENCES = {
  chosen: (one) => ["chosen", `${one.account} for ${one.model}`, `${one.strategy}, ${one.why}; ${one.free} of ${one.accounts} free`],
  refused: (one) => ["refused", `${one.account} for ${one.model}`, one.class],
  benched: (one) => ["benched", one.account,
    `${one.class}, ${one.why === "*" ? "all models" : one.why}${one.seconds === null ? "" : `, for ${left(one.seconds)}`}`],
  switched: (one) => ["switched", `away from ${one.account}`, one.class],
  probed: (one) => ["probed", `${one.account} with ${one.model}`, "before its time"],
  back: (one) => ["back", "an account", one.why],
  waited: (one) => ["waited", `for ${one.model}`, `${one.why}, ${one.seconds} s`],
  refreshed: (one) => ["token", one.account, "a new access token"],
  outofretries: (one) => ["no retry", `${one.account} for ${one.model}`, "the host's retry budget is spent"],
  outofcapacity: (one) => ["capacity", `none for ${one.model}`, `for ${left(one.seconds)}`],
};

function showDecisions(found) {
  const last = found.filter((one) => one.what in SENTENCES).slice(-SHOWN_DECISIONS).reverse();
  const text = JSON.stringify(last);
  if (by("decisions").dataset.text === text) return;
  by("decisions").dataset.text = text;
  const items = last.map((one) => {
    const [what, about, why] = SENTENCES[one.what](one);
    const time = make("time", "", clockTime(one.at));
    time.dateTime = new Date(one.at * 1000).toISOString();
    return make("li", "", time, make("span", `what ${one.what}`, what),
      make("span", "said", `${about} `, make("span", "quiet", why ?? "")));
  });
  by("decisions").replaceChildren(...(items.length ? items : [make("li", "quiet", "None yet.")]));
}

// Begin

by("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEPT, by("key").value.trim());
  by("key").value = "";
  load();
});
by("sign-out").addEventListener("click", () => {
  sessionStorage.removeItem(KEPT);
  clearTimeout(timer);
  signIn("");
});
by("no").addEventListener("click", () => by("confirm").close());
by("yes").addEventListener("click", change);
document.addEventListener("visibilitychange", () => document.hidden || load());
setInterval(() => document.querySelectorAll("[data-until]").forEach(tick), 1000);
load();
