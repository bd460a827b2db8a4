// An exhibition is set up: from nothing to on sale, by the control room's pages alone.

import assert from "node:assert/strict";
import { DESKTOP, PHONE, visit } from "./support/browser.mjs";
import { account, go, settled, signIn } from "./support/admin.mjs";
import { fillIn, hold, numberOf, openForm, payFor, send } from "./support/pages.mjs";
import { admin, demo, exhibition, shown, sql, state, until } from "./support/system.mjs";

const wide = (locale) => ({ locale, device: DESKTOP });
const both = (name, body) => { for (const locale of ["ko", "en"]) visit(`control room: set up, ${name}, ${locale}`, wide(locale), body); };
const dialog = (page) => page.locator("dialog[open]");
const submit = (page) => dialog(page).locator("[type=submit]");
const rows = (page) => page.locator("main tbody tr");
const day = (ahead) => new Date(Date.now() + 9 * 3_600_000 + ahead * 86_400_000).toISOString().slice(0, 10);
/** The form of one part, by a field that it has. */
const part = (page, field) => page.locator("main form", { has: page.locator(`[name='${field}']`) });
const fill = async (place, values) => { for (const [name, value] of Object.entries(values)) await place.locator(`[name='${name}']`).fill(String(value)); };
const save = async (form) => { await form.locator("[type=submit]").click(); await form.locator(".told", { hasText: /./ }).waitFor(); };
const gone = (page) => dialog(page).waitFor({ state: "detached" });

