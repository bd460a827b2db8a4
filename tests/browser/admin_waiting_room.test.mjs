// A waiting room is set up on a quiet day, by the control room's pages alone: settings, draw, invitations, rehearsal.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { DESKTOP, PHONE, visit } from "./support/browser.mjs";
import { account, go, settled, signIn } from "./support/admin.mjs";
import { admin, demo, exhibition, sql, until } from "./support/system.mjs";

const wide = (locale) => ({ locale, device: DESKTOP });
const both = (name, body) => { for (const locale of ["ko", "en"]) visit(`control room: waiting room, ${name}, ${locale}`, wide(locale), body); };
const dialog = (page) => page.locator("dialog[open]");
const submit = (page) => dialog(page).locator("[type=submit]");
const gone = (page) => dialog(page).waitFor({ state: "detached" });
const rows = (page) => page.locator("main tbody tr");
/** The form of one part, by a field that it has. */
const part = (page, field) => page.locator("main form", { has: page.locator(`[name='${field}']`) });
const fill = async (place, values) => { for (const [name, value] of Object.entries(values)) await place.locator(`[name='${name}']`).fill(String(value)); };
const press = (form) => form.locator("[type=submit]").click();
const save = async (form) => { await press(form); await form.locator(".told", { hasText: /./ }).waitFor(); };
const wrong = (place, name) => place.locator(`[name='${name}'][aria-invalid=true]`).waitFor();
const room = (code) => admin("GET", `exhibitions/${code}/room`);
const set = async (code, config) => admin("PUT", `exhibitions/${code}/room`, { config });
const to = async (code, phase) => admin("POST", `exhibitions/${code}/room/phase`, { to: phase });
/** The clock on a wall in Seoul, as a field has it: a browser leaves out seconds that are none. */
const seoul = (ahead_s) => new Date(Date.now() + (9 * 3600 + ahead_s) * 1000).toISOString().slice(0, 19).replace(/:00$/, "");
const DAY_S = 86_400;

