// Measures the gate's page against a running system (./dev up -d): how many of 200 damaged codes are read and by what, how
// long a phone takes to learn 100,000 tickets, to decide without a network, and from a frame in view to the verdict.
//
//   node measure/gate.mjs decode            200 pictures: dim, tilted, blurred, partly covered
//   node measure/gate.mjs camera            from a frame in view to the verdict, ten phones one after the other
//   node measure/gate.mjs sync [TICKETS]    100,000 tickets into the database, then a fresh phone
//
// `sync` writes tickets into the demo's database that nobody bought: ./dev reset afterwards.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { promisify } from "node:util";
import { PHONE, Visitor } from "../support/browser.mjs";
import { filmed, withCamera } from "../support/film.mjs";
import * as on from "../support/pages.mjs";
import { demo, enrolment, exhibition, sql } from "../support/system.mjs";

const run = promisify(execFile);
const what = process.argv[2] ?? "decode";

/** A generator with a seed, so that the same pictures are made again (mulberry32). */
function dice(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

async function gate(code) {
  const visitor = await Visitor.start({ locale: "en" });
  const { path } = await enrolment(code, "north");
  await visitor.page.goto(path);
  await visitor.page.locator("#sign").waitFor();
  await visitor.page.locator("#username").fill(demo.accounts.super_admin.username);
  await visitor.page.locator("#password").fill(demo.accounts.super_admin.password);
  return visitor;
}

const signIn = async ({ page }) => {
  await page.locator("#sign-form button").click();
  await page.locator("#scan").waitFor();
};

/** Pictures of tickets (PNG) with what they say. */
async function pictures(orders, each) {
  const found = [];
  const code = await exhibition({ places: 1000 });
  for (let n = 0; n < orders; n += 1) {
    const visitor = await Visitor.start({ locale: "en" });
    await on.hold(visitor.page, code, { open: each });
    await on.payFor(visitor.page);
    for (const link of await visitor.page.locator('.ticket a[href*="qr.png"]').all()) {
      found.push(Buffer.from(await (await fetch(await link.getAttribute("href"))).arrayBuffer()));
    }
    await visitor.context.close();
  }
  return { code, found };
}

const DAMAGE = [
  ["brightness", 0.35, 1], ["contrast", 0.6, 1], ["turn", -30, 30], ["tilt_x", -35, 35], ["tilt_y", -35, 35], ["blur", 0, 2], ["size", 285, 450], ["cover", 0, 0.05],
];

async function decode() {
  const { code, found } = await pictures(4, 10);
  const visitor = await gate(code);
  await signIn(visitor);
  const stage = await visitor.context.newPage();
  await stage.setViewportSize({ width: 1280, height: 720 });
  const random = dice(20261129);
  const reads = { "zxing-wasm, first frame": 0, "zxing-wasm, two frames, as the page reads": 0, "zbar (zbarimg), one frame": 0 };
  const times = [];
  for (let n = 0; n < 200; n += 1) {
    const d = Object.fromEntries(DAMAGE.map(([name, from, until]) => [name, from + (until - from) * random()]));
    const side = d.size * Math.sqrt(d.cover), [x, y] = [0.35 + 0.5 * random(), 0.35 + 0.5 * random()];
    await stage.setContent(`<body style="margin:0;background:#6a655d;perspective:1050px;overflow:hidden">
      <div style="position:absolute;left:${(1280 - d.size) / 2}px;top:${(720 - d.size) / 2}px;width:${d.size}px;height:${d.size}px;transform:rotateX(${d.tilt_x}deg) rotateY(${d.tilt_y}deg) rotate(${d.turn}deg);filter:brightness(${d.brightness}) contrast(${d.contrast}) blur(${d.blur}px)">
      <img style="width:100%" src="data:image/png;base64,${found[n % found.length].toString("base64")}">
      <i style="position:absolute;left:${x * d.size - side / 2}px;top:${y * d.size - side / 2}px;width:${side}px;height:${side}px;background:#c9a58a"></i></div>`);
    const frame = await stage.screenshot({ type: "png", scale: "css" });
    const { texts, ms } = await visitor.page.evaluate(async (png) => {
      globalThis.reader = globalThis.reader || (await GateCamera.detector());
      const image = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))]));
      const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
      canvas.getContext("2d").drawImage(image, 0, 0);
      Object.assign(canvas, { videoWidth: image.width, videoHeight: image.height });
      const began = performance.now(), texts = [], frames = 4;
      for (let n = 0; n < frames; n += 1) texts.push((await globalThis.reader.detect(canvas))[0]?.rawValue ?? "");
      return { texts, ms: (performance.now() - began) / frames };
    }, frame.toString("base64"));
    times.push(ms);
    const read = texts.map((text) => text.startsWith("AD1."));
    if (read[0]) reads["zxing-wasm, first frame"] += 1;
    if (read[0] || read[1]) reads["zxing-wasm, two frames, as the page reads"] += 1;
    else console.log(`not read by zxing-wasm: ${JSON.stringify(d)}`);
    const zbar = run("zbarimg", ["-q", "--raw", "--nodbus", "-"]);
    zbar.child.stdin.end(frame);
    if ((await zbar.catch(() => ({ stdout: "" }))).stdout.startsWith("AD1.")) reads["zbar (zbarimg), one frame"] += 1;
  }
  times.sort((a, b) => a - b);
  for (const [by, count] of Object.entries(reads)) console.log(`${by}: ${count} of 200`);
  console.log(`zxing-wasm: median ${times[100].toFixed(1)} ms, p99 ${times[198].toFixed(1)} ms for a frame of 1280 x 720`);
  await visitor.context.close();
}