both("from nothing to sold", async (visitor) => {
  const { page, context, locale } = visitor;
  visitor.refusals.add(422).add(412).add(404);
  const code = `new-${locale}-${process.pid.toString(36)}`;
  await signIn(page, "#/exhibitions", await account());
  await rows(page).first().waitFor();
  await visitor.inspect("control room, exhibitions");
  await page.locator("a[href='#/exhibitions/+']").click();
  await page.locator("[name=code]").waitFor();
  await page.locator("main form [type=submit]").click();
  await page.locator("[name=code][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, a new exhibition");
  await fill(page, { code: "AAA", name_ko: "겨울 빛", name_en: "Winter light", starts_on: day(3), ends_on: day(2), sale_start: `${day(-1)}T10:00`, sale_end: `${day(20)}T18:00` });
  await page.locator("main form [type=submit]").click();
  await page.locator("[name=code][aria-invalid=true]").waitFor();
  await fill(page, { code });
  await page.locator("main form [type=submit]").click();
  await page.locator("[name=ends_on][aria-invalid=true]").waitFor();
  await fill(page, { ends_on: day(30) });
  await page.locator("main form [type=submit]").click();
  await page.waitForURL(`**/admin#/${code}/setup`);
  await settled(page);
  await page.locator(".missing li").first().waitFor();
  await visitor.inspect("control room, set-up");

  // Two people at once: whoever is later reads what the other has done before anything is saved.
  const other = await context.newPage();
  await other.goto(`/admin#/${code}/setup`);
  await settled(other);
  const text = part(page, "name_ko"), their_text = part(other, "name_ko");
  await fill(their_text, { venue_ko: "중앙 전시관", venue_en: "Central hall" });
  await save(their_text);
  await fill(text, { description_ko: "겨울의 빛을 모았습니다.", description_en: "Light, gathered in winter." });
  await text.locator("[type=submit]").click();
  await text.getByRole("alert").waitFor();
  assert.equal(await text.locator("[name=description_en]").inputValue(), "Light, gathered in winter.", "what was typed is still there");
  await visitor.inspect("control room, set-up changed meanwhile");
  await text.getByRole("alert").locator("button").click();
  await page.waitForFunction(() => document.querySelector("[name=venue_en]").value === "Central hall");
  await fill(text, { description_ko: "겨울의 빛을 모았습니다.", description_en: "Light, gathered in winter." });
  await save(text);
  await other.close();

  const limits = part(page, "hold_ttl_s");
  await fill(limits, { hold_ttl_s: 5, person_limit: "" });
  await limits.locator("[type=submit]").click();
  await limits.locator("[name=hold_ttl_s][aria-invalid=true]").waitFor();
  await fill(limits, { hold_ttl_s: 900 });
  await save(limits);

  const rules = part(page, "refund_free_h");
  await rules.locator(".rule button").last().click();
  await rules.locator("ol + .acts button").first().click();
  await fill(rules, { "refund_rules[3].days_before": 2, "refund_rules[3].fee_pct": 120 });
  await rules.locator(".acts [type=submit]").click();
  await rules.locator("[name='refund_rules[3].days_before'][aria-invalid=true]").waitFor();
  await visitor.picture(`control room, refund rules refused ${locale}`);
  await fill(rules, { "refund_rules[3].fee_pct": 50 });
  await save(rules);
  const now = () => admin("GET", `exhibitions/${code}`);
  const { refund_rules, hold_ttl_s, person_limit, venue_en, description_en } = await now();
  assert.deepEqual([refund_rules.at(-1), hold_ttl_s, person_limit, venue_en, description_en], [{ days_before: 2, fee_pct: 50 }, 900, null, "Central hall", "Light, gathered in winter."]);

  const shot = part(page, "alt_ko");
  await shot.locator("[name=file]").setInputFiles({ name: "no.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await fill(shot, { alt_ko: "눈 위의 빛", alt_en: "Light on snow" });
  await shot.locator("[type=submit]").click();
  await shot.locator("[name=file][aria-invalid=true]").waitFor();
  await shot.locator("[name=file]").setInputFiles({ name: "light.png", mimeType: "image/png", buffer: await page.screenshot() });
  await shot.locator("[type=submit]").click();
  await page.locator("img.shot").waitFor();
  // Its texts are changed without the file; what somebody else has made of it meanwhile is not written over.
  const { picture: { url } } = await admin("GET", `exhibitions/${code}`);
  await fill(part(page, "alt_ko"), { alt_en: "Light upon snow" });
  await part(page, "alt_ko").locator("[type=submit]").click();
  await until("the texts are saved", async () => (await admin("GET", `exhibitions/${code}`)).picture.alt_en === "Light upon snow");
  assert.equal((await admin("GET", `exhibitions/${code}`)).picture.url, url);
  await visitor.inspect("control room, set-up filled in");

  await go(page, `#/${code}/setup/products`);
  await page.locator(".empty").waitFor();
  const make = async (values, dated) => {
    await page.locator("main .part .acts button").first().click();
    await fill(dialog(page), values);
    await dialog(page).locator("[name=dated]").setChecked(dated);
    await submit(page).click();
    await gone(page);
  };
  await page.locator("main .part .acts button").first().click();
  await submit(page).click();
  await dialog(page).locator("[name=name_ko][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, a new product");
  await page.keyboard.press("Escape");
  await make({ name_ko: "자유 관람권", name_en: "Open-date ticket", kind: "open", price_won: 20_000, total: 50, per_person_max: 4 }, false);
  await rows(page).first().waitFor();
  assert.match(await rows(page).first().innerText(), locale === "en" ? /at most 4 per person/ : /1인 최대 4매/);
  await make({ name_ko: "성인", name_en: "Adult", kind: "adult", price_won: 18_000, total: 40, position: 1 }, true);
  await rows(page).nth(1).waitFor();
  await visitor.inspect("control room, products");

  // The same hours on weekends, seen before they are made.
  await go(page, `#/${code}/setup/slots`);
  const pattern = part(page, "times");
  await fill(pattern, { times: "10:00-12:00, 13-15", total: 20 });
  await pattern.locator("[type=submit]").click();
  await pattern.locator("[name=times][aria-invalid=true]").waitFor();
  await fill(pattern, { times: "10:00-12:00, 13:00-15:00" });
  for (const weekday of ["sat", "sun"]) await pattern.locator(`[value=${weekday}]`).check();
  await pattern.locator("[type=submit]").click();
  await page.locator(".would li").first().waitFor();
  assert.equal((await admin("GET", `slots?exhibition=${code}`)).slots.length, 0, "nothing is made yet");
  await visitor.inspect("control room, a pattern of slots");
  await page.locator(".would button").click();
  await submit(page).click();
  await rows(page).first().waitFor();
  const { slots } = await admin("GET", `slots?exhibition=${code}`);
  assert.ok(slots.length >= 16 && slots.every((one) => [0, 6].includes(new Date(one.date).getUTCDay()) && one.total === 20), `${slots.length} slots`);
  // Again: what is there is left alone.
  await pattern.locator("[type=submit]").click();
  await page.locator(".would").waitFor();
  assert.equal(await page.locator(".would button").count(), 0);

  // Many alike, and one alone.
  await page.reload();
  await rows(page).first().waitFor();
  await page.locator(".way summary").nth(1).click();
  const bulk = part(page, "closed");
  await bulk.locator("[type=submit]").click();
  await bulk.locator("[name=total][aria-invalid=true]").waitFor();
  await fill(bulk, { offered: 15 });
  await bulk.locator("[value='13:00']").check();
  await bulk.locator("[type=submit]").click();
  await page.locator(".would li").first().waitFor();
  await visitor.inspect("control room, many slots changed");
  await page.locator(".would button").click();
  await submit(page).click();
  await until("the afternoons have fewer", async () => (await admin("GET", `slots?exhibition=${code}`)).slots.every((one) => one.offered === (one.start_time.startsWith("13") ? 15 : 20)));
  // The page hears of it a little later, and draws its list anew.
  await dialog(page).waitFor({ state: "hidden" });
  await settled(page);
  await rows(page).first().locator("button").nth(1).click();
  await submit(page).click();
  await rows(page).first().locator(".state.bad").waitFor();
  await visitor.inspect("control room, slots");

  // Nobody sees it until it is published.
  const phone = await context.browser().newContext({ baseURL: demo.base_url, locale, timezoneId: "Asia/Seoul", ...PHONE });
  const shop = await phone.newPage();
  assert.equal((await shop.goto(`/${code}`)).status(), 404);
  await go(page, `#/${code}/setup`);
  await page.locator("main .acts button:not(.danger)").first().click();
  await visitor.inspect("control room, publishing");
  await submit(page).click();
  await page.locator(".phase .state.open").waitFor();
  await shown(code, (all) => all.length === 2 && all.every((one) => one.available_quantity > 0));
  await openForm(shop, code);
  // What one person may have is said beside the ticket, and what one order may have is no more.
  const open_date = shop.locator(".line", { hasText: locale === "en" ? "Open-date ticket" : "자유 관람권" });
  assert.match(await open_date.innerText(), locale === "en" ? /At most 4 per person/ : /1인 최대 4매/);
  assert.equal(await open_date.locator("option").last().innerText(), "4");
  await shop.locator("#picker details.day", { has: shop.locator(`[value="${slots[1].id}"]`) }).locator("summary").click();
  await fillIn(shop, { open: 1, adult: 1, slot: String(slots[1].id) });
  await send(shop).click();
  await shop.waitForURL(`**/${code}/payment/*`);
  await payFor(shop);

  // What is offered is lowered to what is sold: nothing is left for visitors, at once.
  await go(page, `#/${code}/setup/products`);
  await rows(page).nth(0).locator("button").first().click();
  await fill(dialog(page), { total: 0 });
  await submit(page).click();
  await dialog(page).locator("[name=total][aria-invalid=true]").waitFor();
  await fill(dialog(page), { total: 50, offered: 1 });
  await submit(page).click();
  await gone(page);
  await shown(code, (all) => all.some((one) => one.available_quantity === 0));
  await shop.goto(`/${code}`);
  await shop.locator("main").getByText(locale === "ko" ? "매진" : "Sold out").first().waitFor();
  await visitor.picture(`control room, lowered for visitors ${locale}`, shop);
  await phone.close();

  await rows(page).nth(1).locator("button").nth(1).click();
  await submit(page).click();
  await rows(page).nth(1).locator(".state.bad").waitFor();
  // Somebody has an order for it: it stays, in the archive.
  await rows(page).nth(1).locator("button.danger").click();
  await submit(page).click();
  await page.locator("main .notice").waitFor();
  await go(page, `#/${code}/setup`);
  await page.locator("main .acts .danger:not([data-sales])").first().click();
  await submit(page).click();
  await page.locator(".phase .state:not(.open)").waitFor();
  await until("it is archived", async () => (await now()).stage === "archived");
  visitor.wellMade();
});

both("like another, and all sales", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(404);
  const source = await exhibition(), code = `copy-${locale}-${process.pid.toString(36)}`;
  const of = (what, where) => sql(`update ${what} where exhibition_id = (select id from exhibitions where code = '${where}')`);
  // How last year's sale ended is nothing for a copy.
  await sql(`update exhibitions set paused = true where code = '${source}'`);
  for (const what of ["products set active = false", "slots set closed = true", "stock set offered = 0"]) await of(what, source);
  const helper = await account("support", [source]);
  // Not for all: other tests buy meanwhile.
  let sales = { revision: 3, paused: false, reason_ko: "", reason_en: "" };
  await page.route("**/api/admin/sales", async (route) => {
    const request = route.request();
    if (request.method() === "PUT") {
      assert.equal(request.headers()["if-match"], `"${sales.revision}"`);
      sales = { ...sales, ...request.postDataJSON(), revision: sales.revision + 1 };
    }
    await route.fulfill({ json: sales });
  });
  await signIn(page, "#/exhibitions", await account());
  await page.locator("#exhibition-search").fill(source);
  await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1);
  await page.locator("[data-sales=pause]").click();
  await fill(dialog(page), { reason_ko: "점검 중입니다.", reason_en: "A short check." });
  await submit(page).click();
  await page.locator(".sales .state.bad").waitFor();
  await visitor.inspect("control room, sales are paused");
  await page.locator(".sales button").click();
  await submit(page).click();
  await page.locator(".sales .state.open").waitFor();
  assert.equal(sales.paused, false);

  await rows(page).locator("a").last().click();
  await page.locator("[name=first_day]").waitFor();
  await fill(page, { code });
  await page.locator("[name=copy_people]").check();
  await visitor.inspect("control room, a copy");
  await page.locator("main form [type=submit]").click();
  await page.waitForURL(`**/admin#/${code}/setup`);
  await settled(page);
  // Each instance knows it within a second.
  const look = () => Promise.all([admin("GET", `products?exhibition=${code}`), admin("GET", `slots?exhibition=${code}`), admin("GET", `exhibitions/${code}`)]);
  const [{ products }, { slots }, made] = await until("every instance knows the copy", () => look().catch(() => null));
  assert.deepEqual([products.length, slots.length, made.stage, made.paused], [2, 1, "draft", false]);
  assert.ok(products.every((one) => one.active && one.offered === one.total) && slots.every((one) => !one.closed && one.offered === one.total));
  assert.ok((await admin("GET", "users")).users.find((one) => one.username === helper.username).exhibitions.includes(code));
  // Why nobody could buy anything is said before it is published.
  const missing = async (ko, en) => { await page.reload(); await page.locator(".missing li", { hasText: locale === "ko" ? ko : en }).waitFor(); };
  const [none_active, all_closed, none_offered] = [["모든 상품이 판매 중지", "All products are paused"], ["모든 회차가 마감", "All slots are closed"], ["판매 중인 수량이 없", "Nothing is on offer"]];
  await of("products set active = false", code);
  await missing(...none_active);
  await of("products set active = true", code);
  await of("slots set closed = true", code);
  await missing(...all_closed);
  await of("stock set offered = 0", code);
  await missing(...none_offered);
  await visitor.inspect("control room, a copy that nobody could buy of");
  // A draft that nobody has ordered is gone for good.
  await page.locator("main .acts .danger:not([data-sales])").first().click();
  await submit(page).click();
  await page.waitForURL("**/admin#/exhibitions");
  await settled(page);
  await page.locator("#exhibition-search").fill(code);
  await page.locator(".empty").waitFor();
  await page.locator("h1").focus();
  await page.keyboard.press("?");
  await dialog(page).locator("kbd", { hasText: "x" }).waitFor();
  visitor.wellMade();
});

