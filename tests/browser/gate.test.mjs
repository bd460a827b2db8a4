// The gate's page on a phone: enrolled by its QR, a shift, tickets by camera and by hand, taken back.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { PHONE, Visitor, visit } from "./support/browser.mjs";
import { filmed, withCamera } from "./support/film.mjs";
import { deaf, known, phone, section, signIn, synced, typed, verdict, waiting } from "./support/gate.mjs";
import * as on from "./support/pages.mjs";
import { admin, demo, enrolment, exhibition, readQr, sql, until } from "./support/system.mjs";

/** Tickets of an order, by what their codes say. */
async function tickets(page, code, open) {
  await on.hold(page, code, { open });
  await on.payFor(page);
  const links = await page.locator('.ticket a[href*="qr.png"]').all();
  return Promise.all(links.map((link) => link.getAttribute("href")));
}

const COUNTS = { ko: "입장 1, 거절 2", en: "1 let in, 2 refused" };

for (const locale of ["ko", "en"]) visit(`a phone becomes a device, scans by hand, and is taken back, ${locale}`, { locale }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  await tickets(page, code, 2);
  const qr = await on.readCode(page);
  const { id, path } = await enrolment(code, "north");
  visitor.refusals.add(401).add(403);

  await page.goto("/entrance");
  await section(page, "none").waitFor();
  await visitor.inspect("gate, not enrolled");
  await page.goto(path);
  await section(page, "sign").waitFor();
  assert.equal(new URL(page.url()).hash, "", "the token is gone from the address");
  await visitor.inspect("gate, signing in");
  await signIn(page);
  await visitor.inspect("gate");
  await typed(page, qr);
  assert.equal(await verdict(page), "allowed");
  await visitor.picture(`gate, allowed ${locale}`);
  // By itself it goes on.
  await section(page, "result").waitFor({ state: "hidden" });
  await typed(page, qr);
  assert.equal(await verdict(page), "refused");
  await visitor.inspect("gate, refused");
  await page.locator("#next").click();
  await typed(page, "https://example.org/menu");
  assert.equal(await verdict(page), "refused");
  await page.locator("#next").click();
  // A reload, or a battery that was changed: still the same shift.
  await page.reload();
  await section(page, "scan").waitFor();
  await page.getByText(COUNTS[locale]).waitFor();

  await known(page);
  await page.context().setOffline(true);
  await typed(page, qr);
  assert.equal(await verdict(page), "refused", "the phone knows it by itself");
  await visitor.picture(`gate, no connection ${locale}`);
  await page.locator("#next").click();
  await page.context().setOffline(false);

  await admin("POST", `exhibitions/${code}/devices/${id}/revoke`, {});
  await page.locator("#code").fill(qr);
  await page.locator("#typed button").click();
  await section(page, "none").waitFor();
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), [], "nothing is left on the phone");
  visitor.wrong = [];
  visitor.wellMade();
});

/** Tickets of one order, as their codes. */
async function sold(visitor, code, quantity) {
  const qrs = [];
  await tickets(visitor.page, code, quantity);
  for (let n = 0; n < quantity; n += 1) qrs.push(await on.readCode(visitor.page, n));
  return qrs;
}

/** The one code of all tickets on their page. */
async function groupCode(page) {
  await page.locator("details:has(.qr) summary").last().click();
  return readQr(await page.locator("details .qr").last().screenshot());
}

