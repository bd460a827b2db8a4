// Personal data in the control room: a request is entered, its dry run is read, it is carried out; a copy is downloaded.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { DESKTOP, visit } from "./support/browser.mjs";
import { account, go, settled, signIn } from "./support/admin.mjs";
import { hold, payFor } from "./support/pages.mjs";
import { exhibition, sql } from "./support/system.mjs";

const wide = (locale, refusals = []) => ({ locale, device: DESKTOP, refusals });
const both = (name, body) => { for (const locale of ["ko", "en"]) visit(`control room: personal data, ${name}, ${locale}`, wide(locale), body); };
const dialog = (page) => page.locator("dialog[open]");
const submit = (page) => dialog(page).locator("[type=submit]");
const press = (page, ko, en, locale) => page.getByRole("button", { name: locale === "ko" ? ko : en, exact: true });

async function order(visitor, code, wishes, paid = true) {
  const shop = await visitor.context.newPage();
  const held = await hold(shop, code, wishes);
  if (paid) await payFor(shop);
  await shop.close();
  return held;
}
const erased = async (number) => (await sql(`select c.erased_at is not null from contacts c join orders o on o.id = c.order_id where o.number = '${number}'`))[0][0] === "t";

both("erased on request", async (visitor) => {
  const { page, locale } = visitor;
  visitor.refusals.add(422).add(404);
  const code = await exhibition(), me = await account();
  const wanted = await order(visitor, code, { open: 2, name: "남궁하늘", email: "sky@example.com" });
  const other = await order(visitor, code, { open: 1, name: "다른 사람" }, false);
  await signIn(page, "#/privacy", me);
  await settled(page);
  await visitor.inspect("control room, personal data");
  const form = page.locator("main form");
  await form.locator("[type=submit]").click();
  await form.locator("[name=phone][aria-invalid=true]").waitFor();
  await visitor.inspect("control room, a request without a person");
  await form.locator("[name=phone]").fill("010-0000-0000");
  await form.locator("[type=submit]").click();
  await form.getByRole("alert").waitFor();
  await form.locator("[name=phone]").fill("");
  await form.locator("[name=order_number]").fill(wanted.number);
  await form.locator("[type=submit]").click();
  await page.waitForURL(/#\/privacy\/.+/);
  await page.locator("main tbody tr").waitFor();
  assert.equal(page.url().includes(wanted.tel.slice(-4)), false, "nobody's number in an address");
  assert.equal(await erased(wanted.number), false);
  await visitor.inspect("control room, an erasure that must wait");
  // Asked too long ago, and nobody has answered.
  const id = page.url().split("/").pop();
  for (const [days, tone] of [[11, "bad"], [8, "soon"]]) {
    await sql(`update privacy_requests set asked_at = now() - interval '${days} days' where id = '${id}'`);
    await go(page, "#/privacy");
    await page.locator("tbody tr", { has: page.locator(`a[href$="${id}"]`) }).locator(`[data-label="${locale === "ko" ? "답변 기한" : "Answer by"}"] .state.${tone}`).waitFor();
    await visitor.inspect(`control room, requests, ${tone}`);
    await go(page, `#/privacy/${id}`);
    await page.locator(`main .facts .state.${tone}`).first().waitFor();
  }
  await sql(`update privacy_requests set asked_at = now() where id = '${id}'`);
  // Its exhibition is over by now.
  await sql(`update exhibitions set starts_on = '2020-01-01', ends_on = (now() at time zone 'Asia/Seoul')::date - 1 where code = '${code}'`);
  await page.reload();
  await page.locator("td .state.bad").waitFor();
  await visitor.inspect("control room, an erasure");
  await page.locator("main .danger").click();
  await visitor.inspect("control room, an erasure confirmed");
  await dialog(page).locator(".acts .quiet").click();
  assert.equal(await erased(wanted.number), false, "somebody thought better of it");
  await page.locator("main .danger").click();
  await submit(page).click();
  await page.locator("main .empty").waitFor();
  assert.equal(await erased(wanted.number), true);
  assert.equal(await erased(other.number), false);
  await visitor.inspect("control room, an erasure done");
  await go(page, `#/${code}/orders/${wanted.number}`);
  assert.equal(await page.getByText("남궁").count(), 0);
  await visitor.inspect("control room, an order of nobody");
  await go(page, "#/privacy");
  await page.locator("main tbody tr").first().waitFor();
  await go(page, "#/log?action=privacy.");
  await page.locator("main tbody tr").nth(1).waitFor();
  visitor.wellMade();
});

both("a copy", async (visitor) => {
  const { page, locale } = visitor;
  const code = await exhibition(), me = await account();
  const wanted = await order(visitor, code, { open: 1, name: "남궁하늘", email: "sky@example.com" });
  await signIn(page, "#/privacy", me);
  await settled(page);
  const form = page.locator("main form");
  await form.locator("[name=kind]").selectOption("export");
  await form.locator("[name=verified_by]").selectOption("document");
  await form.locator("[name=phone]").fill(wanted.tel);
  await form.locator("[type=submit]").click();
  await page.waitForURL(/#\/privacy\/.+/);
  await page.locator("main tbody tr").waitFor();
  // Entered in the evening of UTC, it is the next day in Seoul, from which ten are counted.
  const asked = new Date(Date.now() - 86_400_000), last = new Date(Date.now() + 10 * 86_400_000);
  const [day, month] = [last.getUTCDate(), last.getUTCMonth()];
  await sql(`update privacy_requests set asked_at = '${asked.toISOString().slice(0, 10)}T15:30:00Z' where id = '${page.url().split("/").pop()}'`);
  await page.reload();
  const by = locale === "ko" ? `${month + 1}월 ${day}일` : `${day} ${last.toLocaleString("en", { month: "short", timeZone: "UTC" })}`;
  // Owed until then; once it was taken, it can be had until then.
  await page.locator("main .facts", { hasText: by }).waitFor();
  assert.equal(await page.locator("main .fine", { hasText: by }).count(), 0);
  await visitor.inspect("control room, a copy");
  await press(page, "내려받기", "Download", locale).click();
  await visitor.inspect("control room, a copy confirmed");
  const [file] = await Promise.all([page.waitForEvent("download"), submit(page).click()]);
  const copy = JSON.parse(readFileSync(await file.path(), "utf8"));
  assert.equal(copy.orders[0].contact.name, "남궁하늘");
  await page.locator("main .fine", { hasText: by }).waitFor();
  await press(page, "요청 철회", "Withdraw the request", locale).click();
  await submit(page).click();
  await page.locator("main .empty").waitFor();
  visitor.wellMade();
});

visit("control room: personal data is a super admin's", wide("en"), async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  await signIn(page, "#/privacy", await account("admin", [code]));
  await settled(page);
  assert.equal(await page.locator("#pages a[href='#/privacy']").count(), 0);
  assert.equal(await page.locator("main form").count(), 0);
  visitor.wellMade();
});
