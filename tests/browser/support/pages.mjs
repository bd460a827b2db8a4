// How a visitor uses each page, one place per page. Things are found by what a person sees and by the names of form
// fields. Addresses are those of src/orders/pages.

import assert from "node:assert/strict";
import { phone, readQr } from "./system.mjs";


/** From the exhibition's page to the form. */
export async function openForm(page, code) {
  await page.goto(`/${code}`);
  await formLink(page, code).click();
  await form(page).waitFor();
}

export const formLink = (page, code) => page.locator(`main a[href="/${code}/order"]`);

export const form = (page) => page.locator("form[data-order]");

export const CONSENTS = ["agree_terms", "agree_privacy", "over_14"];

/** Fills in the form: `open` undated tickets, `adult` dated ones for a slot or the first day. */
export async function fillIn(page, { open = 1, adult = 0, slot = "", tel = phone(), name = "홍길동", email = "" } = {}) {
  const quantities = form(page).locator("[data-price]");
  await choose(quantities.nth(0), open);
  await choose(quantities.nth(1), adult);
  if (adult) await (slot ? page.locator(`[name=slot_id][value="${slot}"]`) : days(page).first()).check();
  await page.locator("[name=customer_name]").fill(name);
  await page.locator("[name=customer_phone]").fill(tel);
  await page.locator("[name=customer_email]").fill(email);
  for (const consent of CONSENTS) await page.locator(`[name=${consent}]`).check();
  return tel;
}

/** The radios of the calendar that can be chosen. */
export const days = (page) => page.locator("#picker [name=slot_id][data-name]:enabled");

/** The words of what is wrong with a field, or of a hint. */
export const saidOf = async (page, field) =>
  page.locator(`#${await page.locator(field).first().getAttribute("aria-describedby")}`).innerText();

async function choose(field, quantity) {
  if ((await field.evaluate((e) => e.tagName)) === "SELECT") await field.selectOption(String(quantity));
  else await field.fill(String(quantity));
}

export const send = (page) => form(page).locator("button[type=submit]");

/** The number of the order that the page is about. */
export const numberOf = (page) => new URL(page.url()).pathname.split("/")[3];

/** From nothing to the payment page. Returns the order's number and phone. */
export async function hold(page, code, wishes) {
  await openForm(page, code);
  const tel = await fillIn(page, wishes);
  await send(page).click();
  await page.waitForURL(`**/${code}/payment/*`);
  return { number: numberOf(page), tel };
}

export const payButton = (page) => page.locator("#pay");
export const giveUpButton = (page) => page.locator("#cancel");
export const chooseMethod = (page, method) => page.locator(`[name=method][value=${method}]`).check();

/** Opens the provider's window, which is a page of its own. */
export async function openWindow(page) {
  await payButton(page).click();
  await page.locator("#fail").waitFor();
}

/** In the window: pay, fail or cancel. */
export async function press(page, button) {
  await page.locator(`#${button}`).click();
  await page.waitForURL(/\/(complete|fail)\/[A-Z0-9-]+(\?.*)?$/);
}

/** From the payment page to the tickets. */
export async function payFor(page) {
  await openWindow(page);
  await press(page, "pay");
  await tickets(page).first().waitFor();
}

/** What the first code on the page says, read off the screen. */
export const readCode = async (page, nth = 0) => readQr(await page.locator(".ticket .qr").nth(nth).screenshot());

export const tickets = (page) => page.locator(".ticket");

export const calendarLink = (page) => page.locator('main a[href$="/calendar.ics"]');
export const refundLink = (page) => page.locator('main a[href*="/refund/"]');

/** On the refund page: looks at what giving back the nth tickets that may be given back would cost, without doing it. */
export async function chooseToRefund(page, chosen) {
  const boxes = page.locator("[name=t]:enabled");
  for (let n = 0; n < (await boxes.count()); n += 1) await boxes.nth(n).setChecked(chosen.includes(n));
  await page.locator("main form button[type=submit]").first().click();
  await page.locator("[name=amount]").waitFor({ state: "attached" });
}

/** Gives back what was offered. Returns the amount that the page named. */
export async function refund(page) {
  const amount = Number(await page.locator("[name=amount]").inputValue());
  await page.locator("main form button[type=submit]").first().click();
  await page.locator("[name=amount]").waitFor({ state: "detached" });
  return amount;
}

/** Sends the page on to the next one, as its own button does. */
export async function goOn(page) {
  await page.locator("main a.button").first().click();
}

export async function lookUp(page, number, tel) {
  const byNumber = page.locator('form[action="/orders"]');
  await byNumber.locator("[name=order_number]").fill(number);
  await byNumber.locator("[name=phone]").fill(tel);
  await byNumber.locator("button[type=submit]").click();
}

/** On the look-up page: asks for a code for all orders. */
export async function askForCode(page, tel, email) {
  const byCode = page.locator('form[action="/orders/code"]');
  await byCode.locator("[name=phone]").fill(tel);
  await byCode.locator("[name=email]").fill(email);
  await byCode.locator("button[type=submit]").click();
  await page.waitForURL("**/orders/code/*");
}

export async function enterCode(page, code) {
  await page.locator("[name=code]").fill(code);
  await page.locator("main form button[type=submit]").click();
}

export const heading = (page) => page.getByRole("heading", { level: 1 });

export async function says(page, text) {
  await page.locator("main").getByText(text).first().waitFor();
}

export function at(page, path) {
  assert.equal(new URL(page.url()).pathname, path);
}