for (const locale of ["ko", "en"]) visit(`a group comes in by one code, and a friend by a supervisor's word, ${locale}`, { locale }, async (visitor) => {
  const { page } = visitor;
  const code = await exhibition();
  await tickets(page, code, 3);
  const group = await groupCode(page);
  await visitor.picture(`tickets with a group's code ${locale}`);
  const number = (await page.locator(".ticket .number").first().innerText()).match(/[0-9A-Z]{4}-[0-9A-Z]{4}/)[0];
  const order = new URL(page.url()).pathname.split("/").pop();
  const gate = await phone(code, "north", { locale });
  try {
    await typed(gate.page, group);
    assert.equal(await verdict(gate.page), "choose");
    await visitor.inspect("gate, a group", gate.page);
    await gate.page.locator("#fewer").click();
    // The server lets two in, and its answer never arrives: the next scan is the same question.
    await deaf(gate.page, "scan");
    await gate.page.locator("#let-in").click();
    await gate.page.locator("#result[data-verdict=unjudged]").waitFor();
    await gate.page.unroute("**/api/entrance/scan");
    gate.wrong.length = 0;
    await gate.page.locator("#next").click();
    await synced(gate.page);
    await typed(gate.page, group);
    await gate.page.locator("#result[data-verdict=allowed]").waitFor();
    await visitor.picture(`gate, a group let in ${locale}`, gate.page);
    await section(gate.page, "result").waitFor({ state: "hidden" });
    // The third one is found by the order's number; the first is in already, and let in all the same by somebody who signs.
    await gate.page.locator("#search summary").click();
    await gate.page.locator("#sought").fill(order.slice(12));
    await gate.page.locator("#search-form button").click();
    await gate.page.locator("#found li").nth(2).waitFor();
    await visitor.inspect("gate, found", gate.page);
    await typed(gate.page, number.toLowerCase());
    assert.equal(await verdict(gate.page), "refused");
    await gate.page.locator("#force").click();
    await gate.page.locator("#force-username").fill(demo.accounts.super_admin.username);
    await gate.page.locator("#force-password").fill(demo.accounts.super_admin.password);
    await gate.page.locator("#force-why").fill("a friend of the house");
    await visitor.inspect("gate, by a supervisor's word", gate.page);
    await gate.page.locator("#force-form [type=submit]").click();
    await gate.page.locator("#result[data-verdict=allowed]").waitFor();
    await section(gate.page, "result").waitFor({ state: "hidden" });
    await gate.page.locator("#whole summary").click();
    await gate.page.locator("#gates tr").waitFor();
    await visitor.inspect("gate, the whole exhibition", gate.page);
    const forced = await sql(`select reason from scans where forced and exhibition_id = (select id from exhibitions where code = '${code}')`);
    assert.deepEqual(forced, [["already_used"]]);
    assert.deepEqual(gate.wrong, []);
    visitor.wellMade();
  } finally {
    await gate.context.close();
  }
});

const GROUP = { ko: ["3명 중 2명", "입장 2, 거절 0"], en: ["2 of 3 people", "2 let in, 0 refused"] };

