// The control room, as those who run an exhibition use it.

import assert from "node:assert/strict";
import { DESKTOP, visit } from "./support/browser.mjs";
import { account, board, dashboard, events, fillSignIn, go, PASSWORD, settled, signIn, totp } from "./support/admin.mjs";
import { admin, buysUp, demo, exhibition, readQr, shown, sql, until } from "./support/system.mjs";

const wide = (locale, refusals = []) => ({ locale, device: DESKTOP, refusals });
const dialog = (page) => page.locator("dialog[open]");
const both = (name, body) => { for (const locale of ["ko", "en"]) visit(`control room: ${name}, ${locale}`, wide(locale), body); };
const status = (page) => page.locator("#said");

/** The live board's stream, written by the test: each call is answered by the next of `answers`; after them nothing comes. */
async function stream(page, ...answers) {
  let asked = 0;
  await page.route("**/api/admin/exhibitions/*/live", async (route) => {
    assert.match(route.request().headers().authorization, /^Bearer /);
    const answer = answers[asked++];
    if (answer) await route.fulfill(answer);
  });
  return () => asked;
}
const told = (...boards) => ({ status: 200, contentType: "text/event-stream", body: events(...boards) });

both("signing in, and who one is", async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(401);
  await page.goto("/admin#/people");
  await page.locator("[name=username]").waitFor();
  await visitor.inspect("control room, sign in");
  const me = await account();
  await fillSignIn(page, { ...me, password: "something else entirely" });
  await page.getByRole("alert").waitFor();
  await visitor.inspect("control room, wrong password");
  await fillSignIn(page, me);
  await settled(page);
  assert.equal(new URL(page.url()).hash, "#/people", "where one wanted to go");

  await go(page, "#/account");
  await visitor.inspect("control room, account");
  const factor = page.locator("section").filter({ has: page.locator("h2", { hasText: visitor.locale === "ko" ? "2단계 인증" : "Second factor" }) });
  await factor.locator("[name=password]").fill("not mine");
  await factor.locator("button[type=submit]").click();
  await factor.locator("[aria-invalid=true]").waitFor();
  await factor.locator("[name=password]").fill(PASSWORD);
  await factor.locator("button[type=submit]").click();
  await factor.locator("img").waitFor();
  const secret = new URL(await readQr(await factor.locator("img").screenshot())).searchParams.get("secret");
  assert.equal(await factor.locator("code").innerText(), secret);
  await visitor.picture(`control room, second factor ${visitor.locale}`);
  await factor.locator("[name=code]").fill(totp(secret));
  await factor.locator("button[type=submit]").click();
  await dialog(page).waitFor();
  assert.equal(await dialog(page).locator(".recovery li").count(), 10);
  await visitor.inspect("control room, recovery codes");
  const spare = await dialog(page).locator(".recovery code").first().innerText();
  await dialog(page).locator("button").last().click();
  await factor.locator(".state.open").waitFor();

  await page.locator("#out").click();
  await fillSignIn(page, me);
  await page.locator("[name=code]").waitFor();
  await visitor.inspect("control room, code");
  await page.locator("[name=code]").fill("000000");
  await page.locator("main form button[type=submit]").click();
  await page.locator("[name=code][aria-invalid=true]").waitFor();
  // One code is good once: the next one it is.
  await page.locator("[name=code]").fill(totp(secret, 1));
  await page.locator("main form button[type=submit]").click();
  await page.locator("#self").waitFor();
  // Without the phone.
  await page.locator("#out").click();
  await fillSignIn(page, me);
  await page.locator("[name=code]").fill(spare);
  await page.locator("main form button[type=submit]").click();
  await page.locator("#self").waitFor();
  await go(page, "#/account");
  await page.getByText(visitor.locale === "ko" ? "남은 복구 코드: 9개" : "Recovery codes left: 9").waitFor();
  visitor.wellMade();
});

