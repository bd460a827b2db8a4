import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { code, GateCodes, keyOf, PUBLIC_KEY } from "./support.mjs";

const id = Buffer.from("0123456789abcdef0123456789abcdef", "hex");
const made = (more = {}) => code({ id, from: 2516, until: 2518, ...more });

test("a code is read, with the blanks of hand scanners", () => {
  for (const text of [made(), `  ${made()}\r\n`]) {
    const { key_id, kind, ticket, version, exhibition, from_day, until_day } = GateCodes.read(text);
    assert.deepEqual({ key_id, kind, ticket, version, exhibition, from_day, until_day },
      { key_id: 1, kind: "single", ticket: "01234567-89ab-cdef-0123-456789abcdef", version: 1, exhibition: 7, from_day: 2516, until_day: 2518 });
  }
  assert.equal(GateCodes.read(made({ kind: 2 })).kind, "group");
});

test("what is none of our codes is none", () => {
  const good = made();
  const others = ["", "AD1.", good.slice(1), good.slice(0, -1), `${good}A`, good.replace("AD1.", "AD2."), `${good.slice(0, -1)}+`, `${good.slice(0, -1)}가`,
    made({ layout: 2 }), made({ kind: 3 }), "A".repeat(10_240), "\0".repeat(128), "https://example.org/menu"];
  for (const text of others) assert.equal(GateCodes.read(text), null, text.slice(0, 140));
});

test("only the key's own signature is genuine", async () => {
  const key = GateCodes.fromBase64url(PUBLIC_KEY);
  assert.equal(await GateCodes.genuine(GateCodes.read(made()), key), true);
  assert.equal(await GateCodes.genuine(GateCodes.read(made({ forged: true })), key), false);
  assert.equal(await GateCodes.genuine(GateCodes.read(made()), randomBytes(32)).catch(() => false), false);
});

test("the library judges as the browser does", async () => {
  const { verifyAsync } = await import(`data:text/javascript;base64,${(await import("node:fs")).readFileSync(new URL("../../web/assets/noble_ed25519.js", import.meta.url)).toString("base64")}`);
  const key = GateCodes.fromBase64url(PUBLIC_KEY);
  for (const forged of [false, true]) {
    const signed = GateCodes.read(made({ forged }));
    assert.equal(await verifyAsync(signed.signature, signed.message, key, { zip215: false }), !forged);
  }
});

test("a ticket's key and number", async () => {
  const key = await GateCodes.keyOf(new Uint8Array(id), 1);
  assert.deepEqual(Buffer.from(key), keyOf(id));
  assert.notDeepEqual(await GateCodes.keyOf(new Uint8Array(id), 2), key);
  assert.match(GateCodes.number(key), /^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/);
  assert.equal(GateCodes.number(new Uint8Array([0, 0, 0, 0, 0])), "0000-0000");
  assert.equal(GateCodes.number(new Uint8Array([255, 255, 255, 255, 255, 9])), "ZZZZ-ZZZZ");
  assert.equal(GateCodes.number(new Uint8Array([0, 0, 0, 0, 33])), "0000-0011");
});

test("a number is read as people write it", () => {
  const bytes = new Uint8Array(randomBytes(5)), number = GateCodes.number(bytes);
  const spellings = [number, number.toLowerCase(), number.replace("-", ""), ` ${number.replace("-", " – ")} `, number.replaceAll("0", "o").replaceAll("1", "l"), number.replaceAll("1", "I")];
  for (const text of spellings) assert.deepEqual(GateCodes.readNumber(text), bytes, text);
  for (const text of ["", "K7QM", "K7QM-2X9PP", "K7QM-2X9U", "K7QM-2X9!", "가나다라마바사아"]) assert.equal(GateCodes.readNumber(text), null, text);
});