both("from nothing to a schedule", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422).add(409).add(412);
  const code = await exhibition();
  await signIn(page, `#/${code}`, await account("admin", [code]));
  await settled(page);
  await page.locator(`#pages a[href='#/${code}/room']`).click();
  await page.locator("[name=capacity]").waitFor();
  await settled(page);
  await page.locator(".advice li").nth(2).waitFor();
  await visitor.inspect("control room, waiting room, nothing yet");

  // What is wrong is said at its field, and nothing of it was done.
  const pace = part(page, "capacity"), schedule = part(page, "opens_at");
  await fill(pace, { capacity: 0, rate_per_min: "", hard_s: 100 });
  await press(pace);
  await wrong(pace, "rate_per_min");
  await fill(pace, { rate_per_min: 600 });
  await press(pace);
  await wrong(pace, "capacity");
  await wrong(pace, "hard_s");
  await fill(pace, { capacity: 200, hard_s: 240, idle_s: 300 });
  await press(pace);
  await wrong(pace, "hard_s");
  await fill(schedule, { prequeue_at: seoul(-DAY_S).slice(0, 16), freeze_lead_s: 5 });
  await press(schedule);
  await wrong(schedule, "prequeue_at");
  await wrong(schedule, "freeze_lead_s");
  await visitor.inspect("control room, waiting room, wrong settings");
  assert.equal((await sql(`select count(*) from rooms r join exhibitions e on e.id = r.exhibition_id where e.code = '${code}'`))[0][0], "0", "nothing was made");

  await fill(pace, { hard_s: 900 });
  await save(pace);
  const [gathers, opens] = [seoul(2 * DAY_S).slice(0, 11) + "19:00", seoul(2 * DAY_S).slice(0, 11) + "19:00"];
  await fill(schedule, { prequeue_at: gathers, opens_at: opens, freeze_lead_s: 120 });
  await schedule.locator("[name=beacon]").selectOption("drand");
  await press(schedule);
  await wrong(schedule, "opens_at");
  await fill(schedule, { opens_at: opens.replace("19:00", "20:00") });
  await save(schedule);
  for (const [field, value] of [["invited_share_pct", 30], ["safety_on_per_s", 50], ["brake_error_pct", 7]]) {
    await fill(part(page, field), { [field]: value });
    await save(part(page, field));
  }
  const { config } = await room(code);
  assert.deepEqual([config.capacity, config.rate_per_min, config.idle_s, config.hard_s, config.beacon, config.draw], [200, 600, 300, 900, "drand", true]);
  assert.deepEqual([config.invited_share_pct, config.safety_on_per_s, config.brake_error_pct, config.freeze_lead_s], [30, 50, 7, 120]);
  assert.equal(Date.parse(config.opens_at), Date.parse(`${opens.replace("19:00", "20:00")}:00+09:00`));
  // Of what to know before the day, nothing but the sale that has begun is left.
  await page.waitForFunction(() => document.querySelectorAll(".advice li").length === 1);
  await visitor.inspect("control room, waiting room, set up");

  // Two people at once: whoever is later reads what the other has done before anything is saved.
  await set(code, { capacity: 250 });
  await fill(pace, { slack: 20 });
  await press(pace);
  await pace.getByRole("alert").waitFor();
  assert.equal(await pace.locator("[name=slack]").inputValue(), "20", "what was typed is still there");
  assert.equal((await room(code)).config.slack, 15);
  await visitor.inspect("control room, waiting room, changed meanwhile");
  await pace.getByRole("alert").locator("button").click();
  await page.waitForFunction(() => document.querySelector("[name=capacity]")?.value === "250");

  // Emptied, nothing happens by itself.
  await fill(schedule, { prequeue_at: "", opens_at: "" });
  await save(schedule);
  assert.deepEqual([(await room(code)).config.prequeue_at, (await room(code)).config.opens_at], [null, null]);
  await schedule.locator("[name=draw]").uncheck();
  await save(schedule);

  // Opened, what was announced stays, and what counts at once is asked about.
  await page.locator("button[data-to=open]").click();
  await submit(page).click();
  await gone(page);
  await page.locator("button[data-to=stopped]").waitFor();
  await page.locator("[name=opens_at]:disabled").waitFor();
  await fill(part(page, "capacity"), { capacity: 30 });
  await press(part(page, "capacity"));
  await dialog(page).getByText("250 → 30").waitFor();
  await visitor.inspect("control room, waiting room, changed while it is open");
  await dialog(page).locator("button.quiet").click();
  await gone(page);
  assert.equal((await room(code)).config.capacity, 250, "thought better of it");
  await press(part(page, "capacity"));
  await submit(page).click();
  await part(page, "capacity").locator(".told", { hasText: /./ }).waitFor();
  assert.equal((await room(code)).config.capacity, 30);
  await visitor.inspect("control room, waiting room, open");
  await page.locator("button[data-to=stopped]").click();
  await submit(page).click();
  await dialog(page).locator("[name=reason_ko][aria-invalid=true]").waitFor();
  await page.keyboard.press("Escape");

  await go(page, `#/${code}/room/history`);
  await rows(page).nth(7).waitFor();
  assert.equal(await rows(page).first().getByText("250").count(), 1, "the newest first");
  assert.doesNotMatch(await page.locator("main tbody").textContent(), /\dT\d\d:/, "times are told as everywhere else");
  await visitor.inspect("control room, waiting room, history");
  // The board leads here.
  await go(page, `#/${code}/live`);
  await page.locator(`main a[href='#/${code}/room']`).click();
  await page.locator("[name=capacity]").waitFor();
  assert.equal(await page.locator("h1").innerText(), locale === "ko" ? "대기실" : "Waiting room");
  visitor.wellMade();
});

