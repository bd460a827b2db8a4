// A sale, watched on the live board: real visitors in the real line pay at the simulated bank while the room is paused and goes on.

import assert from "node:assert/strict";
import { DESKTOP, visit } from "./support/browser.mjs";
import { account, signIn } from "./support/admin.mjs";
import { lineUp } from "./support/crowd.mjs";
import { admin, demo, exhibition, until } from "./support/system.mjs";

const PEOPLE = 30, CAPACITY = 8, WAITS_S = 240;
const dialog = (page) => page.locator("dialog[open]");

async function openRoom(code) {
  const room = `exhibitions/${code}/room`;
  await admin("PUT", room, { config: { capacity: CAPACITY, slack: 0, rate_per_min: 1200, draw: false } });
  await admin("POST", `${room}/phase`, { to: "open" });
}

visit("control room: a simulated sale is watched, its room paused and resumed", { locale: "en", device: DESKTOP }, async (visitor) => {
  const { page, context } = visitor;
  const code = await exhibition({ places: 60 });
  await openRoom(code);
  const { products } = await (await fetch(`${demo.base_url}/api/exhibitions/${code}/products`)).json();
  await signIn(page, `#/${code}/live`, await account("admin", [code]));
  await page.locator("#freshness[data-state=fresh]").waitFor();
  const shown = async (id) => Number(await page.locator(`#live-${id}`).innerText());
  const cells = page.getByRole("row", { name: /Open-date ticket/ }).getByRole("cell");
  const [sold, held] = [0, 1].map((n) => async () => Number(await cells.nth(n).innerText()));
  const board = (what, check) => until(`the board shows ${what}`, check);

  const crowd = await lineUp(code, products.find((one) => !one.dated).id, PEOPLE, WAITS_S);
  const full = () => until("as many are inside as may be", () => crowd.inside().length === CAPACITY);
  const move = async (to) => {
    await page.locator(`[data-to=${to}]`).click();
    if (to === "paused") {
      await dialog(page).locator("[name=reason_ko]").fill("결제사를 기다립니다.");
      await dialog(page).locator("[name=reason_en]").fill("We wait for the payment provider.");
    }
    await dialog(page).locator("[type=submit]").click();
    await until(`the room is ${to}`, async () => (await admin("GET", `exhibitions/${code}/room`)).phase === to);
  };
  try {
    await full();
    await board("who is inside and who waits", async () => (await shown("active")) === CAPACITY && (await shown("waiting")) === PEOPLE - CAPACITY);

    // Those inside book; somebody with a browser comes last.
    const first = crowd.inside(), shop = await context.newPage();
    await Promise.all(first.map((one) => one.hold()));
    await board("what they hold", async () => (await held()) === CAPACITY);
    assert.equal(await sold(), 0);
    await shop.goto(`/${code}/queue`);
    await shop.locator("form[data-call=join] button").click();
    await shop.locator("#ahead").waitFor();
    await visitor.picture("control room, a sale begins en");

    // They pay, and as many of the line are let in.
    await Promise.all(first.map((one) => one.pay()));
    await Promise.all([board("that money comes in", async () => (await shown("paid")) > 0), board("what is sold", async () => (await sold()) === CAPACITY && (await held()) === 0)]);
    await full();
    const waiting = PEOPLE + 1 - 2 * CAPACITY;
    await board("that the line is shorter", async () => (await shown("waiting")) === waiting);

    // While the room is paused those inside go on, and nobody follows them; those in line read why.
    await move("paused");
    await shop.locator("#reason", { hasText: "We wait for the payment provider." }).waitFor({ timeout: 30_000 });
    await visitor.inspect("queue, the room is paused", shop);
    await Promise.all(crowd.inside().map(async (one) => { await one.hold(); await one.pay(); }));
    await board("what was sold meanwhile", async () => (await sold()) === 2 * CAPACITY);
    await board("that nobody is inside", async () => (await shown("active")) === 0);
    assert.equal(await shown("waiting"), waiting);
    assert.equal(crowd.inside().length, 0);
    await visitor.inspect("control room, a sale whose room is paused");

    await move("open");
    const rest = crowd.buyers.filter((one) => !one.order);
    await Promise.all(rest.map(async (one) => {
      await until("let in after the pause", () => one.state === "admitted", WAITS_S);
      await one.hold();
      await one.pay();
    }));
    await crowd.all;
    await board("that everybody has bought", async () => (await sold()) === PEOPLE && (await shown("waiting")) === 0);
    await shop.locator("form[data-call=claim] button").waitFor({ timeout: 30_000 });
    await visitor.picture("control room, a sale is over en");
  } finally {
    crowd.gone();
  }
  visitor.wellMade();
});
