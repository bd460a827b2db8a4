// A visitor buys tickets: on a phone in Korean, on a desktop in English, after a failed try, without JavaScript as far as
// that goes, and without a mouse.

import assert from "node:assert/strict";
import { DESKTOP, PHONE, visit } from "./support/browser.mjs";
import * as on from "./support/pages.mjs";
import { balance, exhibition, paidFor, scan, until } from "./support/system.mjs";

for (const [locale, device] of [["ko", PHONE], ["en", DESKTOP]]) {
  visit(`bought and admitted, ${locale}`, { locale, device }, async (visitor) => {
    const { page } = visitor;
    const code = await exhibition();
    const listed = page.locator(`main a[href="/${code}"]`);
    // The list is a second old at most.
    await until("it is listed", async () => {
      await page.goto("/");
      return (await listed.count()) > 0;
    });
    assert.equal(await page.locator("html").getAttribute("lang"), locale);
    await listed.click();
    await on.openForm(page, code);
    await on.fillIn(page, { open: 2, adult: 1, email: "hong@example.org" });
    await visitor.picture(`form filled in ${locale}`);
    await on.send(page).click();
    await page.waitForURL("**/payment/*");
    const number = on.numberOf(page);
    await on.payFor(page);
    assert.equal(await on.tickets(page).count(), 3);
    on.at(page, `/${code}/complete/${number}`);
    const calendar = await page.request.get(await on.calendarLink(page).first().getAttribute("href"));
    assert.match(await calendar.text(), /^BEGIN:VCALENDAR/);
    const qr = await on.readCode(page);
    const gate = await scan(qr);
    assert.equal(gate.entrance_status, "allowed", JSON.stringify(gate));
    assert.equal((await scan(qr)).reason, "already_used");
    await page.reload();
    assert.equal(await page.locator(".ticket .qr").count(), 2, "a used ticket shows no code");
    await visitor.picture(`tickets, one used ${locale}`);
    assert.equal((await paidFor(number)).length, 1);
  });
}

visit("failed, cancelled, then paid", { locale: "ko" }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  const { number } = await on.hold(page, code);
  for (const button of ["fail", "cancel"]) {
    await on.openWindow(page);
    await on.press(page, button);
    on.at(page, `/${code}/fail/${number}`);
    await on.goOn(page);
    await page.waitForURL("**/payment/*");
  }
  assert.deepEqual(await paidFor(number), []);
  await on.payFor(page);
  assert.equal((await paidFor(number)).length, 1);
});

visit("one ticket of two given back", { locale: "ko" }, async ({ page }) => {
  const code = await exhibition();
  const { number } = await on.hold(page, code, { open: 2 });
  await on.payFor(page);
  await on.refundLink(page).click();
  await on.chooseToRefund(page, [0]);
  assert.equal(await on.refund(page), 20_000, "nothing is kept on the day of payment");
  await until("the bank has given it back", async () => (await balance(number)) === 20_000);
  await page.goto(`/${code}/complete/${number}`);
  assert.equal(await page.locator(".ticket .qr").count(), 1);
});

visit("without JavaScript up to the payment page", { locale: "ko", javaScriptEnabled: false }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  await on.openForm(page, code);
  await visitor.picture("form without script ko");
  await on.fillIn(page, { open: 1 });
  await on.send(page).click();
  await page.waitForURL("**/payment/*");
  await page.locator("noscript p").waitFor();
  await visitor.picture("payment without script ko");
});

visit("with the keyboard alone, to the payment page", { locale: "en", device: DESKTOP }, async ({ page }) => {
  const code = await exhibition();
  await page.goto(`/${code}`);
  const press = (key) => page.keyboard.press(key);
  /** Tab until the wanted thing has the focus; it must be seen to have it. */
  const tabTo = async (selector) => {
    for (let n = 0; n < 60; n += 1) {
      await press("Tab");
      const found = await page.evaluate((wanted) => {
        const e = document.activeElement;
        if (!e?.matches(wanted)) return null;
        const style = getComputedStyle(e);
        return { outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 };
      }, selector);
      if (found) return assert.ok(found.outlined, `${selector} shows no focus`);
    }
    assert.fail(`Tab never reaches ${selector} at ${page.url()}`);
  };
  // The first stop is the way past the head of the page.
  await tabTo("a.skip");
  await press("Enter");
  await tabTo(`a[href="/${code}/order"]`);
  await press("Enter");
  await on.form(page).waitFor();
  await tabTo("form[data-order] [data-price]");
  await page.keyboard.type("1");
  await tabTo("[name=customer_name]");
  await page.keyboard.type("Hong Gildong");
  await tabTo("[name=customer_phone]");
  await page.keyboard.type("010-7777-1234");
  for (const consent of on.CONSENTS) {
    await tabTo(`[name=${consent}]`);
    await press("Space");
  }
  await tabTo("form[data-order] button[type=submit]");
  await press("Enter");
  await page.waitForURL("**/payment/*");
  await tabTo("#pay");
  await press("Enter");
  await page.locator("#fail").waitFor();
});