both("invitations", async (visitor) => {
  const { page, locale, context } = visitor;
  visitor.refusals.add(422).add(409).add(412);
  const code = await exhibition();
  await set(code, { draw: false });
  await to(code, "open");
  await signIn(page, `#/${code}/room/invites`, await account("admin", [code]));
  await page.locator("[name=count]").waitFor();
  await settled(page);
  await page.getByRole("alert").waitFor();
  await visitor.inspect("control room, invitations, no share");
  await set(code, { invited_share_pct: 30 });
  await page.getByRole("alert").waitFor({ state: "detached" });
  const form = part(page, "count");
  await press(form);
  await wrong(form, "count");
  await fill(form, { count: 501 });
  await press(form);
  await wrong(form, "count");
  await visitor.inspect("control room, invitations, too many");
  await fill(form, { count: 3, note: "후원회 friends" });
  await press(form);
  await dialog(page).locator("p").nth(1).waitFor();
  await visitor.inspect("control room, invitations, asked");
  await dialog(page).locator("button.quiet").click();
  await gone(page);
  assert.equal(await rows(page).count(), 0, "thought better of it");
  await press(form);
  await submit(page).click();
  await page.locator("#invite-links").waitFor();
  const links = (await page.locator("#invite-links").inputValue()).split("\n");
  assert.equal(new Set(links).size, 3);
  await visitor.inspect("control room, invitations, made");
  // Shown once: whoever has not kept them is asked before they are gone.
  await page.keyboard.press("Escape");
  await dialog(page).getByRole("alert").waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), dialog(page).getByRole("button", { name: locale === "ko" ? "파일로 저장" : "Save as a file" }).click()]);
  assert.equal(file.suggestedFilename(), `invites-${code}-run-1.txt`);
  assert.equal(readFileSync(await file.path(), "utf8"), `${links.join("\n")}\n`);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await dialog(page).getByRole("button", { name: locale === "ko" ? "모두 복사" : "Copy all" }).click();
  await until("they are copied", async () => (await page.evaluate(() => navigator.clipboard.readText())) === links.join("\n"));
  await dialog(page).locator("button").last().click();
  await gone(page);
  await rows(page).first().getByText("후원회 friends").waitFor();
  assert.equal(await page.getByText(links[0]).count(), 0, "kept nowhere");
  await visitor.inspect("control room, invitations");

  // A link leads into the lane of the invited, and serves one device.
  const join = async (link) => {
    const device = await context.browser().newContext({ baseURL: demo.base_url, locale: locale === "ko" ? "ko-KR" : "en-GB" });
    const guest = await device.newPage();
    const { pathname, search } = new URL(link);
    await guest.goto(pathname + search);
    await guest.locator("form[data-call=join] button").click();
    return { device, guest };
  };
  const first = await join(links[0]);
  await first.guest.getByText(locale === "ko" ? "초대" : "Invited guests", { exact: true }).waitFor();
  await first.device.close();
  const second = await join(links[0]);
  await second.guest.getByText(locale === "ko" ? "다른 기기에서 이미 사용되었습니다" : "already been used on another device").first().waitFor();
  await second.device.close();

  // Another run makes them void, and a room that is over invites nobody.
  await to(code, "drain");
  await to(code, "ended");
  await page.locator("[name=count]").waitFor({ state: "detached" });
  await visitor.inspect("control room, invitations, the room is over");
  await to(code, "idle");
  await page.locator("[name=count]").waitFor();
  await page.locator("main tbody", { hasText: locale === "ko" ? "사용 불가" : "Void" }).waitFor();
  visitor.wellMade();
});

