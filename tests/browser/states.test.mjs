// What the pages say when something is over, closed, sold out or still to come.

import assert from "node:assert/strict";
import { DESKTOP, visit } from "./support/browser.mjs";
import * as on from "./support/pages.mjs";
import { bank, become, buysUp, exhibition, lapse, paidFor, shown, sql, state, until } from "./support/system.mjs";

visit("the hold lapses while the page is open", { locale: "ko" }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  // The page's own clock runs while the test waits for nothing.
  await page.clock.install();
  const { number } = await on.hold(page, code);
  await page.clock.fastForward("10:30");
  await on.says(page, "결제 시간이 지나");
  assert.equal(await on.payButton(page).isVisible(), false);
  await visitor.picture("payment lapsed under the eyes ko");
  await lapse(number);
  await on.goOn(page);
  await page.waitForURL(`**/${code}`);
});

visit("the hold lapses behind the page", { locale: "en", device: DESKTOP }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition({ places: 1 });
  const { number } = await on.hold(page, code);
  // Somebody else has the place by now: the visitor is told, and no window opens.
  await lapse(number);
  await shown(code, (all) => all[0].available_quantity === 1);
  await buysUp(code, 1);
  visitor.refusals.add(410);
  await on.payButton(page).click();
  await page.getByRole("alert").first().waitFor();
  await on.says(page, "Nothing was charged");
  await visitor.picture("too late and full en");
  assert.equal(await state(number), "expired");
});

visit("sold out under the visitor's hands", { locale: "ko" }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition({ places: 2 });
  await on.openForm(page, code);
  await on.fillIn(page, { open: 1 });
  await buysUp(code, 2);
  await shown(code, (all) => all[0].available_quantity === 0);
  await on.send(page).click();
  await page.getByRole("alert").first().waitFor();
  await on.says(page, "청구된 금액은 없습니다");
  assert.equal(await page.locator("[name=customer_name]").inputValue(), "홍길동", "what was typed is kept");
  await visitor.picture("sold out under the hands ko");
  // What is gone is not counted any more, and the way goes on with something else.
  await page.locator("[data-price]").nth(1).selectOption("1");
  await on.days(page).first().check();
  assert.match(await page.locator("[data-total] output").innerText(), /^18,000/);
  await on.send(page).click();
  await page.waitForURL("**/payment/*");
});

for (const [name, set, becomes, words] of [
  ["paused", "paused = true", "paused", "일시 중지"],
  ["not yet", "sale_start_at = now() + interval '3 hours'", "not_yet", "예매 전"],
  ["ended", "sale_end_at = now() - interval '1 minute'", "ended", "예매 종료"],
]) {
  visit(`the sale is ${name}`, { locale: "ko" }, async ({ page }) => {
    const code = await exhibition();
    await become(code, set, becomes);
    await page.goto(`/${code}`);
    await on.says(page, words);
    assert.equal(await on.form(page).count(), 0);
    assert.equal(await on.formLink(page, code).count(), 0, "nothing leads to the form");
  });
}

visit("the hold lapses in the window", { locale: "ko" }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition({ places: 1 });
  const { number } = await on.hold(page, code);
  await on.openWindow(page);
  await lapse(number);
  await shown(code, (all) => all[0].available_quantity === 1);
  await buysUp(code, 1);
  await on.press(page, "pay");
  await on.says(page, "청구된 금액");
  await visitor.picture("lapsed in the window ko");
  assert.deepEqual(await paidFor(number), []);
});

visit("paused between the form and its sending", { locale: "ko" }, async ({ page }) => {
  const code = await exhibition();
  await on.openForm(page, code);
  await on.fillIn(page);
  await become(code, "paused = true", "paused");
  await on.send(page).click();
  await page.getByRole("alert").first().waitFor();
  await on.says(page, "잠시 중지");
});

visit("an unknown address", { locale: "ko" }, async ({ page }) => {
  assert.equal((await page.goto("/no-such-thing")).status(), 404);
  await on.heading(page).waitFor();
  await page.locator('main a[href="/"]').click();
  await page.waitForURL("**/");
});

visit("a virtual account, until the deposit", { locale: "ko" }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  const { number } = await on.hold(page, code);
  await on.chooseMethod(page, "VIRTUAL_ACCOUNT");
  await on.openWindow(page);
  await on.press(page, "pay");
  await until("the account is there", async () => (await state(number)) === "awaiting_deposit");
  await page.goto(`/${code}/complete/${number}`);
  const account = (await page.locator("dd.number").first().innerText()).replaceAll(/\D/g, "");
  assert.match(account, /^\d{8,}$/, "the page says where to pay in");
  const [[orderId]] = await sql(`select provider_order_id from attempts a join orders o on o.id = a.order_id where o.number = '${number}'`);
  await bank("deposit", { orderId });
  await until("the deposit has arrived", async () => (await state(number)) === "paid");
  await page.reload();
  await on.tickets(page).first().waitFor();
  await visitor.picture("tickets after a deposit ko");
});

visit("an order is found again", { locale: "ko" }, async ({ page, context }) => {
  const code = await exhibition();
  const { number, tel } = await on.hold(page, code);
  await on.payFor(page);
  await context.clearCookies();
  assert.equal((await page.goto(`/${code}/complete/${number}`)).status(), 401);
  await page.locator('header a[href="/orders"]').click();
  await on.lookUp(page, number, "010-0000-0000");
  await page.getByRole("alert").waitFor();
  await on.lookUp(page, number, tel);
  await on.tickets(page).first().waitFor();
  on.at(page, `/${code}/complete/${number}`);
});

visit("a booking is given up", { locale: "ko" }, async ({ page }) => {
  const code = await exhibition();
  const { number } = await on.hold(page, code);
  page.on("dialog", (dialog) => dialog.accept());
  await on.giveUpButton(page).click();
  await page.waitForURL(`**/${code}`);
  assert.equal(await state(number), "cancelled");
});
