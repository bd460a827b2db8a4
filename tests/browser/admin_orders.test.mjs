// Orders, as those who look after them use the control room: found, read, corrected, given back.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { DESKTOP, visit } from "./support/browser.mjs";
import { account, go, settled, signIn } from "./support/admin.mjs";
import { hold, payFor } from "./support/pages.mjs";
import { admin, balance, exhibition, lapse, sql, state, until } from "./support/system.mjs";

const wide = (locale, refusals = []) => ({ locale, device: DESKTOP, refusals });
const both = (name, body) => { for (const locale of ["ko", "en"]) visit(`control room: orders are looked after, ${name}, ${locale}`, wide(locale), body); };
const dialog = (page) => page.locator("dialog[open]");
const submit = (page) => dialog(page).locator("[type=submit]");
const rows = (page) => page.locator("main tbody tr");
const orderPage = (code, number) => `#/${code}/orders/${number}`;

/** A visitor's order, by the visitor's own pages in a tab beside. */
async function order(visitor, code, wishes, paid = true) {
  const shop = await visitor.context.newPage();
  const held = await hold(shop, code, wishes);
  if (paid) await payFor(shop);
  await shop.close();
  return held;
}
const press = (page, ko, en, locale) => page.getByRole("button", { name: locale === "ko" ? ko : en, exact: true });
/** Until it is said that something was done, and the page shows what it made. */
const told = async (page) => {
  await page.locator("main > .page > div > .notice").waitFor();
  await settled(page);
};

both("found by what people know", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422);
  const code = await exhibition(), me = await account("admin", [code]);
  const name = `남궁 하늘 ${locale}`;
  const paid = await order(visitor, code, { open: 2, adult: 1, name, email: "sky@example.com" });
  const other = await order(visitor, code, { open: 1, name: "다른 사람" }, false);
  await signIn(page, `#/${code}/orders`, me);
  await rows(page).nth(1).waitFor();
  await visitor.inspect("control room, orders");
  const only = async (number) => page.waitForFunction((wanted) => { const found = document.querySelectorAll("main tbody tr"); return found.length === 1 && found[0].textContent.includes(wanted); }, number);
  const typed = async (text, number) => { await page.locator("[name=q]").fill(text); if (number) await only(number); else await page.locator(".empty").waitFor(); };
  await page.keyboard.press("/");
  assert.equal(await page.locator("[name=q]").evaluate((e) => e === document.activeElement), true);
  // A name however it is spaced, and not by a part of it.
  await typed(name.replaceAll(" ", ""), paid.number);
  await typed("남궁", null);
  await visitor.inspect("control room, no order fits");
  await typed(paid.tel.slice(-4), paid.number);
  await typed(paid.tel, paid.number);
  await typed(other.number.slice(0, -2), other.number);
  await typed("", "").catch(() => {});
  await rows(page).nth(1).waitFor();
  await page.locator("[name=state]").selectOption("held");
  await only(other.number);
  await page.locator("[name=state]").selectOption("");
  await page.locator("[name=until]").fill("2020-01-01");
  await page.locator(".empty").waitFor();
  await page.locator("[name=until]").fill("");
  await rows(page).nth(1).waitFor();
  // By the day of the visit: what is good on any day has none.
  await page.locator("[name=visit_date]").fill("2020-01-01");
  await page.locator(".empty").waitFor();
  const { slots: [only_slot] } = await admin("GET", `slots?exhibition=${code}`);
  await page.locator("[name=visit_date]").fill(only_slot.date);
  await only(paid.number);
  assert.equal(await page.locator("[name=slot_id]").isVisible(), false, "a day of one slot has no hours to choose from");
  await page.locator("[name=visit_date]").fill("");
  await rows(page).nth(1).waitFor();
  // What was asked for is there again when one comes back, and stands in no address.
  await typed(paid.tel.slice(-4), paid.number);
  await rows(page).locator("a").click();
  await settled(page);
  await page.goBack();
  await only(paid.number);
  assert.equal(page.url().includes(paid.tel.slice(-4)), false);

  await press(page, "내보내기", "Export", locale).click();
  await dialog(page).locator("[name=unmasked]").check();
  await submit(page).click();
  await dialog(page).locator("[name=why][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, orders as a file");
  await dialog(page).locator("[name=why]").fill("for the organiser");
  const [file] = await Promise.all([page.waitForEvent("download"), submit(page).click()]);
  assert.equal(file.suggestedFilename(), `${code}-orders.xlsx`);
  assert.match(new URL(file.url()).pathname, /^\/api\/exports\/[0-9a-f]{64}$/, "what was typed stands in no address");
  assert.equal(new URL(file.url()).search, "");
  assert.equal(readFileSync(await file.path()).subarray(0, 2).toString(), "PK");
  visitor.wellMade();
});

