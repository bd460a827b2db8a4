// Whoever comes without a ticket buys one at the door; and what a gate does with answers that are lost or cut off.

import assert from "node:assert/strict";
import { visit } from "./support/browser.mjs";
import { deaf, known, phone, section, synced, typed, verdict, waiting } from "./support/gate.mjs";
import * as on from "./support/pages.mjs";
import { admin, exhibition, readQr, sql, until } from "./support/system.mjs";

const till = (page, id) => page.locator(`#till-${id}`);

async function opened(page) {
  await page.waitForFunction(() => GateStore.meta.rulebook && GateStore.meta.rulebook.walk_ins);
  await page.locator("#till summary").click();
  await till(page, "form").waitFor();
}

for (const locale of ["ko", "en"]) visit(`somebody without a ticket pays cash and walks in, ${locale}`, { locale }, async (visitor) => {
  const code = await exhibition({ slots: [[0, 40, "00:00", "23:58"], [0, 40, "23:58", "23:59"]] });
  await sql(`update slots set visit_date = (now() at time zone 'Asia/Seoul')::date where exhibition_id = (select id from exhibitions where code = '${code}')`);
  const gate = await phone(code, "north", { locale });
  const { page } = gate;
  try {
    assert.equal(await page.locator("#till").isVisible(), false, "not where the exhibition does not allow it");
    await admin("PUT", `exhibitions/${code}/entry-rules`, { exhibition: null, walk_ins: true });
    await opened(page);
    const more = page.locator("#till-products .stepper").nth(1).locator("button").last();
    await more.click();
    await more.click();
    await visitor.inspect("gate, the till", page);
    await till(page, "sell").click();
    await till(page, "sold").waitFor();
    await visitor.inspect("gate, sold", page);
    await visitor.picture(`gate, sold ${locale}`, page);

    // What the visitor's phone reads is their tickets' page.
    const link = await readQr(await till(page, "qr").screenshot());
    const { pathname, search } = new URL(link);
    await visitor.page.goto(pathname + search);
    assert.equal(await on.tickets(visitor.page).count(), 2);
    await visitor.inspect("tickets that were paid in cash");

    await till(page, "let-in").click();
    await page.locator("#result[data-verdict=allowed]").waitFor();
    await section(page, "result").waitFor({ state: "hidden" });
    await till(page, "next").click();

    // The server sells, and nobody hears of it: asked again, also after a reload, it is the same sale.
    await deaf(page, "walk-ins");
    await page.evaluate(() => document.querySelector("#till-products input").focus());
    await page.locator("#till-products input").first().fill("1");
    await till(page, "sell").click();
    await till(page, "wrong").waitFor();
    await page.unroute("**/api/entrance/walk-ins");
    gate.wrong.length = 0;
    await page.reload();
    await section(page, "scan").waitFor();
    await opened(page);
    await visitor.inspect("gate, a sale nobody has heard of", page);
    await till(page, "sell").click();
    await till(page, "sold").waitFor();
    const orders = await sql(`select count(*), sum(total_won) from orders where exhibition_id = (select id from exhibitions where code = '${code}')`);
    assert.deepEqual(orders, [["2", "56000"]]);
    await page.getByText(locale === "ko" ? "56,000원 받음" : "56,000 won (2)").waitFor();
    assert.deepEqual(gate.wrong, []);
  } finally {
    await gate.context.close();
  }
});

visit("what was given back, a hand-over nobody heard of, and a page that was cut off", { locale: "en" }, async (visitor) => {
  const code = await exhibition();
  await on.hold(visitor.page, code, { open: 3 });
  await on.payFor(visitor.page);
  const [one, two, three] = await Promise.all([0, 1, 2].map((n) => on.readCode(visitor.page, n)));
  const number = on.numberOf(visitor.page);
  const gate = await phone(code, "north");
  const { page } = gate;
  try {
    // Every page of tickets is cut short for a while: the phone keeps what it had, and asks again.
    let cut = 0;
    await page.route("**/api/entrance/tickets*", async (route) => {
      const reply = await route.fetch();
      const whole = await reply.body();
      cut += 1;
      await route.fulfill({ response: reply, body: whole.subarray(0, whole.length - 9) });
    });
    const [ticket] = await sql(`select t.id from tickets t join orders o on o.id = t.order_id where o.number = '${number}' and t.ticket_no = 1`);
    await admin("POST", `exhibitions/${code}/tickets/${ticket[0]}/block`, { why: "lost" });
    await page.evaluate(() => GateSync.settled().then(GateSync.soon));
    await until("a page was cut off", () => cut > 0);
    assert.equal(await page.evaluate(() => GateStore.table.count), 3, "nothing is lost of what it knew");
    await page.unroute("**/api/entrance/tickets*");
    gate.wrong.length = 0;
    await synced(page);
    await gate.context.setOffline(true);
    await typed(page, one);
    assert.equal(await verdict(page), "refused", "it has heard of it after all");
    await page.locator("#next").click();

    // A hand-over whose answer is lost goes up again, and counts once.
    await typed(page, two);
    assert.equal(await verdict(page), "allowed");
    await section(page, "result").waitFor({ state: "hidden" });
    assert.equal(await waiting(page), 2, "the refusal as well");
    await deaf(page, "uploads");
    await gate.context.setOffline(false);
    await until("the server has it", async () => (await sql(`select count(*) from scans where uploaded_at is not null and allowed and exhibition_id = (select id from exhibitions where code = '${code}')`))[0][0] === "1");
    assert.equal(await waiting(page), 2, "the phone does not know");
    await page.unroute("**/api/entrance/uploads");
    await synced(page);
    const [[scans, entries]] = await sql(`select count(distinct s.id), max(t.entries) from scans s join tickets t on t.id = s.ticket_id join orders o on o.id = t.order_id where o.number = '${number}' and t.ticket_no = 2`);
    assert.deepEqual([scans, entries], ["1", "1"]);

    // Given back by its visitor while the door is open.
    await on.refundLink(visitor.page).click();
    await on.chooseToRefund(visitor.page, [1]);
    await on.refund(visitor.page);
    await typed(page, three);
    assert.equal(await verdict(page), "refused");
    await page.getByText("refunded", { exact: false }).first().waitFor();
    await page.locator("#next").click();
    await synced(page);
    await gate.context.setOffline(true);
    await typed(page, three);
    assert.equal(await verdict(page), "refused", "and without a network");
    await visitor.picture("gate, given back en", page);
  } finally {
    await gate.context.close();
  }
});