visit("control room: two tabs are one sign-in", wide("en"), async (visitor) => {
  const { page, context } = visitor;
  await signIn(page, "#/people", await account());
  const other = await context.newPage();
  await other.goto("/admin#/log");
  await settled(other);
  // Both want a new token at the same moment, again and again: a token spent twice would end the sign-in.
  for (let n = 0; n < 4; n += 1) {
    await Promise.all([page.reload(), other.reload()]);
    await Promise.all([settled(page), settled(other)]);
    await Promise.all([page, other].map((one) => one.evaluate(() => Promise.all([AdminSession.renew(), AdminSession.renew()]))));
  }
  // Reloaded while the token is on its way.
  await page.evaluate(() => { AdminSession.renew(); location.reload(); });
  await page.waitForLoadState();
  await page.locator("#self").waitFor();
  await settled(page);
  await other.locator("#out").click();
  await page.locator("[name=username]").waitFor();
});

both("the live board", async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  const past = Array.from({ length: 60 }, (_, n) => board({ at: Date.now() - (60 - n) * 1000, placed_per_s: 10 + 6 * Math.sin(n / 5), p95_ms: n % 7 ? 60 : null }));
  const asked = await stream(page, told(...past), { status: 503, contentType: "application/problem+json", body: JSON.stringify({ code: "server.database_away", detail: "…" }) }, told(board({ placed_per_s: 99.5, failed_per_s: 2, paused: true })));
  visitor.refusals.add(503);
  await signIn(page, `#/${code}/live`);
  await page.locator("#live-placed", { hasText: /\d/ }).waitFor();
  await page.getByRole("row", { name: /338/ }).waitFor();
  await page.locator("details.numbers summary").first().click();
  // It comes back by itself after a refusal.
  await page.locator("#live-placed", { hasText: "99.5" }).waitFor();
  assert.equal(asked() >= 3, true);
  await settled(page);
  // Nothing has come for a while, and the page says so.
  await page.locator("#freshness[data-state=stale]").waitFor();
  await status(page).filter({ hasText: /\d/ }).waitFor({ state: "attached" });
  await visitor.inspect("control room, live");
  await visitor.picture(`control room, live wide ${visitor.locale}`);
  visitor.wellMade();
});

both("a board that came just now and tells of long ago, with many slots and silent workers", async (visitor) => {
  const { page } = visitor;
  const code = await exhibition(), ko = visitor.locale === "ko", [product] = board().stocks;
  const slots = Array.from({ length: 40 }, (_, n) => ({ stock_id: 10 + n, slot_id: 1 + n, date: `2027-01-${String(1 + (n >> 1)).padStart(2, "0")}`, start_time: n % 2 ? "13:00:00" : "10:00:00", end_time: n % 2 ? "15:00:00" : "12:00:00", paused: false, closed: false, total: 400, offered: 400, held: 0, sold: n, free: 400 - n }));
  const workers = [...board().workers, { name: "figures", outcome: "silent", age_ms: null, took_ms: null }, { name: "rooms", outcome: "silent", age_ms: 75_000, took_ms: 12 }];
  const old = { heard_age_ms: 5_000, workers };
  let send = null;
  const later = new Promise((resolve) => { send = resolve; });
  const replies = [told(board({ ...old, stocks: [product, ...slots] })), later];
  await page.route("**/api/admin/exhibitions/*/live", async (route) => {
    const reply = await replies.shift();
    if (reply) await route.fulfill(reply);
  });
  await signIn(page, `#/${code}/live`);
  await page.locator("#live-placed", { hasText: /\d/ }).waitFor();
  const freshness = page.locator("#freshness");
  assert.equal(await freshness.getAttribute("data-state"), "stale", "it came a moment ago, and is five seconds old");
  assert.match(await freshness.innerText(), ko ? /^서버 소식/ : /^The servers report late/);

  const troubles = await page.locator(".notice.bad", { hasText: ko ? "소식이 없는 작업" : "Nothing is heard of these workers" }).innerText();
  for (const name of ko ? ["대시보드 주문 집계", "대기실 운영"] : ["Dashboard, orders", "Waiting rooms"]) {
    assert.match(troubles, new RegExp(name));
    assert.equal(await page.getByRole("row", { name: new RegExp(`^${name}`) }).locator(".state.bad").count(), 1, name);
  }

  // The product and the next slots; the others when they are asked for, and then for as long as they are read.
  const panel = page.locator("section.panel").filter({ has: page.locator("#live-slots") }), fold = page.locator("#live-slots");
  assert.equal(await panel.locator("tbody tr").count(), 31);
  await fold.locator("summary", { hasText: "40" }).click();
  await fold.locator("tbody tr").nth(9).waitFor();
  assert.equal(await fold.locator("tbody tr").count(), 10);
  slots[39].sold = 377;
  send(told(board({ ...old, stocks: [product, ...slots] })));
  await fold.getByText("377").first().waitFor();
  assert.deepEqual(await fold.locator("summary").evaluate((one) => [one.parentElement.open, one === document.activeElement]), [true, true]);
  await visitor.inspect("control room, live with many slots");
  visitor.wellMade();
});

