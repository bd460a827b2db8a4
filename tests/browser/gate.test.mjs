// The gate's page on a phone: enrolled by its QR, a shift, tickets by camera and by hand, taken back.

import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { chromium } from "playwright-core";
import { PHONE, visit } from "./support/browser.mjs";
import * as on from "./support/pages.mjs";
import { admin, demo, enrolment, exhibition } from "./support/system.mjs";

const section = (page, id) => page.locator(`#${id}`);
const verdict = (page) => page.locator("#result").getAttribute("data-verdict");

async function signIn(page) {
  await section(page, "sign").waitFor();
  await page.locator("#username").fill(demo.accounts.super_admin.username);
  await page.locator("#password").fill(demo.accounts.super_admin.password);
  await page.locator("#sign-form button").click();
  await section(page, "scan").waitFor();
}

async function typed(page, code) {
  await page.locator("#code").fill(code);
  await page.locator("#typed button").click();
  await page.locator("#result").waitFor();
}

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

  await page.context().setOffline(true);
  await typed(page, qr);
  assert.equal(await verdict(page), "unjudged");
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

visit("a ticket is read by the camera", { locale: "en" }, async (visitor) => {
  const code = await exhibition();
  const [link] = await tickets(visitor.page, code, 1);
  const { path } = await enrolment(code, "south");
  // What the camera sees: the ticket as it is rendered, a little turned and dim, in a room.
  const folder = `${tmpdir()}/admit-gate-${process.pid}`;
  const picture = Buffer.from(await (await fetch(link)).arrayBuffer());
  const film = await filmed(folder, picture);
  const browser = await chromium.launch({
    executablePath: process.env.ADMIT_CHROMIUM ?? "/usr/bin/chromium",
    args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", `--use-file-for-fake-video-capture=${film}`],
  });
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

/** A film (Motion JPEG) of a ticket's picture, made by the browser itself. */
async function filmed(folder, picture) {
  mkdirSync(folder, { recursive: true });
  const browser = await chromium.launch({ executablePath: process.env.ADMIT_CHROMIUM ?? "/usr/bin/chromium", args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
  try {
    const page = await (await browser.newContext({ viewport: { width: 640, height: 480 } })).newPage();
    await page.setContent(`<body style="margin:0;background:#555"><img style="position:absolute;left:190px;top:100px;width:270px;transform:rotate(7deg);filter:brightness(.7)" src="data:image/png;base64,${picture.toString("base64")}">`);
    const frame = await page.screenshot({ type: "jpeg", quality: 80 });
    writeFileSync(`${folder}/film.mjpeg`, Buffer.concat(Array(10).fill(frame)));
  } finally {
    await browser.close();
  }
  return `${folder}/film.mjpeg`;
}