async function sync(count) {
  const { code } = await pictures(4, 1);
  const [[id]] = await sql(`select id from exhibitions where code = '${code}'`);
  await sql(`
    insert into tickets (id, order_id, exhibition_id, product_id, ticket_no, of_total, key_id, issued_at)
    select gen_random_uuid(), t.order_id, t.exhibition_id, t.product_id, 1 + n, 30002, t.key_id, now()
      from tickets t, generate_series(1, ${Math.ceil(count / 4)}) n where t.exhibition_id = ${id}`);
  const visitor = await gate(code);
  let bytes = 0, pages = 0;
  const session = await visitor.context.newCDPSession(visitor.page);
  await session.send("Network.enable");
  const asked = new Set();
  session.on("Network.requestWillBeSent", (e) => e.request.url.includes("/api/entrance/tickets") && asked.add(e.requestId));
  session.on("Network.loadingFinished", (e) => { if (asked.delete(e.requestId)) { bytes += e.encodedDataLength; pages += 1; } });
  await visitor.page.locator("#sign-form button").click();
  await visitor.page.waitForFunction(() => GateStore.table);
  const began = Date.now();
  await visitor.page.waitForFunction(() => GateStore.meta.complete, null, { timeout: 120_000, polling: 20 });
  console.log(`${await visitor.page.evaluate(() => GateStore.table.count)} tickets: ${Date.now() - began} ms, ${pages} pages, ${(bytes / 1e6).toFixed(2)} MB as transferred`);
  const lags = [];
  for (let n = 0; n < 20; n += 1) {
    const [[ticket]] = await sql(`update tickets set blocked_at = now() where id = (select id from tickets where exhibition_id = ${id} and blocked_at is null order by id offset ${n * 50} limit 1) returning id`);
    const changed = Date.now();
    const key = createHash("sha256").update(Buffer.from(`${ticket.replaceAll("-", "")}0001`, "hex")).digest("hex").slice(0, 16);
    await visitor.page.waitForFunction((key) => {
      const bytes = Uint8Array.from(key.match(/../g), (two) => parseInt(two, 16));
      return GateStore.table.find(bytes)?.standing === "blocked";
    }, key, { polling: 20 });
    lags.push(Date.now() - changed);
  }
  lags.sort((a, b) => a - b);
  console.log(`a change reaches the phone after: median ${lags[10]} ms, longest ${lags[19]} ms`);
  const decided = await visitor.page.evaluate(async () => {
    const times = [];
    for (let n = 0; n < 300; n += 1) {
      const at = Math.floor(Math.random() * GateStore.table.count) * 44, number = GateCodes.number(GateStore.table.bytes.slice(at, at + 8));
      const began = performance.now();
      await GateJudge.decide(GateStore, { text: number, direction: "in", now_ms: Date.now() });
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b);
  });
  console.log(`decided without a network, by typed number among all: median ${decided[150].toFixed(2)} ms, p99 ${decided[297].toFixed(2)} ms, longest ${decided[299].toFixed(2)} ms`);
  await visitor.context.close();
}

async function camera() {
  const { code, found } = await pictures(1, 10);
  const times = [];
  for (const [n, picture] of found.entries()) {
    const folder = `${tmpdir()}/admit-measure-${process.pid}-${n}`;
    const browser = await withCamera(await filmed(folder, picture));
    const page = await (await browser.newContext({ baseURL: demo.base_url, locale: "en-GB", ...PHONE, permissions: ["camera"] })).newPage();
    const { path } = await enrolment(code, "north");
    await page.goto(path);
    await page.locator("#sign").waitFor();
    await page.locator("#username").fill(demo.accounts.super_admin.username);
    await page.locator("#password").fill(demo.accounts.super_admin.password);
    await signIn({ page });
    // When the frame was taken in which the code was found, and when the verdict stood there.
    await page.evaluate(() => {
      let reader;
      Object.defineProperty(globalThis, "ZXingWASM", { configurable: true, get: () => reader, set: (given) => {
        reader = { ...given, readBarcodes: async (...frame) => {
          const taken = performance.now(), read = await given.readBarcodes(...frame);
          if (read.length) globalThis.taken ??= taken;
          return read;
        } };
      } });
      new MutationObserver(() => { if (!document.getElementById("result").hidden) globalThis.said ??= performance.now(); })
        .observe(document.getElementById("result"), { attributes: true });
    });
    await page.locator("#start").click();
    await page.waitForFunction(() => globalThis.said, null, { timeout: 60_000 });
    times.push(await page.evaluate(() => globalThis.said - globalThis.taken));
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
  times.sort((a, b) => a - b);
  console.log(`from the frame to the verdict, online: median ${times[5].toFixed(0)} ms, longest ${times[9].toFixed(0)} ms`);
}

test(what, { timeout: 600_000 }, () => ({ sync: () => sync(Number(process.argv[3] ?? 100_000)), camera, decode })[what]());