visit("control room: the room is set, paused and resumed", wide("en"), async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(422).add(409).add(412);
  // Not the demo's bbb, in whose line other tests stand.
  const code = await exhibition();
  await stream(page, told(board()));
  const room = () => admin("GET", `exhibitions/${code}/room`);
  await signIn(page, `#/${code}/live`);
  const to = (phase) => page.locator(`[data-to=${phase}]`);
  const moved = (phase) => until(`the room is ${phase}`, async () => (await room()).phase === phase);
  // Nobody rehearses by accident while tickets are on sale.
  await page.getByRole("button", { name: "Rehearse" }).click();
  await visitor.inspect("control room, rehearsal");
  await dialog(page).locator("[name=people]").fill("0");
  await dialog(page).locator("[type=submit]").click();
  await dialog(page).locator("[name=people][aria-invalid=true]").waitFor();
  await dialog(page).locator("[name=people]").fill("10");
  await dialog(page).locator("[type=submit]").click();
  await dialog(page).getByRole("alert").waitFor();
  await page.keyboard.press("Escape");

  await to("open").click();
  await dialog(page).locator("[type=submit]").click();
  await moved("open");

  await page.locator("[name=rate_per_min]").fill("1500");
  await page.locator("[name=capacity]").fill("0");
  await page.locator(".aside form [type=submit]").click();
  await page.locator("[name=capacity][aria-invalid=true]").waitFor();
  await visitor.picture("control room, pace refused en");
  await page.locator("[name=capacity]").fill("250");
  await page.locator(".aside form [type=submit]").click();
  await until("the pace is set", async () => { const { config } = await room(); return config.rate_per_min === 1500 && config.capacity === 250; });
  // A digit too few is asked about.
  await page.locator("[name=rate_per_min]").fill("15");
  await page.locator(".aside form [type=submit]").click();
  await dialog(page).getByText("1,500 to 15").waitFor();
  await page.keyboard.press("Escape");
  assert.equal((await room()).config.rate_per_min, 1500);
  // So is one too many of people inside, and both together say both.
  await page.locator("[name=rate_per_min]").fill("1500");
  await page.locator("[name=capacity]").fill("2500");
  await page.locator(".aside form [type=submit]").click();
  await dialog(page).getByText("250 to 2,500 people").waitFor();
  assert.equal(await dialog(page).getByText("a minute").count(), 0);
  await page.keyboard.press("Escape");
  assert.equal((await room()).config.capacity, 250);
  await page.locator("[name=rate_per_min]").fill("15");
  await page.locator(".aside form [type=submit]").click();
  await dialog(page).getByText("1,500 to 15 ").waitFor();
  await dialog(page).getByText("250 to 2,500 people").waitFor();
  await visitor.inspect("control room, pace and capacity are asked about");
  await dialog(page).locator("[type=submit]").click();
  await until("both are set", async () => { const { config } = await room(); return config.rate_per_min === 15 && config.capacity === 2500; });

  await to("paused").click();
  await visitor.inspect("control room, pause");
  await dialog(page).locator("[type=submit]").click();
  await dialog(page).locator("[aria-invalid=true]").first().waitFor();
  await dialog(page).locator("[name=reason_ko]").fill("잠시 점검합니다.");
  await dialog(page).locator("[name=reason_en]").fill("A short check.");
  await dialog(page).locator("[type=submit]").click();
  await moved("paused");
  assert.equal((await room()).reason_en, "A short check.");

  // Somebody else is faster: nothing is overwritten, and their doing is shown.
  await to("drain").click();
  await admin("POST", `exhibitions/${code}/room/phase`, { to: "open" });
  await dialog(page).locator("[type=submit]").click();
  await dialog(page).getByRole("alert").waitFor();
  await page.keyboard.press("Escape");
  await to("paused").waitFor();
  await to("paused").click();
  await dialog(page).getByRole("button", { name: "Cancel" }).click();
  assert.equal((await room()).phase, "open", "thought better of it");
  await to("stopped").click();
  await dialog(page).locator("[name=reason_ko]").fill("중단합니다.");
  await dialog(page).locator("[name=reason_en]").fill("Halted.");
  await dialog(page).locator("[type=submit]").click();
  await moved("stopped");
  await to("open").click();
  await dialog(page).locator("[type=submit]").click();
  await moved("open");
  visitor.wellMade();
});

