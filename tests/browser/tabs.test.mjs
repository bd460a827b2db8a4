// Two tabs, the back button and reloads: whatever a visitor does with the browser, there is one order, charged once.

import assert from "node:assert/strict";
import { visit } from "./support/browser.mjs";
import * as on from "./support/pages.mjs";
import { balance, exhibition, paidFor, sql, until } from "./support/system.mjs";

const ordersOf = async (code) =>
  Number((await sql(`select count(*) from orders o join exhibitions e on e.id = o.exhibition_id where e.code = '${code}'`))[0][0]);

visit("back at the form, and sent again", { locale: "ko" }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  await on.openForm(page, code);
  const tel = await on.fillIn(page, { open: 2 });
  await on.send(page).click();
  await page.waitForURL("**/payment/*");
  const first = on.numberOf(page);
  await page.reload();
  assert.equal(on.numberOf(page), first);
  // Back at the form, and sent again: there is one open booking a person, and the page says so.
  await page.goBack();
  await on.form(page).waitFor();
  assert.equal(await on.send(page).isEnabled(), true, "the button of a revived form works");
  await on.fillIn(page, { open: 2, tel });
  await on.send(page).click();
  await page.getByRole("alert").or(on.payButton(page)).first().waitFor();
  assert.equal(await ordersOf(code), 1);
  await visitor.picture("sent again after going back ko");
});

visit("the button pressed twice is one order", { locale: "ko" }, async ({ page }) => {
  const code = await exhibition();
  await on.openForm(page, code);
  await on.fillIn(page);
  await on.send(page).dblclick();
  await page.waitForURL("**/payment/*");
  assert.equal(await ordersOf(code), 1);
});

visit("two tabs of one payment page are charged once", { locale: "ko" }, async ({ page, context }) => {
  const code = await exhibition();
  const { number } = await on.hold(page, code);
  const second = await context.newPage();
  await second.goto(page.url());
  // Both windows are open before either pays.
  await on.openWindow(page);
  await on.openWindow(second);
  await Promise.all([on.press(page, "pay"), on.press(second, "pay")]);
  for (const tab of [page, second]) {
    // The tab that was too late tells how the order stands.
    await until("both tabs come to the tickets", async () => {
      if (await on.tickets(tab).count()) return true;
      await tab.goto(`/${code}/complete/${number}`);
      return false;
    });
  }
  // The bank may have taken a second payment, which then goes back.
  await until("charged once", async () => (await balance(number)) === 20_000);
  assert.equal(await ordersOf(code), 1);
});

visit("back and reload at each step", { locale: "ko" }, async ({ page }) => {
  const code = await exhibition();
  const { number } = await on.hold(page, code);
  await page.reload();
  await on.openWindow(page);
  await page.reload();
  await page.goBack();
  await page.waitForURL("**/payment/*");
  await on.payButton(page).waitFor();
  assert.equal(await on.payButton(page).isEnabled(), true, "the button of a revived page works");
  await on.payFor(page);
  await page.reload();
  await on.tickets(page).first().waitFor();
  // Back from the tickets: nothing to pay any more.
  await page.goBack();
  await page.goto(`/${code}/payment/${number}`);
  await on.tickets(page).first().waitFor();
  assert.equal((await paidFor(number)).length, 1);
  assert.equal(await ordersOf(code), 1);
});