for (const locale of ["ko", "en"]) visit(`a group comes in without a network, ${locale}`, { locale }, async (visitor) => {
  const code = await exhibition();
  await tickets(visitor.page, code, 3);
  const group = await groupCode(visitor.page);
  const gate = await phone(code, "north", { locale });
  const { page, context } = gate;
  /** How many the phone says may come in. */
  const free = async () => {
    await typed(page, group);
    assert.equal(await verdict(page), "choose");
    return page.locator("#how-many").inputValue();
  };
  const twoComeIn = async () => {
    assert.equal(await free(), "3");
    await page.locator("#fewer").click();
    await page.locator("#let-in").click();
    await page.locator("#result[data-verdict=allowed]").waitFor();
  };
  const gone = () => section(page, "result").waitFor({ state: "hidden" });
  const takenBack = async () => {
    await page.locator("#last-undo").click();
    await page.locator("#last").waitFor({ state: "hidden" });
  };
  const entries = async () => (await sql(`select string_agg(entries::text, ' ' order by ticket_no) from tickets where exhibition_id = (select id from exhibitions where code = '${code}')`))[0][0];
  const online = async () => {
    await context.setOffline(false);
    await synced(page);
  };
  const offline = async () => {
    await context.setOffline(true);
    await page.waitForFunction(() => !GateSync.online);
  };
  try {
    await offline();
    assert.equal(await free(), "3");
    await visitor.inspect("gate, a group without a network", page);
    await visitor.picture(`gate, a group alone ${locale}`, page);
    await page.locator("#next").click();
    await twoComeIn();
    await page.locator("#result").getByText(GROUP[locale][0]).waitFor();
    await visitor.picture(`gate, a group let in alone ${locale}`, page);
    await gone();
    await page.getByText(GROUP[locale][1]).waitFor();
    assert.equal(await waiting(page), 2);

    // The battery dies: two are in, and one may come.
    await page.reload();
    await section(page, "scan").waitFor();
    assert.equal(await free(), "1");
    await page.locator("#next").click();
    await takenBack();
    await twoComeIn();
    await gone();
    await online();
    assert.equal(await entries(), "1 1 0");
    assert.deepEqual(await conflicts(code), []);

    // Handed in, they are taken back by the server, both of them.
    await takenBack();
    assert.equal(await entries(), "0 0 0");

    // The server lets two in, and its answer never arrives; without a network the phone goes on with the same question.
    await synced(page);
    assert.equal(await free(), "3");
    await page.locator("#fewer").click();
    await deaf(page, "scan");
    await page.locator("#let-in").click();
    await page.locator("#result[data-verdict=unjudged]").waitFor();
    await until("the server has let two in", async () => (await entries()) === "1 1 0");
    await page.unroute("**/api/entrance/scan");
    // Even if it hears of these two in between, and not that they were its own.
    if (locale === "en") await synced(page);
    await offline();
    await page.locator("#next").click();
    await typed(page, group);
    assert.equal(await verdict(page), "allowed");
    await page.locator("#result").getByText(GROUP[locale][0]).waitFor();
    await gone();
    await online();
    assert.equal(await entries(), "1 1 0");

    // What the server let in is known here at once, before any page of changes says so.
    await page.route("**/api/entrance/tickets*", (route) => route.abort());
    assert.equal(await free(), "1");
    await page.locator("#let-in").click();
    await page.locator("#result[data-verdict=allowed]").waitFor();
    await gone();
    await offline();
    await typed(page, group);
    assert.equal(await verdict(page), "refused");
    await visitor.picture(`gate, a group alone refused ${locale}`, page);
    assert.deepEqual(await conflicts(code), []);
    assert.equal(await entries(), "1 1 1");
  } finally {
    await gate.context.close();
  }
});

const conflicts = (code) => admin("GET", `exhibitions/${code}/entry-conflicts`).then((found) => found.conflicts);

for (const first of ["north", "south"]) visit(`two gates without a network, ${first} is back first`, { locale: "en" }, async (visitor) => {
  const code = await exhibition();
  const [one, two, three] = await sold(visitor, code, 3);
  const [north, south] = [await phone(code, "north"), await phone(code, "south")];
  try {
    await north.context.setOffline(true);
    await south.context.setOffline(true);
    // With nothing to send it notices all the same, and stays of that mind.
    await north.page.waitForFunction(() => !GateSync.online);
    await north.page.evaluate(() => GateSync.soon());
    assert.equal(await north.page.evaluate(() => GateSync.online), false);
    await typed(north.page, one);
    assert.equal(await verdict(north.page), "allowed");
    await visitor.picture(`gate, alone en ${first}`, north.page);
    await section(north.page, "result").waitFor({ state: "hidden" });
    await typed(north.page, two);
    // The battery dies, and the phone starts again without a network.
    await north.page.reload();
    await section(north.page, "scan").waitFor();
    assert.equal(await north.page.getAttribute("html", "lang"), "en");
    assert.equal(await waiting(north.page), 2);
    await typed(north.page, one);
    assert.equal(await verdict(north.page), "refused", "it remembers whom it let in");
    await visitor.picture(`gate, alone refused en ${first}`, north.page);
    await north.page.locator("#next").click();
    await typed(north.page, one.slice(0, -6) + "AAAAAA");
    assert.equal(await verdict(north.page), "refused", "a forgery");
    await north.page.locator("#next").click();
    await typed(south.page, one);
    assert.equal(await verdict(south.page), "allowed", "it cannot know of the other gate");
    await section(south.page, "result").waitFor({ state: "hidden" });
    await typed(south.page, three);
    await section(south.page, "result").waitFor({ state: "hidden" });
    // Taken back before it was ever sent.
    await south.page.locator("#last-undo").click();
    await south.page.locator("#last").waitFor({ state: "hidden" });

    for (const back of first === "north" ? [north, south] : [south, north]) {
      await back.context.setOffline(false);
      await back.page.waitForFunction(() => GateStore.queue.length === 0);
    }
    const open = await conflicts(code);
    assert.equal(open.length, 1, JSON.stringify(open));
    assert.deepEqual([open[0].kind, open[0].other.gate, open[0].scan.gate], ["double", "north", "south"]);
    const used = await sql(`select count(*) filter (where used_at is not null), max(used_gate) from tickets t join exhibitions e on e.id = t.exhibition_id where e.code = '${code}'`);
    assert.deepEqual(used, [["2", "north"]]);
    // Both know now what the other did.
    await synced(south.page);
    await south.context.setOffline(true);
    await typed(south.page, two);
    assert.equal(await verdict(south.page), "refused");
  } finally {
    await north.context.close();
    await south.context.close();
  }
});