both("all sales are paused by whoever owns them", async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(422).add(412);
  // Not the real switch: everybody who buys something in another test would stand before it.
  let sales = { revision: 4, paused: false, reason_ko: "", reason_en: "" };
  await page.route("**/api/admin/sales", async (route) => {
    const ask = route.request();
    if (ask.method() === "PUT") {
      assert.equal(ask.headers()["if-match"], `"${sales.revision}"`);
      sales = { ...sales, ...ask.postDataJSON(), revision: sales.revision + 1 };
    }
    await route.fulfill({ json: sales });
  });
  await signIn(page, "#/aaa/live");
  await page.locator("[data-sales=pause]").click();
  await visitor.inspect("control room, pause all sales");
  await dialog(page).locator("[name=reason_ko]").fill("점검 중입니다.");
  await dialog(page).locator("[name=reason_en]").fill("Maintenance.");
  await dialog(page).locator("[type=submit]").click();
  await page.locator(".aside .state.bad").waitFor();
  assert.deepEqual(sales, { revision: 5, paused: true, reason_ko: "점검 중입니다.", reason_en: "Maintenance." });
  visitor.wellMade();
});

both("one exhibition is paused with one switch", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422).add(412);
  const code = await exhibition(), [why_ko, why_en] = ["안전 점검 중입니다.", "A safety check."];
  await stream(page, told(board()));
  await signIn(page, `#/${code}/live`, await account("admin", [code]));
  const pause = page.locator("[data-sales=pause-own]"), resume = page.locator("[data-sales=resume-own]"), submit = dialog(page).locator("[type=submit]");
  await pause.click();
  await submit.click();
  await dialog(page).locator("[name=pause_reason_ko][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, pause one exhibition");
  await dialog(page).locator("[name=pause_reason_ko]").fill(why_ko);
  await dialog(page).locator("[name=pause_reason_en]").fill(why_en);
  // Somebody else has changed it meanwhile: that is seen before anything is paused.
  await sql(`update exhibitions set revision = revision + 1 where code = '${code}'`);
  await submit.click();
  await dialog(page).getByRole("alert").locator("button").click();
  await settled(page);
  await pause.click();
  await dialog(page).locator("[name=pause_reason_ko]").fill(why_ko);
  await dialog(page).locator("[name=pause_reason_en]").fill(why_en);
  await submit.click();
  await resume.waitFor();
  await page.locator(".aside .quote", { hasText: locale === "ko" ? why_ko : why_en }).waitFor();
  await visitor.inspect("control room, one exhibition is paused");
  await shown(code, (all) => all.every((one) => one.state === "paused"));
  const shop = await visitor.context.newPage();
  await shop.goto(`/${code}`);
  await shop.locator("main").getByText(locale === "ko" ? why_ko : why_en).first().waitFor();
  await visitor.inspect("an exhibition is paused, with a reason", shop);
  await shop.close();

  // The same switch stands where it is set up.
  await go(page, `#/${code}/setup`);
  await page.locator(".phase .state.bad").waitFor();
  await visitor.inspect("control room, set-up of a paused exhibition");
  await resume.click();
  await submit.click();
  await pause.waitFor();
  assert.equal(await pause.evaluate((e) => e === document.activeElement), true);
  await shown(code, (all) => all.every((one) => one.state === "on_sale"));
  visitor.wellMade();
});

