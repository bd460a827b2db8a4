// The system under test, from the outside: its database, its bank, its API, and exhibitions of a test's own.
// Nothing here sleeps for a time: what must become true is waited for, within bounds.

import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What `./dev` writes for tools: addresses and demo accounts. */
export const demo = JSON.parse(readFileSync(process.env.ADMIT_DEMO ?? new URL("../../../.run/demo.json", import.meta.url)));
/** Each instance by itself, past nginx. */
const instances = (process.env.ADMIT_SERVE_URLS ?? demo.base_url).split(" ");

export async function until(what, check, seconds = 40, every_ms = 50) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, every_ms));
  }
}

/** Runs SQL and returns its rows, columns as text. */
export async function sql(text) {
  const psql = process.env.ADMIT_PSQL ?? "psql";
  const args = [demo.postgres_url, "--no-psqlrc", "-qtA", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", text];
  const { stdout } = await run(psql, args, { env: { ...process.env, PGOPTIONS: "" } });
  return stdout.split("\n").filter(Boolean).map((line) => line.split("\t"));
}

async function json(url, init) {
  const reply = await fetch(url, init);
  const body = await reply.json();
  if (!reply.ok) throw new Error(`${url}: ${reply.status} ${JSON.stringify(body)}`);
  return body;
}

/** A control of the Toss simulator, or with no body a look. */
export const bank = (control, body) =>
  json(`${demo.toss_simulator_url}/_sim/${control}`, body && { method: "POST", body: JSON.stringify(body) });

/** What the bank knows of an order, in all its attempts. */
async function paymentsOf(number) {
  const attempts = (await sql(`select provider_order_id from attempts a join orders o on o.id = a.order_id where o.number = '${number}'`)).flat();
  const payments = await Promise.all(attempts.map((id) => bank(`payments/${id}`)));
  return payments.flatMap((found) => found.payments);
}

/** What was paid for an order and not given back in part or whole. */
export const paidFor = async (number) => (await paymentsOf(number)).filter((payment) => payment.status === "DONE");

/** What the bank still keeps of all that was ever captured for an order. */
export async function balance(number) {
  const captured = (await paymentsOf(number)).filter((p) => ["DONE", "PARTIAL_CANCELED", "CANCELED"].includes(p.status));
  return captured.reduce((sum, payment) => sum + payment.balanceAmount, 0);
}

const products = (base, code) => json(`${base}/api/exhibitions/${code}/products`);

/** Waits until every instance, and what nginx keeps for a second, shows what `check` wants of the products. */
export async function shown(code, check) {
  for (const base of [...instances, demo.base_url]) {
    await until(`${code} is shown as expected`, async () => {
      const found = await products(base, code).catch(() => null);
      return found && !found.stale && check(found.products);
    });
  }
}

let made = 0;
const mark = `${process.pid.toString(36)}`;

/**
 * An exhibition of this test's own, like the demo's, with an undated product for 20,000 won and a dated one for 18,000
 * in five days. `places` are those of each; `sale` is [from, until] as SQL; `slots` are [days from the first,
 * places] or [days, places, from, until]. With a `picture`, it is the demo's.
 */
export async function exhibition({ places = 100, sale = ["now() - interval '1 day'", "now() + interval '60 days'"], slots = [[5, places]], picture = false } = {}) {
  const code = `t${mark}-${(made += 1)}`;
  const time = (text) => (text ? `time '${text}'` : "null");
  const rows = slots.map(([days, free, from, until]) => `(${days}, ${free}, ${time(from)}, ${time(until)})`);
  await sql(`
    with e as (
      insert into exhibitions (code, name_ko, name_en, description_ko, description_en, venue_ko, venue_en, starts_on, ends_on,
                               sale_start_at, sale_end_at, person_limit, picture_digest, picture_height, picture_alt_ko, picture_alt_en)
      select '${code}', name_ko, name_en, description_ko, description_en, venue_ko, venue_en, starts_on, ends_on,
             ${sale[0]}, ${sale[1]}, 10, case when ${picture} then picture_digest end, case when ${picture} then picture_height end,
             picture_alt_ko, picture_alt_en
        from exhibitions where code = 'aaa' returning id, starts_on
    ), s as (
      insert into stock (exhibition_id, total, offered, epoch)
      select e.id, ${places}, ${places}, 1 from e, generate_series(1, 2) returning id
    ), n as (select id, row_number() over (order by id) as nth from s), p as (
      insert into products (exhibition_id, stock_id, kind, name_ko, name_en, price_won, dated, position)
      select e.id, n.id, case nth when 1 then 'open' else 'adult' end, case nth when 1 then '기간 중 자유 관람권' else '성인' end,
             case nth when 1 then 'Open-date ticket' else 'Adult' end, case nth when 1 then 20000 else 18000 end, nth = 2, nth
        from e, n
    ), w as (select row_number() over () as nth, * from (values ${rows.join(", ")}) as v (days, free, start_time, end_time)), c as (
      insert into stock (exhibition_id, total, offered, epoch) select e.id, free, free, 1 from e, w order by nth returning id
    ), k as (select id, row_number() over (order by id) as nth from c)
    insert into slots (exhibition_id, stock_id, visit_date, start_time, end_time)
    select e.id, k.id, e.starts_on + days, start_time::time, end_time::time from e, k join w using (nth)`);
  // Redis counts a new exhibition when somebody first asks for it.
  await shown(code, (all) => all.length === 2 && all.every((p) => p.available_quantity === places));
  return code;
}

/** Changes the exhibition's row and waits until everybody shows the state. */
export async function become(code, set, state) {
  await sql(`update exhibitions set ${set} where code = '${code}'`);
  await shown(code, (all) => all.every((p) => p.state === state));
}

/** Somebody else's order for places of the undated product, or of the dated one for a slot, by the API. */
export async function buysUp(code, quantity, slot_id) {
  const { products: all } = await products(demo.base_url, code);
  await json(`${demo.base_url}/api/orders`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      exhibition_code: code, customer_name: "다른 사람", customer_phone: phone(),
      slot_id, items: [{ product_id: all.find((p) => p.dated === Boolean(slot_id)).id, quantity }],
    }),
  });
}