visit("a phone whose clock is five hours wrong, taken back while it has something to say", { locale: "en" }, async (visitor) => {
  const code = await exhibition();
  const [one, two] = await sold(visitor, code, 2);
  const gate = await Visitor.start({ locale: "en" });
  try {
    await gate.context.addInitScript(() => {
      const real = Date.now;
      Date.now = () => real() + 5 * 3600_000;
    });
    const { id, path } = await enrolment(code, "north");
    await gate.page.goto(path);
    await signIn(gate.page);
    await known(gate.page);
    await gate.context.setOffline(true);
    await typed(gate.page, one);
    assert.equal(await verdict(gate.page), "allowed");
    await section(gate.page, "result").waitFor({ state: "hidden" });
    await gate.context.setOffline(false);
    await synced(gate.page);
    const off = await sql(`select abs(extract(epoch from scanned_at - now())) < 120, abs(extract(epoch from device_at - now()) - 18000) < 120 from scans where uploaded_at is not null and exhibition_id = (select id from exhibitions where code = '${code}')`);
    assert.deepEqual(off, [["t", "t"]], "written down at the hour it was, beside what the phone's clock said");

    await gate.context.setOffline(true);
    await typed(gate.page, two);
    assert.equal(await verdict(gate.page), "allowed");
    await admin("POST", `exhibitions/${code}/devices/${id}/revoke`, {});
    await gate.context.setOffline(false);
    await section(gate.page, "none").waitFor();
    const [conflict] = await until("the last scan is heard of", async () => ((all) => all.length && all)(await conflicts(code)));
    assert.equal(conflict.kind, "revoked_device");
    assert.deepEqual(await gate.page.evaluate(() => Object.keys(localStorage)), []);
    assert.deepEqual(await gate.page.evaluate(() => indexedDB.databases().then((all) => all.length)), 0);
  } finally {
    await gate.context.close();
  }
});

visit("a ticket is read by the camera", { locale: "en" }, async (visitor) => {
  const code = await exhibition();
  const [link] = await tickets(visitor.page, code, 1);
  const { path } = await enrolment(code, "south");
  // What the camera sees: the ticket as it is rendered, a little turned and dim, in a room.
  const folder = `${tmpdir()}/admit-gate-${process.pid}`;
  const picture = Buffer.from(await (await fetch(link)).arrayBuffer());
  const film = await filmed(folder, picture);
  const browser = await withCamera(film);
  try {
    const context = await browser.newContext({ baseURL: demo.base_url, locale: "en-GB", ...PHONE, permissions: ["camera"] });
    const page = await context.newPage();
    const wrong = [];
    page.on("pageerror", (error) => wrong.push(error.message));
    page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
    await page.goto(path);
    await signIn(page);
    await page.locator("#start").click();
    await page.locator("#result").waitFor({ timeout: 30_000 });
    assert.equal(await verdict(page), "allowed", await page.locator("#result").innerText());
    await page.locator("#result").waitFor({ state: "hidden" });
    await visitor.picture("gate, camera en", page);
    // It is still in view, and has not been scanned twice.
    await page.getByText("1 let in, 0 refused").waitFor();
    assert.deepEqual(wrong, []);
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