visit("control room: the board and the dashboard tell what is sold", wide("en"), async (visitor) => {
  const { page } = visitor;
  const code = await exhibition({ places: 40 });
  await signIn(page, `#/${code}/live`);
  await page.locator("#freshness[data-state=fresh]").waitFor();
  const held = page.getByRole("row", { name: /Open-date ticket/ }).getByRole("cell").nth(1);
  assert.equal(await held.innerText(), "0");
  await buysUp(code, 3);
  await until("the board tells of it", async () => (await held.innerText()) === "3");
  await page.locator("#live-p95", { hasText: /\d/ }).waitFor();
  await visitor.picture("control room, live for real en");
  await go(page, `#/${code}`);
  await page.getByRole("row", { name: /Open-date ticket/ }).waitFor();
  await visitor.inspect("control room, dashboard for real");
  // The first page says how each does today.
  await go(page, "#/");
  await page.locator(`[data-of="${code}"] dd`).first().waitFor();
  await visitor.inspect("control room, exhibitions with their figures");
  visitor.wellMade();
});

both("the dashboard", async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  let reply = dashboard(code);
  await page.route("**/api/admin/dashboard*", (route) => route.fulfill({ status: 200, contentType: "application/json", body: JSON.stringify(reply) }));
  await signIn(page, `#/${code}`);
  await page.getByText(visitor.locale === "ko" ? "22,320,000원" : "22,320,000 won").first().waitFor();
  await settled(page);
  await page.locator("details.numbers summary").first().click();
  await visitor.inspect("control room, dashboard");
  // Of the whole sale all is well, of today it is not.
  assert.match(await page.locator("[data-success=reservation]").innerText(), /99\.87%[^]*13,117[^]*91\.2%[^]*1,302/);
  assert.equal(await page.locator("[data-success=reservation] .state.bad").count(), 1);
  // It says how old it is from second to second.
  const age = await page.locator("#as-of").innerText();
  await page.waitForFunction((text) => document.getElementById("as-of").innerText !== text, age);
  assert.equal(await page.locator("main").getByRole("alert").count(), 0);
  // A chart is read with the keys, column by column, and with the mouse.
  const chart = page.getByRole("slider").first(), said = () => chart.getAttribute("aria-valuetext"), readout = page.locator(".chart .readout").first();
  await chart.focus();
  const last = await said();
  assert.match(last, /\d/);
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await said(), last);
  assert.equal(await chart.getAttribute("aria-valuenow"), "46");
  await page.keyboard.press("Home");
  assert.equal(await chart.getAttribute("aria-valuenow"), "0");
  assert.equal(await readout.innerText(), await said());
  await visitor.picture(`control room, a chart is read ${visitor.locale}`);
  await page.keyboard.press("End");
  assert.equal(await said(), last);
  const { width, height } = await chart.boundingBox();
  await chart.hover({ position: { x: width / 2, y: height / 2 } });
  assert.notEqual(await readout.innerText(), last);
  // Another range, of days.
  const range = page.locator("#range");
  await range.focus();
  await range.selectOption("14d");
  for (const n of [0, 1, 2]) assert.equal(await page.getByRole("slider").nth(n).getAttribute("aria-valuemax"), "13");
  assert.match(await page.getByRole("slider").nth(2).getAttribute("aria-valuetext"), /660/, "entrances of the day");
  await visitor.inspect("control room, dashboard of days");
  // Whoever has chosen a range goes on seeing what is new, and stays where they are.
  reply = { ...dashboard(code), today_orders: 7_777, figures_as_of: new Date(Date.now() - 600_000).toISOString() };
  await page.getByText("7,777").first().waitFor({ timeout: 20_000 });
  assert.equal(await range.evaluate((one) => one === document.activeElement && one.value), "14d");
  assert.equal(await page.getByRole("slider").first().getAttribute("aria-valuemax"), "13");
  assert.equal(await page.locator("details.numbers").first().evaluate((one) => one.open), true, "what was unfolded");
  // Nobody adds the orders up any more.
  await page.locator("main").getByRole("alert").waitFor();
  await visitor.inspect("control room, dashboard with old figures");
  // The same of a chart that is read with the keys.
  await chart.focus();
  await page.keyboard.press("Home");
  reply = { ...dashboard(code), today_orders: 8_888 };
  await page.getByText("8,888").first().waitFor({ timeout: 20_000 });
  assert.deepEqual(await chart.evaluate((one) => [one === document.activeElement, one.getAttribute("aria-valuenow")]), [true, "0"]);
  visitor.wellMade();
});