both("by the keyboard, from anywhere", async (visitor) => {
  const { page, locale } = visitor;
  const code = await exhibition(), elsewhere = await exhibition(), me = await account("admin", [code, elsewhere]);
  const mine = await order(visitor, code, { open: 1 }, false), other = await order(visitor, elsewhere, { open: 1 }, false);
  const search = page.locator("[name=q]"), focused = () => search.evaluate((e) => e === document.activeElement);
  const at = (of, number) => page.waitForURL(`**/admin#/${of}/orders/${number}`);
  await signIn(page, `#/${code}/live`, me);
  await page.locator("#freshness[data-state=fresh]").waitFor();
  // Not with another key held, and not while something is typed.
  await page.locator("h1").focus();
  for (const keys of ["Control+/", "Alt+/"]) await page.keyboard.press(keys);
  await page.locator("[name=capacity]").focus();
  await page.keyboard.press("/");
  assert.equal(new URL(page.url()).hash, `#/${code}/live`);
  await page.locator("h1").focus();
  await page.keyboard.press("/");
  await search.waitFor();
  await until("the box is ready to type", focused);
  await settled(page);
  assert.equal(await focused(), true, "the heading does not take it back");
  // Nothing is opened before the number is whole.
  await page.keyboard.type(mine.number.slice(0, -1));
  await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1);
  assert.match(page.url(), /\/orders\?find$/);
  await page.keyboard.type(mine.number.slice(-1));
  await at(code, mine.number);
  await settled(page);
  await page.locator("h1").focus();
  await page.keyboard.press("/");
  await until("the box is ready to type again", focused);
  // As it is copied out of a message, of another exhibition of theirs.
  await search.fill(`예매 번호: ${other.number.toLowerCase()} 입니다`);
  await at(elsewhere, other.number);
  await settled(page);
  await go(page, `#/${code}/orders`);
  await search.fill("ORD20200101-AAAAAAAAAA");
  await page.locator(".empty").waitFor();

  await page.locator("h1").focus();
  await page.keyboard.press("?");
  await dialog(page).getByText(locale === "ko" ? "번호 전체를" : "pasted whole").waitFor();
  await visitor.inspect("control room, the keys");
  await dialog(page).locator("[type=checkbox]").uncheck();
  await page.keyboard.press("Escape");
  await go(page, `#/${code}/live`);
  await page.locator("h1").focus();
  await page.keyboard.press("/");
  await page.keyboard.press("?");
  assert.equal(await dialog(page).count(), 0);
  assert.equal(new URL(page.url()).hash, `#/${code}/live`, "switched off");
  visitor.wellMade();
});

both("there are many, none, or there is trouble", async (visitor) => {
  const { page } = visitor;
  visitor.refusals.add(503);
  const code = await exhibition();
  await signIn(page, `#/${code}/orders`, await account("admin", [code]));
  await page.locator(".empty").waitFor();
  await visitor.inspect("control room, no orders");
  const one = (n) => ({ order_number: `ORD20261121-${String(n).padStart(10, "A")}`, exhibition_code: code, state: ["paid", "held", "refunded", "expired"][n % 4], total_amount: 18_000 * (1 + (n % 3)), currency: "KRW", created_at: new Date().toISOString(), paid_at: null, visit_date: n % 2 ? "2026-12-24" : null, customer_name: "홍*동", customer_phone: "010-****-5678", products: "성인 2", payment_method: n % 4 ? null : "카드" });
  let down = true;
  await page.route("**/api/admin/orders/search", async (route) => {
    const { before, q } = route.request().postDataJSON();
    if (q === "down" && down) await route.fulfill({ status: 503, json: { code: "server.database_away", detail: "…" } });
    else await route.fulfill({ json: { orders: Array.from({ length: 50 }, (_, n) => one(n + (before ? 50 : 0))), next: before ? null : "next" } });
  });
  await page.locator("[name=q]").fill("many");
  await rows(page).nth(49).waitFor();
  await page.locator("main .part p button").last().click();
  await rows(page).nth(99).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.closest("tr") === document.querySelectorAll("main tbody tr")[50]), true, "one reads on where the new ones begin");
  await page.locator("[name=q]").fill("down");
  await page.getByRole("alert").waitFor();
  await visitor.inspect("control room, orders in trouble");
  down = false;
  await page.getByRole("alert").locator("button").click();
  await rows(page).nth(49).waitFor();
  visitor.wellMade();
});