/** Lets the time to pay of an order be over; with `taken`, the worker has also taken the places back. */
export async function lapse(number, taken = true) {
  await sql(`update orders set expires_at = admit_now() where number = '${number}'`);
  if (taken) await until("the hold is taken back", async () => (await state(number)) === "expired");
}

export const state = async (number) => (await sql(`select state from orders where number = '${number}'`))[0]?.[0];

let called = 0;
/** A mobile number that nobody else in this run has. */
export function phone() {
  called += 1;
  return `010-${String(process.pid % 10000).padStart(4, "0")}-${String(called).padStart(4, "0")}`;
}

/** Judged at the gate by the demo's staff. The exhibition is one they may admit to. */
export async function scan(qr, account = "super_admin") {
  const login = await json(`${demo.base_url}/api/auth/login`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(demo.accounts[account]),
  });
  return json(`${demo.base_url}/api/entrance/scan`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${login.access_token}` },
    body: JSON.stringify({ qr_code: qr, gate: "north" }),
  });
}

/** A call of the demo's owner under /api/admin. */
export async function admin(method, path, body) {
  const login = await json(`${demo.base_url}/api/auth/login`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(demo.accounts.super_admin),
  });
  const url = `${demo.base_url}/api/admin/${path}`, headers = { "Content-Type": "application/json", Authorization: `Bearer ${login.access_token}` };
  // A change of what is there now; a room is moved as it is there itself.
  const changes = method === "PUT" || path.endsWith("/phase");
  const tag = changes && (await fetch(url.replace(/\/phase$/, ""), { headers })).headers.get("etag");
  const reply = await fetch(url, { method, headers: { ...headers, ...(tag ? { "If-Match": tag } : {}) }, body: JSON.stringify(body) });
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  return reply.status === 204 ? null : reply.json();
}

/** A device that waits to be enrolled: its id, and the address that its QR opens. */
export async function enrolment(code, gate) {
  const made = await admin("POST", `exhibitions/${code}/devices`, { gate, name: "phone" });
  const { pathname, hash } = new URL(made.enrol_url);
  return { id: made.id, path: pathname + hash };
}

/** The text of the QR code in a picture (PNG). */
export async function readQr(picture) {
  const child = run("zbarimg", ["-q", "--raw", "--nodbus", "-"]);
  child.child.stdin.end(picture);
  return (await child).stdout.trim();
}

/** What a mail says, once one has come that has this in it. */
export async function mailed(part) {
  const folder = process.env.ADMIT_MAIL_FOLDER ?? new URL("../../../.run/mail", import.meta.url).pathname;
  const readable = {
    base64: (body) => Buffer.from(body, "base64").toString(),
    "quoted-printable": (body) => body.replaceAll("=\r\n", "").replaceAll("=3D", "="),
    "7bit": (body) => body,
  };
  const decoded = (name) => {
    const mail = readFileSync(`${folder}/${name}`, "utf8");
    const parts = mail.matchAll(/Content-Transfer-Encoding: (\S+)\r\n\r\n([^]*?)\r\n--/g);
    return [...parts].map(([, how, body]) => readable[how](body)).join("\n");
  };
  return until(`a mail with ${part}`, () => readdirSync(folder).filter((name) => name.endsWith(".eml")).map(decoded).find((mail) => mail.includes(part)));
}

/** The one-time code of the mail about this page, once it has come. */
export const mailedCode = async (path) => (await mailed(path)).match(/(?:인증번호|Code): (\d{6})/)[1];