both("gates", async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(422);
  const code = await exhibition();
  await signIn(page, `#/${code}/gates`);
  await settled(page);
  await visitor.inspect("control room, gates");

  await go(page, `#/${code}/gates/devices`);
  await page.locator("main form [type=submit]").click();
  await page.locator("[name=gate][aria-invalid=true]").waitFor();
  await page.locator("[name=gate]").fill("north");
  await page.locator("[name=name]").fill("phone 1");
  await page.locator("main form [type=submit]").click();
  await dialog(page).locator("img").waitFor();
  const link = await readQr(await dialog(page).locator("img").screenshot());
  assert.match(link, /\/entrance#enrol=/);
  await visitor.inspect("control room, enrolment");
  // The phone reads it, and the page knows.
  const phone = await visitor.context.browser().newContext({ baseURL: demo.base_url });
  const phone_page = await phone.newPage();
  const { pathname, hash } = new URL(link);
  await phone_page.goto(pathname + hash);
  await dialog(page).locator("img").waitFor({ state: "detached" });
  await phone.close();
  await page.keyboard.press("Escape");
  await page.locator(".state.open").waitFor();
  await visitor.inspect("control room, devices");
  await page.locator("td button").click();
  await dialog(page).locator("[type=submit]").click();
  await page.locator("details.numbers summary").waitFor();

  await go(page, `#/${code}/gates/conflicts`);
  await visitor.inspect("control room, no conflict");
  await go(page, `#/${code}/gates/tills`);
  await visitor.inspect("control room, tills");
  await go(page, `#/${code}/gates/rules`);
  await page.locator("[name=walk_ins]").check();
  await page.locator("[name='exhibition.early_min']").fill("9999");
  await page.locator("main form [type=submit]").click();
  await page.locator("[name='exhibition.early_min'][aria-invalid=true]").waitFor();
  await page.locator("[name='exhibition.early_min']").fill("45");
  await page.locator("[name='exhibition.gates']").fill("north, south");
  await page.locator(".acts .quiet").first().click();
  await page.locator("fieldset").nth(1).waitFor();
  await visitor.inspect("control room, rules");
  await page.locator("main form [type=submit]").click();
  const rules = () => admin("GET", `exhibitions/${code}/entry-rules`);
  await until("the rules are set", async () => (await rules()).walk_ins);
  const book = await rules();
  assert.deepEqual([book.exhibition.early_min, book.exhibition.gates, Object.keys(book.products).length], [45, ["north", "south"], 1]);
  visitor.wellMade();
});

