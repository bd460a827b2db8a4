// Operations, as those who run a sale use it: messages that were given up, webhooks, the stock, and who is there.

import assert from "node:assert/strict";
import { DESKTOP, visit } from "./support/browser.mjs";
import { account, go, settled, signIn } from "./support/admin.mjs";
import { hold, payFor } from "./support/pages.mjs";
import { demo, exhibition, sql, until } from "./support/system.mjs";

const wide = (locale) => ({ locale, device: DESKTOP });
const both = (name, body) => { for (const locale of ["ko", "en"]) visit(`control room: operations, ${name}, ${locale}`, wide(locale), body); };
const dialog = (page) => page.locator("dialog[open]");
const submit = (page) => dialog(page).locator("[type=submit]");
const gone = (page) => dialog(page).waitFor({ state: "detached" });
const rows = (page) => page.locator("main tbody tr");
const press = (page, ko, en, locale) => page.getByRole("button", { name: locale === "ko" ? ko : en, exact: true });

both("messages", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422);
  const code = await exhibition();
  const numbers = [];
  for (const name of ["남궁하늘", "제갈바다", "독고구름"]) {
    const shop = await visitor.context.newPage();
    const { number } = await hold(shop, code, { open: 1, name, email: "sky@example.com" });
    await payFor(shop);
    await shop.close();
    numbers.push(number);
  }
  const outbox = async (what) => (await sql(`select ${what} from outbox b join orders o on o.id = b.order_id where b.kind = 'order_paid' and o.number in ('${numbers.join("','")}')`))[0][0];
  await until("all mails are sent", async () => (await outbox("count(*) filter (where b.state = 'done')")) === "3");
  // As after a night without a mail server.
  await sql(`update outbox set state = 'dead', tries = 12, outcome = 'unreachable', done_at = now() where exhibition_id = (select id from exhibitions where code = '${code}')`);

  await signIn(page, `#/${code}/operations`, await account("admin", [code]));
  await rows(page).nth(2).waitFor();
  assert.equal(await page.getByText("sky@example.com").count(), 0, "masked");
  assert.equal(await page.locator(".tile.bad strong").innerText(), "3");
  await visitor.inspect("control room, operations, dead letters");
  await page.locator("#of-number").fill(numbers[1]);
  await page.locator("#of-number").press("Enter");
  await rows(page).nth(1).waitFor({ state: "detached" });
  assert.equal(await rows(page).first().getByText(numbers[1]).count(), 1);

  await rows(page).first().locator("button").nth(1).click();
  await submit(page).click();
  await dialog(page).locator("[name=reason][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, operations, set aside");
  await dialog(page).locator("[name=reason]").fill("they were called");
  await submit(page).click();
  await gone(page);
  await page.locator(".empty").waitFor();
  await page.locator("#of-state").selectOption("set_aside");
  await page.getByText("they were called").waitFor();
  await visitor.inspect("control room, operations, what was set aside");

  await page.locator("#of-number").fill("");
  await page.locator("#of-number").press("Enter");
  await page.locator("#of-state").selectOption("dead");
  await rows(page).nth(1).waitFor();
  await press(page, "이 2건 다시 보내기", "Send these 2 again", locale).click();
  await visitor.inspect("control room, operations, sent again");
  await submit(page).click();
  await gone(page);
  await page.locator("main .notice", { hasText: "2" }).waitFor();
  await until("they are sent", async () => (await outbox("count(*) filter (where b.state = 'done' and replays = 1)")) === "2");
  await page.locator("#of-state").selectOption("done");
  await rows(page).nth(1).waitFor();
  await visitor.inspect("control room, operations, messages");
  visitor.wellMade();
});

both("a provider that is cut off", async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  let state = "closed";
  await page.route("**/api/admin/providers", (route) => route.fulfill({ json: { providers: [{ name: "toss", state }, { name: "stripe", state: "closed" }] } }));
  await signIn(page, `#/${code}/operations`, await account("admin", [code]));
  await page.locator("main .facts .state.open").nth(1).waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  state = "open";
  await go(page, `#/${code}/operations/webhooks`);
  await page.locator("main .facts .state.bad").waitFor();
  await page.getByRole("alert").waitFor();
  await visitor.inspect("control room, operations, a provider is cut off");
  visitor.wellMade();
});

