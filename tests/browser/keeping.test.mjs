// What a visitor keeps and finds again: tickets where there is no network, and all orders by a code.

import assert from "node:assert/strict";
import { visit } from "./support/browser.mjs";
import * as on from "./support/pages.mjs";
import { exhibition, mailedCode, readQr, scan } from "./support/system.mjs";

visit("tickets are shown where there is no network", { locale: "ko" }, async (visitor) => {
  const { page, context } = visitor;
  const code = await exhibition();
  const { number } = await on.hold(page, code, { open: 2 });
  await on.payFor(page);
  await page.locator("#kept").waitFor({ state: "visible" });
  const address = page.url();
  await context.setOffline(true);
  await page.reload();
  await on.tickets(page).first().waitFor();
  assert.equal(page.url(), address);
  const code1 = await on.readCode(page);
  await visitor.picture("tickets without a network ko");
  // A tab that is opened anew knows them as well; what is not kept is not there.
  const second = await context.newPage();
  await second.goto(`/${code}/complete/${number}`);
  assert.equal(await on.readCode(second), code1);
  await assert.rejects(second.goto(`/${code}`));
  await context.setOffline(false);
  assert.equal((await scan(code1)).entrance_status, "allowed");
  // What failed did so because there was no network.
  visitor.wrong = [];
  // With a network again, the page of now.
  await page.reload();
  await page.locator(".ticket.shut").first().waitFor();
});

visit("tickets lie side by side on a phone", { locale: "ko" }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  await on.hold(page, code, { open: 3 });
  await on.payFor(page);
  const seen = (n) => page.locator(`#ticket-${n}`).evaluate((e) => {
    const { left, right } = e.getBoundingClientRect();
    return left >= 0 && right <= innerWidth;
  });
  assert.deepEqual([await seen(1), await seen(2)], [true, false]);
  await page.locator('.jumps a[href="#ticket-3"]').click();
  await page.waitForFunction(() => document.querySelector("#ticket-3").getBoundingClientRect().right <= innerWidth);
  assert.equal(await seen(1), false);
  assert.match(await readQr(await page.locator("#ticket-3 .qr").screenshot()), /./);
  await visitor.picture("third of three tickets ko");
});

for (const locale of ["ko", "en"]) visit(`all orders by a code, ${locale}`, { locale }, async (visitor) => {
  const { page, context } = visitor;
  const [first, second] = [await exhibition(), await exhibition()];
  const email = `hong-${locale}-${process.pid}@example.org`;
  const { number, tel } = await on.hold(page, first, { email });
  await on.payFor(page);
  const other = await on.hold(page, second, { email, tel });
  await context.clearCookies();
  await page.goto("/orders");
  await on.askForCode(page, tel, email);
  await visitor.inspect("code");
  const code = await mailedCode(new URL(page.url()).pathname);
  await on.enterCode(page, code === "000000" ? "000001" : "000000");
  await page.getByRole("alert").waitFor();
  await visitor.inspect("code refused");
  await on.enterCode(page, code);
  await page.waitForURL("**/orders/mine");
  await on.says(page, number);
  await on.says(page, other.number);
  await visitor.inspect("my orders");
  await page.locator(".card a").last().click();
  await on.tickets(page).first().waitFor();
  on.at(page, `/${first}/complete/${number}`);
  await page.goto("/orders/mine");
  await page.locator('form[action="/orders/mine/close"] button').click();
  await page.waitForURL("**/orders");
  await page.goto("/orders/mine");
  on.at(page, "/orders");
  visitor.wellMade();
});