both("a conflict is decided on", async (visitor) => {
  const { page } = visitor;
  const id = "0190a0a0-0000-7000-8000-000000000001", at = new Date().toISOString();
  const conflict = { id, kind: "double", created_at: at, order_number: "ORD20261121-ABCDEFGHJK", ticket_no: 1, of: 3, scan: { at, device_at: at, gate: "north", device: "phone 1", staff: "kim" }, other: { at, device_at: null, gate: "south", device: null, staff: "lee" }, decided_at: null, decided_by: null, decision: null, note: null };
  let asked = null;
  await page.route("**/entry-conflicts?*", (route) => route.fulfill({ json: { conflicts: asked ? [] : [conflict], next: null } }));
  await page.route("**/entry-conflicts/*/decide", async (route) => { asked = route.request().postDataJSON(); await route.fulfill({ status: 204 }); });
  await signIn(page, "#/aaa/gates/conflicts");
  await page.locator(".conflict").waitFor();
  await visitor.inspect("control room, conflict");
  await page.locator(".conflict button").first().click();
  await dialog(page).locator("[name=note]").fill("twins");
  await visitor.inspect("control room, decision");
  await dialog(page).locator("[type=submit]").click();
  await page.locator(".empty").waitFor();
  assert.deepEqual(asked, { decision: "honest", note: "twins" });
  visitor.wellMade();
});

both("people, and the log of what was done to them", async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(422).add(403);
  const code = await exhibition(), name = `kim-${visitor.locale}-${process.pid}`, me = await account();
  await signIn(page, "#/people", me);
  await settled(page);
  await page.keyboard.press("/");
  await page.keyboard.type(me.username);
  await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1);
  await visitor.inspect("control room, people");
  await page.locator("a[href='#/people/+']").click();
  await page.locator("[name=username]").fill("K");
  await page.locator("[name=password]").fill("short");
  await page.locator("main form [type=submit]").click();
  await page.locator("[name=username][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, new account");
  await page.locator("[name=username]").fill(name);
  await page.locator("[name=password]").fill(PASSWORD);
  await page.locator("[name=role]").selectOption("admin");
  await page.locator(`[value=${code}]`).nth(1).check().catch(() => page.locator(`input[value=${code}]`).check());
  await page.locator("main form [type=submit]").click();
  await page.locator("h1", { hasText: name }).waitFor();
  await settled(page);
  await visitor.inspect("control room, one account");

  // They see what is theirs: their exhibition, and those whom they may run.
  const theirs = await visitor.context.browser().newContext({ baseURL: demo.base_url, locale: visitor.locale });
  const their_page = await theirs.newPage();
  await signIn(their_page, "#/", { username: name, password: PASSWORD });
  await settled(their_page);
  assert.equal(await their_page.locator("main .cards li").count(), 1);
  await their_page.evaluate(() => { location.hash = "#/aaa/live"; });
  await their_page.locator("main", { hasNot: their_page.locator(".tiles") }).locator("h1").waitFor();
  assert.equal(await their_page.locator(".tiles").count(), 0);

  await page.locator("[name=disabled]").check();
  await page.locator("main form [type=submit]").first().click();
  await dialog(page).locator("[type=submit]").click();
  await page.locator(".state.bad").waitFor();
  // Their sign-in has ended: the next refresh says so.
  their_page.on("console", () => {});
  await their_page.reload();
  await their_page.locator("[name=username]").waitFor();
  await theirs.close();

  await page.keyboard.press("Escape");
  await page.locator("h1").first().focus();
  await page.keyboard.press("g");
  await page.keyboard.press("o");
  await page.waitForURL("**/admin#/log");
  await page.locator("[name=user]").fill(me.username);
  await page.locator("[name=action]").selectOption("user.");
  await page.locator("main form [type=submit]").click();
  await page.waitForURL("**/admin#/log?user=*");
  await settled(page);
  // Signed in, made, disabled; and looked at each time.
  assert.equal(await page.locator("main tbody tr").count(), 5);
  const disabled = page.locator("main tbody tr", { hasText: "user.change" });
  await disabled.locator("summary").click();
  await disabled.locator("details").getByText("true").waitFor();
  await visitor.inspect("control room, log");
  const [file] = await Promise.all([page.waitForEvent("download"), page.locator(".heading button").click()]);
  assert.equal(file.suggestedFilename(), "admit-audit.csv");

  await page.locator("h1").first().focus();
  await page.keyboard.press("?");
  await dialog(page).waitFor();
  await visitor.inspect("control room, keys");
  visitor.wellMade();
});

