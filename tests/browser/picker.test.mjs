// The day of a visit: chosen by touch and by keyboard, taken back, counted live; and what the form says before it is sent.

import assert from "node:assert/strict";
import { DESKTOP, PHONE, visit } from "./support/browser.mjs";
import * as on from "./support/pages.mjs";
import { buysUp, exhibition, sql } from "./support/system.mjs";

const HOURS = [["10:00", "11:00"], ["11:00", "12:00"], ["14:00", "15:30"]];
/** A month and a half, a slot a day, one of them full. */
const DAYS = Array.from({ length: 40 }, (_, n) => [5 + n, n === 1 ? 0 : n % 5 === 2 ? 7 : n % 3 === 0 ? 40 : 3000]);
/** Three times on each of five days. */
const TIMES = [5, 6, 7, 8, 9].flatMap((day) => HOURS.map((hours, n) => [day, day === 5 ? [400, 12, 0][n] : 100, ...hours]));

const radios = (page) => page.locator("#picker [name=slot_id]");
const chosen = (page) => page.locator("#picker [name=slot_id]:checked");
/** Days near the end of a month lie in two of them, which fold. */
const unfoldMonths = async (page) => {
  for (const month of await page.locator("#picker details.month:not([open]) > summary").all()) await month.click();
};
const slotOf = async (number) => (await sql(`select slot_id from orders where number = '${number}'`))[0][0];

for (const [locale, device] of [["ko", PHONE], ["en", DESKTOP]]) {
  visit(`a day of the calendar, ${locale}`, { locale, device }, async (visitor) => {
    const { page } = visitor;
    const code = await exhibition({ slots: DAYS });
    await on.openForm(page, code);
    assert.equal(await chosen(page).getAttribute("value"), "", "at first there is no date");
    const full = page.locator("#picker [data-state=sold_out] input").first();
    assert.equal(await full.isDisabled(), true);
    assert.match(await full.getAttribute("aria-label"), locale === "ko" ? /\d일 .* · 매진$/ : /20\d\d · Sold out$/);
    await visitor.inspect("calendar");
    await on.fillIn(page, { open: 0, adult: 2 });
    await unfoldMonths(page);
    // By touch or mouse, where a person would: the square, not the radio in it.
    const day = on.days(page).nth(2);
    await page.locator(`#picker label:has(input[value="${await day.inputValue()}"])`).click();
    const name = await day.getAttribute("data-name");
    assert.ok((await page.locator("#chosen").innerText()).includes(name));
    await visitor.inspect("calendar, chosen");
    const slot = await chosen(page).inputValue();
    await on.send(page).click();
    await page.waitForURL("**/payment/*");
    assert.equal(await slotOf(on.numberOf(page)), slot);
    visitor.wellMade();
  });

  visit(`a time of a day, ${locale}`, { locale, device }, async (visitor) => {
    const { page } = visitor;
    const code = await exhibition({ slots: TIMES });
    await on.openForm(page, code);
    await unfoldMonths(page);
    const folds = page.locator("#picker details.day");
    assert.equal(await folds.count(), 5);
    assert.match(await folds.first().locator("summary .left").innerText(), locale === "ko" ? /^3회 중 2회/ : /^Times open: 2 of 3/);
    await folds.first().locator("summary").click();
    await visitor.inspect("times");
    await folds.first().locator("input:enabled").nth(1).check();
    await folds.nth(1).locator("summary").click();
    assert.equal(await folds.first().getAttribute("open"), null, "one day at a time");
    assert.match(await page.locator("#chosen").innerText(), /11:00–12:00/);
    await folds.nth(1).locator("input").nth(2).check();
    await visitor.inspect("times, chosen");
    const slot = await chosen(page).inputValue();
    await on.fillIn(page, { open: 0, adult: 1, slot });
    await on.send(page).click();
    await page.waitForURL("**/payment/*");
    assert.equal(await slotOf(on.numberOf(page)), slot);
    visitor.wellMade();
  });
}

visit("a day by the keyboard alone, and taken back", { locale: "en", device: DESKTOP }, async ({ page }) => {
  const code = await exhibition({ slots: [[5, 50], [6, 0], [7, 50]] });
  await on.openForm(page, code);
  await unfoldMonths(page);
  await radios(page).first().focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await chosen(page).inputValue(), await on.days(page).first().inputValue());
  await page.keyboard.press("ArrowRight");
  assert.equal(await chosen(page).inputValue(), await on.days(page).nth(1).inputValue(), "past the day that is full");
  const outline = await chosen(page).locator("xpath=following-sibling::span").evaluate((face) => getComputedStyle(face).outlineStyle);
  assert.equal(outline, "solid", "the focus is seen");
  await page.keyboard.press("ArrowRight");
  assert.equal(await chosen(page).inputValue(), "", "no date again");
  assert.equal(await page.locator("#chosen").innerText(), "");
});