visit("control room: waiting room, a draw by two admins, en", wide("en"), async (visitor) => {
  const { page, context } = visitor;
  // The public page asks for the visitor's own proof, and this browser has no number.
  visitor.refusals.add(422).add(409).add(401);
  const code = await exhibition(), [one, two] = [await account("admin", [code]), await account("admin", [code])];
  await signIn(page, `#/${code}/room`, one);
  const schedule = part(page, "opens_at");
  await schedule.waitFor();
  await schedule.locator("[name=beacon]").selectOption("manual");
  await fill(schedule, { opens_at: seoul(75), freeze_lead_s: 20 });
  await save(schedule);
  await page.locator("button[data-to=prequeue]").click();
  await submit(page).click();
  await gone(page);
  await page.locator("[name=opens_at]:disabled").waitFor();
  await go(page, `#/${code}/room/draw`);
  await page.locator(".timeline .event code").waitFor();
  assert.equal(await page.locator(".timeline .event").count(), 1, "announced");
  await visitor.inspect("control room, draw, announced");
  // Somebody takes part, so that there is an order to draw.
  const device = await context.browser().newContext({ baseURL: demo.base_url, locale: "en-GB" }), guest = await device.newPage();
  await guest.goto(`/${code}/queue`);
  await guest.locator("form[data-call=join] button").click();
  await guest.locator("form[data-call=join]").waitFor({ state: "detached" });

  const theirs = await context.browser().newContext({ baseURL: demo.base_url, ...DESKTOP, locale: "en-GB" }), their_page = await theirs.newPage();
  await signIn(their_page, `#/${code}/room/draw`, two);
  // The field comes by itself with the announced second.
  await page.locator("[name=value]").waitFor({ timeout: 90_000 });
  const form = part(page, "value"), their_form = part(their_page, "value");
  await press(form);
  await wrong(form, "value");
  await visitor.inspect("control room, draw, a value is wanted");
  await fill(form, { value: "03 11 17 24 31 40" });
  await press(form);
  await dialog(page).getByText("03 11 17 24 31 40").waitFor();
  await visitor.inspect("control room, draw, the value is asked for once more");
  await submit(page).click();
  await page.getByText("1 of 2").waitFor();
  await fill(their_form, { value: "03 11 17 24 31 41" });
  await press(their_form);
  await submit(their_page).click();
  await their_form.getByRole("alert").waitFor();
  assert.equal((await room(code)).beacon_entries, 1, "another value is no agreement");
  await fill(their_form, { value: "03 11 17 24 31 40" });
  await press(their_form);
  await submit(their_page).click();
  await page.locator(".timeline .event").nth(3).waitFor({ timeout: 30_000 });
  const drawn = await room(code);
  assert.deepEqual([drawn.draw.m, drawn.draw.weak, drawn.draw.beacon_value], [1, false, Buffer.from("03 11 17 24 31 40").toString("hex")]);
  await settled(page);
  await visitor.inspect("control room, draw, drawn");
  // Where the links lead, the same is public.
  const [public_page] = await Promise.all([context.waitForEvent("page"), page.locator(`main a[href='/${code}/queue/draw']`).click()]);
  await public_page.getByText(drawn.draw.seed_hash).first().waitFor();
  await Promise.all([theirs.close(), device.close()]);
  visitor.wellMade();
});

both("the draw in all its states", async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(503);
  const code = await exhibition(), real = await room(code), hash = (n) => String(n).repeat(64).slice(0, 64), at = (s) => new Date(Date.now() + s * 1000).toISOString();
  const told = (changes, draw, config) => ({ ...real, phase: "frozen", legal_moves: ["stopped"], revision: 5, beacon_at: at(-5), closed_at: at(-20), ...changes, config: { ...real.config, beacon: "manual", ...config }, draw: { ...real.draw, round: 4_000_000, seed_hash: hash(1), ...draw } });
  let now = { ...told({ phase: "idle", revision: 1, beacon_at: null, closed_at: null, legal_moves: ["prequeue"] }, { round: 0, seed_hash: "" }) }, down = false;
  await page.route(`**/exhibitions/${code}/room`, (route) => (down ? route.fulfill({ status: 503, json: { code: "server.database_away", detail: "…" } }) : route.fulfill({ json: now })));
  await signIn(page, `#/${code}/room/draw`, await account("admin", [code]));
  await page.locator(".timeline").waitFor();
  await visitor.inspect("control room, draw, nothing announced");
  for (const [name, next] of [
    ["drand", told({ beacon_verified: true, beacon_at: at(600), closed_at: null, phase: "prequeue" }, {}, { beacon: "drand" })],
    ["one has entered it", told({ beacon_entries: 1 }, { m: 18_204, root: hash(2) })],
    ["agreed", told({ beacon_entries: 2 }, { m: 18_204, root: hash(2) })],
    ["without a beacon", told({ drawn_at: at(0) }, { m: 18_204, root: hash(2), server_seed: hash(3), seed: hash(4), weak: true }, { beacon: "local" })],
    ["no draw", told({ phase: "open", beacon_at: null, closed_at: null }, { seed_hash: "" }, { draw: false })],
  ]) {
    now = next;
    await page.reload();
    await settled(page);
    await visitor.inspect(`control room, draw, ${name}`);
  }
  down = true;
  await page.reload();
  await page.getByRole("alert").waitFor();
  await visitor.inspect("control room, draw, trouble");
  visitor.wellMade();
});