both("many messages, and webhooks", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(503);
  const code = await exhibition();
  const message = (id) => ({ id, kind: id % 7 ? "order_paid" : "one_time_code", state: "dead", exhibition_code: id % 7 ? code : null, order_number: id % 7 ? `ORD20261121-${String(id).padStart(10, "A")}` : null, address: id % 7 ? "h***@example.org" : null, tries: 12, replays: id % 3 ? 0 : 1, outcome: ["timeout", "refused", "unreachable", "tls"][id % 4], created_at: new Date(Date.now() - id * 60_000).toISOString(), next_try_at: null, done_at: new Date().toISOString(), set_aside_because: null, can_be_sent_again: id % 7 > 0 });
  let down = true, asked = [];
  await page.route("**/api/admin/outbox?*", (route) => {
    const before = new URL(route.request().url()).searchParams.get("before");
    if (!before && down) return route.fulfill({ status: 503, json: { code: "server.database_away", detail: "…" } });
    const messages = Array.from({ length: before ? 20 : 50 }, (_, n) => message((before ? 50 : 100) - n));
    return route.fulfill({ json: { messages, next: before ? null : 51, counts: before ? null : { pending: 1240, dead: 1070, set_aside: 3, oldest_pending_at: new Date(Date.now() - 4_000_000).toISOString(), oldest_dead_at: new Date(Date.now() - 90_000_000).toISOString() } } });
  });
  await page.route("**/api/admin/outbox/replay", (route) => {
    asked.push(route.request().postDataJSON());
    return route.fulfill({ json: { replayed: Array.from({ length: 500 }, (_, n) => n), skipped: [], more: asked.length < 2 } });
  });
  await signIn(page, `#/${code}/operations`, await account("admin", [code]));
  await page.getByRole("alert").waitFor();
  await visitor.inspect("control room, operations, trouble");
  down = false;
  await page.getByRole("alert").locator("button").click();
  await rows(page).nth(49).waitFor();
  await visitor.inspect("control room, operations, many dead letters");
  await press(page, "1,070건 모두 다시 보내기", "Send all 1,070 again", locale).click();
  await submit(page).click();
  await gone(page);
  assert.deepEqual(asked, [{ exhibition: code }, { exhibition: code }], "as many calls as it takes");
  await page.locator("main .notice", { hasText: "1,000" }).waitFor();
  await rows(page).nth(49).waitFor();
  await page.locator("main .part > div > button").click();
  await rows(page).nth(69).waitFor();

  const event = (id, state) => ({ id, provider: "toss", kind: "PAYMENT_STATUS_CHANGED", order_id: `ORD20261121-ABCDEFGHJ${id}-1`, status: "DONE", state, tries: 1, outcome: state === "dead" ? null : "paid", received_at: new Date().toISOString(), processed_at: null, replays: 0 });
  let replayed = null;
  await page.route("**/api/admin/webhooks?*", (route) => route.fulfill({ json: { events: [event(3, "received"), event(2, replayed ? "received" : "dead"), event(1, "processed")], next: null, counts: { received: replayed ? 2 : 1, dead: replayed ? 0 : 1 } } }));
  await page.route("**/api/admin/webhook-replay", async (route) => { replayed = route.request().postDataJSON(); await route.fulfill({ json: event(2, "received") }); });
  await go(page, `#/${code}/operations/webhooks`);
  await rows(page).nth(2).waitFor();
  await visitor.inspect("control room, operations, webhooks");
  const dead = page.waitForRequest(/admin\/webhooks\?.*state=dead/);
  await page.locator(".tile.bad button").click();
  await dead;
  assert.equal(await page.locator("#of-state").inputValue(), "dead");
  await rows(page).nth(2).waitFor();
  await page.locator("td button").first().click();
  await submit(page).click();
  await page.locator("td button").nth(1).waitFor({ state: "detached" });
  assert.deepEqual(replayed, { event_id: 2 });
  visitor.wellMade();
});

