// Every page and state that a visitor can come to, in one language: each is inspected, and a picture of it is kept.

import * as on from "./pages.mjs";
import { become, exhibition, buysUp, lapse, scan, sql, state, until } from "./system.mjs";
import { visit } from "./browser.mjs";

export function tour(locale, device) {
  const leg = (name, body) =>
    visit(`well made in ${locale}: ${name}`, { locale, device }, async (visitor) => {
      await body(visitor.page, (what) => visitor.inspect(what), visitor);
      visitor.wellMade();
    });

  leg("exhibitions and the form", async (page, inspect) => {
    const code = await exhibition({ picture: true });
    await page.goto("/");
    await inspect("home");
    await page.goto(`/${code}`);
    await inspect("exhibition");
    await on.openForm(page, code);
    await inspect("form");
    await on.fillIn(page, { open: 0, tel: "02-123-4567" });
    await on.send(page).click();
    await inspect("form judged by the page");
    // As a browser without script sends it.
    await Promise.all([page.waitForEvent("load"), on.form(page).evaluate((form) => form.submit())]);
    await page.getByRole("alert").waitFor();
    await inspect("form refused");
    await page.goto("/orders");
    await inspect("lookup");
    await on.lookUp(page, "ORD20260101-AAAAAAAAAA", "010-1234-5678");
    await page.getByRole("alert").waitFor();
    await inspect("lookup refused");
    await page.goto("/no-such-thing");
    await inspect("unknown address");
    for (const name of ["terms", "privacy"]) {
      await page.goto(`/${name}`);
      await inspect(name);
    }
  });

  leg("sales that are not open", async (page, inspect) => {
    const code = await exhibition({ places: 3 });
    for (const [what, set, becomes] of [
      ["paused", "paused = true", "paused"],
      ["not yet", "paused = false, sale_start_at = now() + interval '30 hours'", "not_yet"],
      ["ended", "sale_start_at = now() - interval '2 days', sale_end_at = now() - interval '1 day'", "ended"],
    ]) {
      await become(code, set, becomes);
      await page.goto(`/${code}`);
      await inspect(`exhibition ${what}`);
    }
    const full = await exhibition({ places: 3 });
    await buysUp(full, 3);
    await until("held by others", async () => (await page.request.get(`/api/exhibitions/${full}/products`)).json().then((said) => said.products[0].state === "held_by_others"));
    await page.goto(`/${full}`);
    await inspect("exhibition held by others");
    const gone = await exhibition({ places: 0 });
    await page.goto(`/${gone}`);
    await inspect("exhibition sold out");
  });

  leg("payment", async (page, inspect, visitor) => {
    const code = await exhibition();
    const { number } = await on.hold(page, code, { open: 2, adult: 1 });
    await inspect("payment");
    await on.chooseMethod(page, "VIRTUAL_ACCOUNT");
    await inspect("payment by account");
    await on.chooseMethod(page, "CARD");
    await page.goto(`/${code}/complete/${number}`);
    await inspect("not paid yet");
    await page.goto(`/${code}/payment/${number}`);
    await on.openWindow(page);
    await on.press(page, "cancel");
    await inspect("payment cancelled");
    await on.goOn(page);
    await on.openWindow(page);
    await on.press(page, "fail");
    await inspect("payment failed");
    await on.goOn(page);
    await on.payFor(page);
    await inspect("tickets");
    await scan(await on.readCode(page));
    await page.reload();
    await inspect("tickets, one used");
    await on.refundLink(page).click();
    await inspect("refund");
    await on.chooseToRefund(page, [0]);
    await inspect("refund offered");
    await on.refund(page);
    await inspect("refund made");
    await page.goto(`/${code}/complete/${number}`);
    await inspect("tickets, one refunded");
    await visitor.context.clearCookies();
    await page.goto(`/${code}/complete/${number}`);
    await inspect("tickets of somebody else");
  });

  leg("orders that ended, or wait", async (page, inspect) => {
    const code = await exhibition();
    const late = await on.hold(page, code);
    await lapse(late.number, false);
    await page.goto(`/${code}/payment/${late.number}`);
    await inspect("payment lapsed");
    await until("the hold is taken back", async () => (await state(late.number)) === "expired");
    await page.goto(`/${code}/complete/${late.number}`);
    await inspect("order expired");
    const dropped = await on.hold(page, code);
    page.once("dialog", (dialog) => dialog.accept());
    await on.giveUpButton(page).click();
    await page.waitForURL(`**/${code}`);
    await page.goto(`/${code}/complete/${dropped.number}`);
    await inspect("order cancelled");
    const { number } = await on.hold(page, code);
    await on.chooseMethod(page, "VIRTUAL_ACCOUNT");
    await on.openWindow(page);
    await on.press(page, "pay");
    await until("the account is there", async () => (await state(number)) === "awaiting_deposit");
    await page.goto(`/${code}/complete/${number}`);
    await inspect("waiting for a deposit");
    const slow = await on.hold(page, code);
    // As while the bank has not answered; nothing is on its way that could end it.
    await sql(`update orders set state = 'confirming' where number = '${slow.number}'`);
    await page.goto(`/${code}/complete/${slow.number}`);
    await inspect("confirming");
    await sql(`update orders set state = 'held' where number = '${slow.number}'`);
  });

  leg("the waiting room", async (page, inspect) => {
    await page.goto("/bbb/queue");
    await inspect("queue outside");
    await page.locator("form[data-call=join] button").click();
    await page.locator("form[data-call=claim] button").waitFor();
    await inspect("queue, your turn");
    // The page may be drawn anew under the pointer: whoever sees the button still there presses it again.
    await until("let in", async () => {
      if (/\/bbb\/order$/.test(page.url())) return true;
      await page.locator("form[data-call=claim] button:enabled").click({ timeout: 1000 }).catch(() => {});
      return false;
    });
    await page.goto("/bbb/queue");
    await inspect("queue, let in");
    await page.goto("/bbb/queue/draw");
    await inspect("draw, none");
  });
}