both("a rehearsal", async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(422).add(409).add(412);
  const code = await exhibition();
  await set(code, { draw: false });
  await signIn(page, `#/${code}/room/rehearsal`, await account("admin", [code]));
  const form = part(page, "people");
  await form.waitFor();
  await settled(page);
  await fill(form, { people: 0, arrive_s: 10, stay_s: 601 });
  await press(form);
  await submit(page).click();
  await wrong(form, "people");
  await wrong(form, "stay_s");
  await fill(form, { people: 40, stay_s: 10 });
  await visitor.inspect("control room, rehearsal, asked for");
  await press(form);
  await submit(page).click();
  // Tickets are on sale: that takes a decision.
  await form.getByRole("alert").waitFor();
  assert.equal((await room(code)).rehearsal, null);
  await form.locator("[name=during_sale]").check();
  await press(form);
  await visitor.inspect("control room, rehearsal, asked");
  await submit(page).click();
  await form.waitFor({ state: "detached" });
  await page.waitForFunction(() => Number(document.querySelector("[data-figure=joined]")?.textContent) >= 30, null, { timeout: 40_000 });
  await visitor.inspect("control room, rehearsal, running");
  // The room's own page says so, and lets nobody touch the schedule.
  await go(page, `#/${code}/room`);
  await page.locator("[name=prequeue_at]:disabled").waitFor();
  await visitor.inspect("control room, waiting room, during a rehearsal");
  await go(page, `#/${code}/room/invites`);
  await page.locator("[name=count]").waitFor();
  await visitor.inspect("control room, invitations, during a rehearsal");
  await go(page, `#/${code}/room/rehearsal`);
  await page.locator("main button.danger").click();
  await submit(page).click();
  await gone(page);
  await part(page, "people").waitFor();
  assert.equal((await room(code)).phase, "idle");
  await visitor.inspect("control room, rehearsal, over");
  visitor.wellMade();
});

both("messages on the board", async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  // Nobody has to send them: they are not due while this goes on.
  await sql(`insert into outbox (kind, order_id, exhibition_id, state, tries, outcome, next_try_at, created_at, done_at)
    select 'order_paid', gen_random_uuid(), e.id, s.state, 1, s.outcome, now() + interval '1 hour', now(), case s.state when 'dead' then now() end
      from exhibitions e, (values ('pending', null), ('pending', 'timeout'), ('dead', 'timeout')) as s (state, outcome) where e.code = '${code}'`);
  await signIn(page, `#/${code}/live`, await account("admin", [code]));
  const shown = (name) => page.locator(`#live-messages-${name}`);
  await page.locator("#live-messages-dead", { hasText: "1" }).waitFor();
  assert.deepEqual(await Promise.all(["pending", "failing", "dead", "set_aside"].map((name) => shown(name).innerText())), ["2", "1", "1", "0"]);
  assert.equal(await page.locator(".counts .tile.bad").count(), 2, "what fails and what was given up stands out");
  assert.match(await page.locator("#live-counted").innerText(), /\d/, "and how old that is");
  await visitor.inspect("control room, live, messages");
  // While it is looked at, the link stays the same, and what has gone goes from the board.
  await page.locator(`main a[href='#/${code}/operations']`).focus();
  await sql(`delete from outbox where exhibition_id = (select id from exhibitions where code = '${code}') and state = 'pending'`);
  await page.locator("#live-messages-pending", { hasText: "0" }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/admin#/${code}/operations`);
  await rows(page).first().waitFor();
  await sql(`delete from outbox where exhibition_id = (select id from exhibitions where code = '${code}')`);
  visitor.wellMade();
});

visit("control room: waiting room, on a phone, ko", { locale: "ko", device: PHONE }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  await set(code, { invited_share_pct: 20 });
  await admin("POST", `exhibitions/${code}/room/invites`, { count: 2, note: "후원회" });
  await signIn(page, `#/${code}/room`, await account("admin", [code]));
  for (const tab of ["", "/draw", "/invites", "/rehearsal", "/history"]) {
    await go(page, `#/${code}/room${tab}`);
    await page.locator("main .panel, main tbody").first().waitFor();
    await visitor.inspect(`control room, phone, room${tab.replace("/", " ")}`);
  }
  visitor.wellMade();
});