both("the stock", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(503);
  const code = await exhibition();
  await signIn(page, `#/${code}/operations/stock`, await account("admin", [code]));
  await page.locator("details.numbers[open] tbody tr").nth(2).waitFor();
  assert.equal(await page.locator(".empty").first().isVisible(), true, "nothing differs");
  await visitor.inspect("control room, operations, the stock agrees");
  const causes = ["in_flight", "abandoned", "moving", "rebuilding", "unexplained", "lapsed", "rows_differ"];
  const stocks = causes.map((cause, n) => ({ stock_id: n + 1, product_id: n ? null : 1, slot_id: n || null, name_ko: n ? null : "성인", name_en: n ? null : "Adult", date: n ? `2026-12-2${n}` : null, start_time: n > 3 ? "10:00:00" : null, end_time: n > 3 ? "12:00:00" : null, total: 500, offered: 480, held: 12, sold: 300, free: 168, counted_held: 12, counted_sold: cause === "rows_differ" ? 299 : 300, redis_free: cause === "rebuilding" ? null : 166, in_flight: n ? 0 : 2, difference: cause === "rebuilding" ? null : -2, explained: [{ cause, places: cause === "rebuilding" ? 0 : -2 }] }));
  const at = new Date().toISOString();
  const repair = (done, cause, found, takes) => ({ at, done, cause, found, takes });
  let away = false;
  await page.route("**/stock", (route) => route.fulfill({ json: { exhibition_code: code, as_of: at, redis: away ? "away" : "ready", epoch: 12, redis_epoch: 11, audited_at: away ? null : at, takes_in_flight: 3, oldest_take_ms: 21_000, recounted: !away, stocks: away ? stocks.map((one) => ({ ...one, redis_free: null, difference: null, explained: [{ cause: "redis_away", places: 0 }] })) : stocks,
    repairs: [repair("rebuilt", "audit", [{ stock_id: 1, places: -2 }, { stock_id: 99, places: 3 }], 0), repair("given_back", "abandoned", [{ stock_id: 2, places: 4 }], 2), repair("confirmed", "not_told", [], 1), repair("rebuilt", "redis_restarted", [], 0)] } }));
  await press(page, "다시 확인", "Look again", locale).click();
  await page.locator(".causes").nth(6).waitFor();
  await visitor.inspect("control room, operations, the stock differs");
  away = true;
  await press(page, "다시 확인", "Look again", locale).click();
  await page.locator("main .notice").waitFor();
  await visitor.inspect("control room, operations, Redis is away");
  visitor.wellMade();
});

both("who is there, and slots given back", async (visitor) => {
  const { page, locale } = visitor;
  const code = await exhibition(), staff = await account("staff", [code]), me = await account("admin", [code]);
  const other = await visitor.context.browser().newContext({ baseURL: demo.base_url });
  const theirs = await other.newPage();
  await signIn(theirs, "#/account", staff);
  await sql(`insert into devices (id, exhibition_id, gate, name, enrol_until, created_by, created_at, enrolled_at, credential_digest, seen_at, waiting)
    select gen_random_uuid(), e.id, g.gate, g.name, now(), 1, now(), now(), sha256(g.name::bytea || e.code::bytea), now() - g.lag, g.waiting
      from exhibitions e, (values ('north', 'phone 1', interval '2 s', 0), ('south', 'phone 2', interval '9 min', 14)) as g (gate, name, lag, waiting) where e.code = '${code}'`);
  await sql(`insert into shifts (id, device_id, staff_id, began_at, ends_at) select gen_random_uuid(), d.id, u.id, now() - interval '1 hour', now() + interval '9 hours'
      from devices d join exhibitions e on e.id = d.exhibition_id, admin_users u where e.code = '${code}' and d.gate = 'north' and u.username = '${staff.username}'`);
  await signIn(page, `#/${code}/operations/online`, me);
  await page.locator("main tbody", { hasText: staff.username }).first().waitFor();
  await page.locator("main tbody", { hasText: "phone 2" }).waitFor();
  await visitor.inspect("control room, operations, who is there");
  const people = page.locator("main .panel").nth(0), devices = page.locator("main .panel").nth(1);
  await people.locator("tr", { hasText: staff.username }).locator("button").click();
  await submit(page).click();
  await gone(page);
  await until("their sign-ins have ended", async () => (await sql(`select count(*) from refresh_tokens t join admin_users u on u.id = t.user_id where u.username = '${staff.username}' and t.revoked_at is null`))[0][0] === "0");
  await devices.locator("tr", { hasText: "phone 2" }).locator("button").click();
  await submit(page).click();
  await gone(page);
  await devices.locator("tr", { hasText: "phone 2" }).waitFor({ state: "detached" });
  await other.close();

  await go(page, `#/${code}/setup/bulk`);
  await page.locator(".empty").waitFor();
  await visitor.inspect("control room, no slot given back");
  const bulk = (id, state, left) => ({ id, state, slot_ids: [1, 2], reason: "태풍 typhoon", left, done: 1_240, failed: 2, tickets_refunded: 2_480, amount_refunded: 44_640_000, currency: "KRW", created_at: new Date().toISOString(), done_at: null, failures: [] });
  await page.route("**/bulk-refunds*", (route) => route.fulfill({ json: route.request().url().includes("before") ? { bulk_refunds: [bulk("0190a0a0-0000-7000-8000-000000000001", "done", 0)], next: null } : { bulk_refunds: [bulk("0190a0a0-0000-7000-8000-000000000003", "running", 400), bulk("0190a0a0-0000-7000-8000-000000000002", "done", 0)], next: "0190a0a0-0000-7000-8000-000000000002" } }));
  await go(page, `#/${code}/setup/slots`);
  await page.locator("main a[href$='/setup/bulk']").click();
  await rows(page).nth(1).waitFor();
  await visitor.inspect("control room, slots given back");
  await press(page, "더 보기", "Show more", locale).click();
  await rows(page).nth(2).waitFor();
  visitor.wellMade();
});