visit("times by the keyboard, though another day's is chosen", { locale: "en", device: DESKTOP }, async ({ page }) => {
  const code = await exhibition({ slots: [[5, 10, "10:00", "11:00"], [5, 10, "15:00", "16:00"], [6, 10, "10:00", "11:00"], [6, 10, "11:00", "12:00"]] });
  await on.openForm(page, code);
  await unfoldMonths(page);
  const [first, second] = [page.locator("details.day").first(), page.locator("details.day").nth(1)];
  await first.locator("summary").focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  assert.equal(await chosen(page).inputValue(), await first.locator("input").first().inputValue());
  // The last stop before the next day, whatever lies between.
  for (let n = 0; n < 5 && !(await second.locator("summary").evaluate((e) => e === document.activeElement)); n += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowRight");
  assert.equal(await chosen(page).inputValue(), await second.locator("input").nth(1).inputValue());
});

visit("counts move under the eyes", { locale: "ko" }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition({ slots: [[5, 50], [6, 3], [7, 12]] });
  await on.openForm(page, code);
  await unfoldMonths(page);
  const faces = page.locator("#picker [data-day]");
  const slots = await on.days(page).evaluateAll((all) => all.map((radio) => Number(radio.value)));
  await on.days(page).nth(2).focus();
  await buysUp(code, 4, slots[2]);
  await buysUp(code, 3, slots[1]);
  await page.locator("#picker [data-state=held_by_others]").waitFor();
  await page.locator("#picker .short", { hasText: /^8$/ }).waitFor();
  assert.match(await faces.nth(2).locator("input").getAttribute("aria-label"), / · 마감 임박 8$/);
  assert.equal(await faces.nth(1).locator("input").isDisabled(), true);
  assert.match(await page.locator("#picker [data-month] .left").last().innerText(), /중 \d+일 예매 가능/);
  assert.equal(await page.evaluate(() => document.activeElement.value), String(slots[2]), "the focus stays");
  await visitor.picture("counts have moved ko");
});

for (const [locale, phone, needed] of [["ko", /010-1234-5678과 같은/, /방문일을 선택/], ["en", /Korean mobile number/, /Choose the date/]]) {
  visit(`errors come and go, ${locale}`, { locale }, async (visitor) => {
    const { page } = visitor;
    const code = await exhibition({ slots: [[5, 50], [6, 50]] });
    await on.openForm(page, code);
    const said = (field) => on.saidOf(page, `[name=${field}]`);
    const wrong = (field) => page.locator(`[name=${field}][aria-invalid=true]`);
    const hint = await said("customer_phone");
    await page.locator("[name=customer_phone]").fill("02-123-4567");
    await page.locator("[name=customer_email]").fill("hong@");
    await page.locator("[name=customer_name]").focus();
    await wrong("customer_phone").waitFor();
    assert.match(await said("customer_phone"), phone);
    await wrong("customer_email").waitFor();
    await visitor.inspect("errors while typing");
    await page.locator("[name=customer_phone]").fill("+82 10-1234-5678");
    assert.equal(await said("customer_phone"), hint, "right at once");
    assert.equal(await wrong("customer_phone").count(), 0);
    await page.locator("[name=customer_email]").fill("hong@example.org");
    assert.equal(await wrong("customer_email").count(), 0);

    // Nothing is sent, and the first thing that is wrong has the focus.
    const sent = [];
    page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
    await on.send(page).click();
    assert.ok(await page.evaluate(() => document.activeElement.matches("[data-price]")), "no ticket is chosen");
    await wrong("customer_name").waitFor();
    await wrong("agree_terms").waitFor();
    await on.form(page).locator("[data-dated]").selectOption("1");
    await on.send(page).click();
    assert.match(await on.saidOf(page, "#picker"), needed);
    assert.equal(await page.locator("#picker").getAttribute("aria-invalid"), "true");
    assert.ok(await page.evaluate(() => document.activeElement.matches("#picker *")), "the picker has the focus");
    await visitor.inspect("a date is needed");
    await on.days(page).first().check();
    assert.equal(await page.locator("#picker").getAttribute("aria-invalid"), null);

    // More than one person may have.
    await on.form(page).locator("[data-dated]").selectOption("10");
    await on.form(page).locator("[data-price]").first().selectOption("1");
    assert.match(await page.locator("#items-error").innerText(), /10.*11/);
    await visitor.picture(`too many for one ${locale}`);
    await on.form(page).locator("[data-price]").first().selectOption("0");
    assert.equal(await page.locator("#items-error").innerText(), "");
    await page.locator("[name=customer_name]").fill("홍길동");
    assert.equal(await said("customer_name"), "");
    for (const consent of on.CONSENTS) await page.locator(`[name=${consent}]`).check();
    assert.equal(await said("agree_terms"), "");
    assert.deepEqual(sent, []);
    await on.form(page).locator("[data-dated]").selectOption("2");
    await on.send(page).click();
    await page.waitForURL("**/payment/*");
    visitor.wellMade();
  });
}

visit("a day without JavaScript, refused and sent again", { locale: "ko", javaScriptEnabled: false }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition({ slots: [[5, 50], [6, 50], [40, 50]] });
  await on.openForm(page, code);
  await unfoldMonths(page);
  await on.fillIn(page, { open: 0, adult: 1, tel: "02-123-4567" });
  await on.days(page).nth(1).check();
  const slot = await chosen(page).inputValue();
  await on.send(page).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await chosen(page).inputValue(), slot, "the day stays chosen");
  await visitor.picture("calendar refused without script ko");
  await page.locator("[name=customer_phone]").fill("010-1234-9876");
  await on.send(page).click();
  await page.waitForURL("**/payment/*");
  assert.equal(await slotOf(on.numberOf(page)), slot);
});