both("money", async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(422);
  const day = (n, net) => ({ day: `2026-11-${20 + n}`, provider: n % 2 ? "toss" : "stripe", gross: net + 90_000, payments: 5 + n, refunds: 50_000, fees: 4_000, provider_fee: n % 2 ? 40_000 : null, net });
  const days = [day(1, 1_240_000), day(2, 890_000)];
  await page.route("**/settlement?*", async (route) => {
    if (new URL(route.request().url()).searchParams.get("from") === "2020-01-01") await route.continue();
    else await route.fulfill({ json: { exhibition_code: "aaa", currency: "KRW", days, gross: 2_310_000, refunds: 100_000, fees: 8_000, provider_fee: 40_000, net: 2_130_000 } });
  });
  await page.route("**/differences", (route) => route.fulfill({ json: { differences: [{ provider: "toss", day: "2026-11-21", payment_key: "tviva20261121abcd", order_id: "ORD20261121-ABCDEFGHJK-1", kind: "amount", ours: 36_000, theirs: 18_000, noticed_at: new Date().toISOString() }] } }));
  await signIn(page, "#/aaa/money");
  await page.getByText(visitor.locale === "ko" ? "2,130,000원" : "2,130,000 won").waitFor();
  await settled(page);
  await visitor.inspect("control room, money");
  await page.locator("[name=from]").fill("2020-01-01");
  await page.locator("main form [type=submit]").click();
  await page.locator("[name=until][aria-invalid=true]").waitFor();
  visitor.wellMade();
});

/** The board is looked at every two seconds. Whoever took each look for another question would throw every answer away. */
visit("control room: a server slower than its board is looked at", wide("ko"), async ({ page }) => {
  const code = await exhibition();
  let asked = 0, under_way = 0, most = 0;
  await page.route("**/gate-board", async (route) => {
    asked += 1;
    most = Math.max(most, under_way += 1);
    await new Promise((answer) => setTimeout(answer, 3000));
    under_way -= 1;
    await route.continue().catch(() => {});
  });
  await signIn(page, `#/${code}/gates`);
  await page.locator(".tile").first().waitFor({ timeout: 10_000 });
  await until("it is looked at again", async () => asked > 1);
  assert.equal(most, 1, "one after the other");
});

both("nothing yet, trouble, and who may not", async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  visitor.refusals.add(503).add(403);
  let down = true;
  await page.route("**/gate-board", (route) => (down ? route.fulfill({ status: 503, json: { code: "server.database_away", detail: "잠시 후 다시" } }) : route.continue()));
  await signIn(page, `#/${code}/gates`);
  await page.getByRole("alert").waitFor();
  await visitor.inspect("control room, trouble");
  down = false;
  await page.locator(".tile").first().waitFor();
  down = true;
  await page.getByRole("alert").waitFor();
  assert.equal(await page.locator(".tile").first().isVisible(), true, "what was known stays, and is said to be old");
  await visitor.inspect("control room, stale");
  await go(page, "#/no-such");
  await visitor.inspect("control room, no page");
  await go(page, "#/");
  await visitor.inspect("control room, start");
  await page.locator("#out").click();
  await fillSignIn(page, await account("staff", [code]));
  await settled(page);
  assert.equal(await page.locator("#pages a").count(), 0);
  await visitor.inspect("control room, staff");
  await go(page, "#/people");
  await visitor.inspect("control room, forbidden");
  visitor.wellMade();
});