both("a paid one", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422).add(412).add(503);
  const code = await exhibition(), me = await account("admin", [code]);
  // A fee from the first hour on.
  await sql(`update exhibitions set refund_free_h = 0, refund_rules = '[{"days_before": 0, "fee_pct": 20}]' where code = '${code}'`);
  const { number, tel } = await order(visitor, code, { open: 2, adult: 1, name: "남궁하늘", email: "sky@example.com" });
  await signIn(page, orderPage(code, number), me);
  await page.locator(".timeline .entry").first().waitFor();
  await visitor.inspect("control room, an order");
  assert.equal(await page.getByText(tel).count(), 0, "masked");

  await press(page, "전체 보기", "Show in full", locale).click();
  await submit(page).click();
  await dialog(page).locator("[name=why][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, why it is shown");
  await dialog(page).locator("[name=why]").fill("they called");
  await submit(page).click();
  await page.getByText("남궁하늘").waitFor();
  await page.getByText("sky@example.com").waitFor();
  await press(page, "가리기", "Hide", locale).click();
  assert.equal(await page.getByText("남궁하늘").count(), 0);

  // Corrected without being seen: what is left empty stays.
  const correct = press(page, "고치기", "Correct", locale);
  await correct.click();
  await dialog(page).locator("[name=customer_phone]").fill("12");
  await submit(page).click();
  await dialog(page).locator("[name=customer_phone][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, a contact corrected");
  await dialog(page).locator("[name=customer_phone]").fill("");
  await dialog(page).locator("[name=customer_email]").fill("cloud@example.com");
  // Somebody else is faster, with another field.
  await page.evaluate(async (path) => {
    const { tag } = await AdminSession.call("GET", path, undefined, { as: "tagged" });
    await AdminSession.call("PATCH", path, { customer_name: "남궁구름" }, { headers: { "If-Match": tag } });
  }, `/api/admin/orders/${number}`);
  await submit(page).click();
  await dialog(page).getByRole("alert").waitFor();
  await visitor.inspect("control room, changed meanwhile");
  await dialog(page).getByRole("alert").locator("button").click();
  await dialog(page).waitFor({ state: "detached" });
  await settled(page);
  await correct.click();
  await dialog(page).locator("[name=customer_email]").fill("cloud@example.com");
  await submit(page).click();
  await page.getByText(/c\S+@example\.com/).first().waitFor();

  await press(page, "메일 다시 보내기", "Send the mail again", locale).click();
  await submit(page).click();
  await told(page);
  await until("the mail goes to the corrected address", async () => (await sql(`select count(*) from mail_resends m join orders o on o.id = m.order_id where o.number = '${number}'`))[0][0] === "1");

  await page.locator("td .danger").first().click();
  await submit(page).click();
  await page.locator("td .state.bad").first().waitFor();
  await page.locator("td button:not(.danger)").first().click();
  await submit(page).click();
  await page.locator("td .state.bad").first().waitFor({ state: "detached" });

  // One of three goes back. The answer to the first try is lost, and there is one refund all the same.
  const before = await balance(number);
  let lost = 0;
  await page.route("**/refund", async (route) => {
    if (route.request().method() !== "POST" || (lost += 1) > 1) { await route.continue(); return; }
    await route.fetch();
    await route.fulfill({ status: 503, json: { code: "order.unknown_outcome", detail: "…" } });
  });
  await page.locator(".order-acts .danger").click();
  const boxes = dialog(page).locator("[name=ticket_ids]");
  await boxes.first().waitFor();
  assert.equal(await boxes.count(), 3);
  await boxes.nth(0).uncheck();
  await boxes.nth(1).uncheck();
  // By the rules, in full, or another sum: what each comes to is said.
  const how = (way) => dialog(page).locator(`[name=how][value=${way}]`), sum = dialog(page).locator("[name=amount]");
  const price = { rules: 0, full: 0 };
  for (const way of ["full", "rules"]) { await how(way).check(); price[way] = Number(await sum.inputValue()); }
  assert.ok([18_000, 20_000].includes(price.full), `the price of what is chosen: ${price.full}`);
  const amount = price.rules, fee = price.full - amount;
  assert.equal(fee, price.full / 5);
  assert.equal(await sum.isVisible(), false);
  await dialog(page).getByText(fee.toLocaleString("en")).first().waitFor();
  await how("own").check();
  await sum.fill("999999");
  await dialog(page).locator("[name=reason]").fill("x");
  await submit(page).click();
  await dialog(page).locator("[name=amount][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, a refund of another sum");
  await dialog(page).locator("[name=reason]").fill("");
  await how("rules").check();
  await submit(page).click();
  await dialog(page).locator("[name=reason][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, a refund");
  await dialog(page).locator("[name=reason]").fill("they are ill");
  await submit(page).click();
  await dialog(page).locator(".facts").waitFor();
  const kept = dialog(page).locator(".facts > div", { hasText: locale === "ko" ? "제하는 수수료" : "Fee kept" });
  assert.match(await kept.innerText(), new RegExp(fee.toLocaleString("en")));
  await visitor.inspect("control room, a refund confirmed");
  await submit(page).click();
  await dialog(page).getByRole("alert").waitFor();
  await submit(page).click();
  await dialog(page).waitFor({ state: "detached" });
  await until("the money is back", async () => (await balance(number)) === before - amount);
  assert.deepEqual(await sql(`select r.amount_won, r.fee_won from refunds r join orders o on o.id = r.order_id where o.number = '${number}'`), [[String(amount), String(fee)]]);
  assert.equal(await state(number), "partially_refunded");
  await page.reload();
  await page.locator(".timeline .refund").waitFor();
  await visitor.inspect("control room, an order partly refunded");
  await page.locator("#history-of").selectOption("attempt");
  assert.equal(await page.locator(".timeline .entry").count(), 1);
  // Who did it is named, and their entry in the log is one step away.
  await page.locator("#history-of").selectOption("event");
  const mine = page.locator(".timeline .entry", { hasText: me.username }).last();
  await mine.locator("a[href^='#/log']").click();
  await page.waitForURL(/#\/log\?request_id=/);
  await settled(page);
  assert.equal(await rows(page).count(), 1);
  assert.match(await rows(page).innerText(), new RegExp(me.username));
  visitor.wellMade();
});