both("a slot that does not take place", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422);
  const code = await exhibition(), shop = await visitor.context.newPage();
  const { number } = await hold(shop, code, { open: 0, adult: 2 });
  await payFor(shop);
  await shop.close();
  await signIn(page, `#/${code}/setup/slots`, await account("admin", [code]));
  await rows(page).first().locator("button").nth(1).click();
  await submit(page).click();
  await rows(page).first().locator(".state.bad").waitFor();
  await rows(page).first().locator("button", { hasText: locale === "ko" ? "전체 환불" : "Give all back" }).click();
  await dialog(page).getByText(locale === "ko" ? "36,000원" : "36,000 won").first().waitFor();
  await submit(page).click();
  await dialog(page).locator("[name=reason][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, a slot given back");
  await dialog(page).locator("[name=reason]").fill("the hall is closed");
  await submit(page).click();
  await page.locator(".phase .state.open").waitFor();
  await visitor.inspect("control room, a slot was given back");
  assert.equal(await state(number), "refunded");
  visitor.wellMade();
});

both("a day that does not take place", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422);
  const hours = [["10:00", "12:00"], ["13:00", "15:00"], ["16:00", "18:00"]];
  const code = await exhibition({ slots: [...hours.map((of) => [5, 20, ...of]), ...hours.slice(1).map((of) => [6, 20, ...of])] });
  const { slots } = await admin("GET", `slots?exhibition=${code}`), shop = await visitor.context.newPage();
  const buy = async (slot, adult, paid = true) => {
    await openForm(shop, code);
    const of = shop.locator("#picker details.day", { has: shop.locator(`[value="${slot.id}"]`) });
    if (!(await of.evaluate((day) => day.open))) await of.locator("summary").click();
    await fillIn(shop, { open: 0, adult, slot: String(slot.id) });
    await send(shop).click();
    await shop.waitForURL(`**/${code}/payment/*`);
    const number = numberOf(shop);
    if (paid) await payFor(shop);
    return number;
  };
  const [first, second, transferred, other_day] = [await buy(slots[0], 2), await buy(slots[1], 1), await buy(slots[2], 1, false), await buy(slots[3], 1)];
  // Nobody gives cash or a transfer back for them: this one is said to be left.
  await admin("POST", `orders/${transferred}/transfer`, { amount: 18_000, note: "statement" });
  await shop.close();
  await signIn(page, `#/${code}/setup/slots`, await account("admin", [code]));
  await rows(page).first().waitFor();
  const begin = () => page.getByRole("button", { name: locale === "ko" ? "하루 전체 환불" : "Give a day back", exact: true }).click();
  const would = (won) => dialog(page).locator(".would").getByText(locale === "ko" ? `${won}원` : `${won} won`).first().waitFor();
  const closed = async () => (await admin("GET", `slots?exhibition=${code}`)).slots.filter((one) => one.closed).map((one) => one.id);
  await begin();
  const day_of = dialog(page).locator("[name=date]");
  assert.deepEqual(await day_of.locator("option").evaluateAll((all) => all.map((one) => one.value)), [slots[0].date, slots[3].date]);
  // What would go back is told of each day that is chosen, and nothing is closed for it.
  await would("54,000");
  await day_of.selectOption(slots[3].date);
  await would("18,000");
  await day_of.selectOption(slots[0].date);
  await would("54,000");
  await visitor.inspect("control room, a day to be closed");
  await dialog(page).locator("button:not([type=submit])").click();
  await dialog(page).waitFor({ state: "detached" });
  assert.deepEqual(await closed(), [], "whoever thinks better of it leaves the slots open");
  await rows(page).first().waitFor();
  await begin();
  await would("54,000");
  assert.deepEqual(await closed(), []);
  await submit(page).click();
  await dialog(page).locator("[name=reason]").waitFor();
  await dialog(page).getByText(locale === "ko" ? "54,000원" : "54,000 won").first().waitFor();
  assert.deepEqual(await closed(), slots.slice(0, 3).map((one) => one.id), "the whole day and no other");
  await submit(page).click();
  await dialog(page).locator("[name=reason][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, a day given back");
  await dialog(page).locator("[name=reason]").fill("the hall is closed");
  await submit(page).click();
  await page.locator(".phase .state.open").waitFor();
  assert.equal(await page.locator("main progress").evaluate((bar) => bar.value), 1);
  const failed = await rows(page).innerText();
  assert.equal(failed.includes(transferred), true, "what failed is listed");
  assert.equal(failed.includes(locale === "ko" ? "직접 돌려주고" : "Give it back yourself") && !failed.includes("refund.at_the_desk"), true, "in words");
  await visitor.inspect("control room, a day was given back");
  assert.deepEqual([await state(first), await state(second), await state(transferred), await state(other_day)], ["refunded", "refunded", "paid", "paid"]);
  const begun = await admin("GET", `exhibitions/${code}/bulk-refunds`);
  assert.deepEqual(begun.bulk_refunds.map((one) => [one.slot_ids.length, one.done, one.failed, one.tickets_refunded, one.amount_refunded]), [[3, 2, 1, 3, 54_000]]);
  // And its orders are found by the day and its hours, also when one comes back to them.
  await go(page, `#/${code}/orders`);
  await rows(page).nth(3).waitFor();
  await page.locator("[name=visit_date]").fill(slots[0].date);
  const hour = page.locator("[name=slot_id]"), one = (number) => page.waitForFunction((wanted) => { const found = document.querySelectorAll("main tbody tr"); return found.length === 1 && found[0].textContent.includes(wanted); }, number);
  await hour.waitFor();
  assert.deepEqual(await hour.locator("option").evaluateAll((all) => all.map(({ value }) => value)), ["", ...slots.slice(0, 3).map(({ id }) => String(id))]);
  await hour.selectOption(String(slots[1].id));
  await one(second);
  await visitor.inspect("control room, orders of a slot");
  await rows(page).locator("a").click();
  await settled(page);
  await page.goBack();
  await one(second);
  await page.waitForFunction((id) => { const select = document.querySelector("[name=slot_id]"); return select.value === id && select.options.length === 4; }, String(slots[1].id));
  await page.locator("[name=visit_date]").fill(slots[3].date);
  await one(other_day);
  visitor.wellMade();
});

visit("control room: set up, on a phone, en", { locale: "en", device: PHONE }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition({ slots: [[5, 20, "10:00", "12:00"], [5, 20, "13:00", "15:00"]], picture: true });
  await signIn(page, `#/${code}/setup`, await account("admin", [code]));
  await settled(page);
  for (const [to, name] of [["setup", "set-up"], ["setup/products", "products"], ["setup/slots", "slots"], ["orders", "orders"]]) {
    await go(page, `#/${code}/${to}`);
    await visitor.inspect(`control room, ${name} on a phone`);
  }
  await go(page, `#/${code}/setup/products`);
  await rows(page).first().locator("button").first().click();
  await visitor.inspect("control room, product edited on a phone");
  visitor.wellMade();
});
