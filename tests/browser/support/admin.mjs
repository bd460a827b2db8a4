// The control room's page, driven: signing in, and a live board whose stream the test writes.

import { createHmac } from "node:crypto";
import { admin, demo } from "./system.mjs";

export const PASSWORD = "a password for tests";
let made = 0;

/** An account of the test's own, so that what is done to it disturbs nobody. */
export async function account(role = "super_admin", exhibitions = []) {
  const username = `t${process.pid.toString(36)}${(made += 1)}-${role.slice(0, 5).replace("_", "-")}`;
  await admin("POST", "users", { username, password: PASSWORD, role, exhibitions });
  return { username, password: PASSWORD };
}

export async function fillSignIn(page, { username, password }) {
  await page.locator("[name=username]").fill(username);
  await page.locator("[name=password]").fill(password);
  await page.locator("main form button[type=submit]").click();
}

/** Signs in and goes to a page of the control room. */
export async function signIn(page, to = "#/", who = demo.accounts.super_admin) {
  await page.goto(`/admin${to}`);
  await fillSignIn(page, who);
  await page.locator("#self").waitFor();
}

/** To another page, until its heading is there. */
export async function go(page, to) {
  await page.evaluate((hash) => { location.hash = hash; }, to);
  await settled(page);
}

/** Until everything that the page asks for has come. */
export async function settled(page) {
  await page.locator("main h1").first().waitFor();
  await page.waitForFunction(() => !document.querySelector("main .loading, main [aria-busy]"));
}

/** The six digits of an authenticator app, `ahead` steps of 30 s from now. */
export function totp(secret, ahead = 0) {
  const bits = [...secret].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const mac = createHmac("sha1", key).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** One picture of the live board, as the server sends it. */
export function board(changes = {}) {
  return {
    at: Date.now(), paused: false, paused_by: [], pause_reason_ko: null, pause_reason_en: null, heard_age_ms: 300, stocks_age_ms: 250,
    room: { phase: "open", stale: false, waiting: 18_240, active: 287, capacity: 300, admitted_per_s: 19.6, rate_per_s: 20, brake: 1, reason_ko: "", reason_en: "" },
    placed_per_s: 14.2, paid_per_s: 11.8, declined_per_s: 0.4, doubted_per_s: 0, payment_success: 0.991, failed_per_s: 0, error_rate: 0.0012, p50_ms: 14, p95_ms: 61,
    stocks: [
      { stock_id: 1, product_id: 1, name_ko: "기간 중 자유 관람권", name_en: "Open-date ticket", paused: false, closed: false, total: 5000, offered: 5000, held: 212, sold: 3120, free: 1668 },
      { stock_id: 2, slot_id: 1, date: "2026-12-24", start_time: "10:00:00", end_time: "12:00:00", paused: false, closed: false, total: 400, offered: 350, held: 12, sold: 338, free: 0 },
    ],
    providers: [{ name: "toss", state: "closed" }, { name: "stripe", state: "half_open" }],
    instances: [{ name: "serve-1", age_ms: 420, writer_waiting: 3 }, { name: "serve-2", age_ms: 9_100, writer_waiting: 0 }],
    workers: [{ name: "expire", outcome: "worked", age_ms: 1_200, took_ms: 4 }, { name: "recover", outcome: "failed", age_ms: 800, took_ms: 1_900 }],
    messages: { pending: 12, failing: 3, dead: 1, set_aside: 4, age_ms: 1_400 },
    ...changes,
  };
}

export const events = (...boards) => boards.map((one) => `event: board\ndata: ${JSON.stringify(one)}\n\n`).join("");

/** A dashboard as the server answers it, for a shop that is busy. */
export function dashboard(code) {
  const now = new Date().toISOString(), hour = Math.floor(Date.now() / 3_600_000) * 3_600_000;
  const wave = (n, most) => Math.round(most * (0.5 + 0.5 * Math.sin(n / 4)));
  const hours = Array.from({ length: 48 }, (_, n) => ({ at: new Date(hour - (47 - n) * 3_600_000).toISOString(), placed: wave(n, 120) + 6, paid: wave(n, 120), revenue: wave(n, 120) * 18_000, refunded: n % 9 ? 0 : 36_000, entrances: wave(n + 9, 60) }));
  const days = Array.from({ length: 14 }, (_, n) => ({ day: new Date(hour + 9 * 3_600_000 - (13 - n) * 86_400_000).toISOString().slice(0, 10), placed: 900 + n * 30, paid: 860 + n * 30, revenue: (860 + n * 30) * 18_000, refunded: 72_000, entrances: 400 + n * 20 }));
  return {
    exhibition_code: code, as_of: now, figures_as_of: now, currency: "KRW", total_orders: 12_480, total_revenue: 224_640_000, today_orders: 1_240, today_revenue: 22_320_000,
    refunds: { count: 38, amount: 684_000 }, entrance_count: 4_210, people_inside: 186, checked: { at: new Date(hour).toISOString(), differences: 0 }, exhibitions: [], products_sold: { adult: 9_120, open: 3_120 },
    products: [
      { id: 1, name_ko: "기간 중 자유 관람권", name_en: "Open-date ticket", type: "open", price: 20_000, sold: 3_120, given_back: 12, free: 1_668, offered: 5_000, total: 5_000 },
      { id: 2, name_ko: "성인", name_en: "Adult", type: "adult", price: 18_000, sold: 9_120, given_back: 26, free: 880, offered: 10_000, total: 10_000 },
    ],
    slots: [{ id: 1, date: "2026-12-24", start_time: "10:00:00", end_time: "12:00:00", sold: 338, given_back: 2, free: 0, offered: 350, total: 400 }, { id: 2, date: "2026-12-25", start_time: null, end_time: null, sold: 120, given_back: 0, free: 280, offered: 400, total: 400 }],
    hours, days: days.reverse(), conversion: { placed: 13_940, attempted: 13_100, paid: 12_480, room: { joined: 31_000, admitted: 18_200, placed: 12_760, attempted: 12_010, paid: 11_530 } },
    success: {
      reservation: { rate: 0.9987, of: 13_117, today: { rate: 0.912, of: 1_302 } }, payment: { rate: 0.972, of: 12_830, today: { rate: 0.991, of: 1_255 } },
      scan: { rate: null, of: 0, today: { rate: null, of: 0 } },
    },
  };
}