both("unpaid ones, and tickets given away", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422).add(409);
  const code = await exhibition(), me = await account("admin", [code]);
  const given_up = await order(visitor, code, { open: 1, name: "그만둔 사람" }, false);
  const sent = await order(visitor, code, { open: 2, name: "보낸 사람" }, false);
  const late = await order(visitor, code, { open: 1, name: "늦은 사람" }, false);
  await signIn(page, orderPage(code, given_up.number), me);
  await settled(page);
  await press(page, "주문 취소", "Cancel the order", locale).click();
  await visitor.inspect("control room, an order cancelled");
  await submit(page).click();
  await told(page);
  assert.equal(await state(given_up.number), "cancelled");
  assert.equal(await page.locator(".order-acts").count(), 0);

  await go(page, orderPage(code, sent.number));
  await press(page, "송금 확인", "Paid by transfer", locale).click();
  await dialog(page).locator("[name=amount]").fill("39000");
  await dialog(page).locator("[name=note]").fill("statement of today");
  await submit(page).click();
  await dialog(page).getByRole("alert").waitFor();
  await visitor.inspect("control room, a transfer");
  await dialog(page).locator("[name=amount]").fill("40000");
  await submit(page).click();
  await told(page);
  assert.equal(await state(sent.number), "paid");

  // The money came after the time to pay: places are taken again, and not where there are none.
  await lapse(late.number);
  await go(page, orderPage(code, late.number));
  await press(page, "송금 확인", "Paid by transfer", locale).click();
  await dialog(page).locator("[name=amount]").fill("20000");
  await dialog(page).locator("[name=note]").fill("statement of today");
  const offer = (places) => page.evaluate(async ([of, offered]) => {
    const { products } = await AdminSession.call("GET", `/api/admin/products?exhibition=${of}`), undated = products.find((one) => !one.dated);
    await AdminSession.call("PUT", `/api/admin/products/${undated.id}`, { offered }, { if_match: undated.revision });
  }, [code, places]);
  await offer(0);
  await submit(page).click();
  await dialog(page).getByRole("alert").waitFor();
  await visitor.inspect("control room, a transfer that came too late");
  assert.equal(await state(late.number), "expired");
  await offer(100);
  await submit(page).click();
  await told(page);
  assert.equal(await state(late.number), "paid");

  await go(page, `#/${code}/orders/+`);
  await page.locator("[name=reason]").waitFor();
  await page.locator("main form [type=submit]").click();
  await page.locator("[aria-invalid=true]").first().waitFor();
  await page.locator("[name^=quantity]").nth(1).fill("2");
  await page.locator("[name=visit_date]").selectOption({ index: 1 });
  await page.locator("[name=reason]").fill("press");
  await visitor.inspect("control room, tickets given away");
  await page.locator("main form [type=submit]").click();
  await page.waitForURL(/#\/.*\/orders\/ORD/);
  await page.locator(".timeline .entry").first().waitFor();
  assert.equal(await page.locator("main .panel").nth(3).locator("tbody tr").count(), 2);
  visitor.wellMade();
});

both("a refund that failed", async (visitor) => {
  const { page, locale } = visitor;
  const code = await exhibition(), me = await account("admin", [code]);
  const { number } = await order(visitor, code, { open: 2 });
  const id = "0190a0a0-0000-7000-8000-000000000001", at = new Date().toISOString();
  const calls = [];
  await page.route(`**/api/admin/orders/${number}`, async (route) => {
    const reply = await route.fetch();
    await route.fulfill({ response: reply, json: { ...await reply.json(), refunds: [{ id, state: calls.length > 1 ? "by_hand" : "failed", kind: "visitor", amount: 20_000, fee: 2_000, currency: "KRW", ticket_ids: [], created_at: at, done_at: null }] } });
  });
  await page.route(`**/refunds/${id}/*`, async (route) => { calls.push([route.request().url().split("/").pop(), route.request().postDataJSON()]); await route.fulfill({ json: {} }); });
  await signIn(page, orderPage(code, number), me);
  await settled(page);
  await visitor.inspect("control room, a failed refund");
  await press(page, "다시 시도", "Try again", locale).click();
  await dialog(page).locator("[name='account.bank']").fill("20");
  await dialog(page).locator("[name='account.account_number']").fill("1002-123-456789");
  await dialog(page).locator("[name='account.holder']").fill("홍길동");
  await visitor.inspect("control room, a refund again");
  await submit(page).click();
  await until("it was asked", () => calls.length === 1);
  await press(page, "직접 지급함", "Paid by hand", locale).click();
  await dialog(page).locator("[name=note]").fill("by Kim, in cash");
  await submit(page).click();
  await until("it was said", () => calls.length === 2);
  await dialog(page).waitFor({ state: "detached" });
  await settled(page);
  // What is read once more meanwhile is nobody's any longer.
  await page.unrouteAll({ behavior: "ignoreErrors" });
  assert.deepEqual(calls, [["retry", { account: { bank: "20", account_number: "1002-123-456789", holder: "홍길동" } }], ["paid-by-hand", { note: "by Kim, in cash" }]]);
  visitor.wellMade();
});

both("support does without money", async (visitor) => {
  const { page, locale } = visitor;
  const code = await exhibition(), me = await account("support", [code]);
  const paid = await order(visitor, code, { open: 1, email: "sky@example.com" });
  const held = await order(visitor, code, { open: 1 }, false);
  await signIn(page, "#/", me);
  await page.locator("main .cards a").click();
  await page.locator("#pages a[href$='/orders']").click();
  await rows(page).nth(1).waitFor();
  assert.equal(await page.locator(".heading button, .heading .button").count(), 0, "neither a file nor gifts");
  assert.deepEqual(await page.locator("#pages a").evaluateAll((links) => links.map((link) => link.hash.split("/")[2] ?? "")), ["", "live", "orders"]);
  await visitor.inspect("control room, orders for support");
  for (const { number } of [paid, held]) {
    await go(page, orderPage(code, number));
    await page.locator(".timeline .entry").first().waitFor();
    assert.equal(await page.locator("main .danger").count(), 0, "nothing that costs");
    assert.equal(await press(page, "송금 확인", "Paid by transfer", locale).count(), 0);
  }
  await go(page, orderPage(code, paid.number));
  await press(page, "메일 다시 보내기", "Send the mail again", locale).waitFor();
  await press(page, "고치기", "Correct", locale).waitFor();
  await visitor.inspect("control room, an order for support");
  await go(page, `#/${code}/setup`);
  assert.equal(await page.locator("main form").count(), 0);
  visitor.wellMade();
});
