// Codes, records and pages as the server makes them.

import { createHash, generateKeyPairSync, sign, webcrypto } from "node:crypto";
import { createRequire } from "node:module";

// Node has it as a global from version 20 on.
globalThis.crypto ??= webcrypto;
const script = (name) => createRequire(import.meta.url)(`../../web/assets/${name}`);
export const GateRules = (globalThis.GateRules = script("gate_rules.js"));
export const GateCodes = (globalThis.GateCodes = script("gate_codes.js"));
export const GateRecords = (globalThis.GateRecords = script("gate_records.js"));
script("gate_judge.js");
export const GateJudge = globalThis.GateJudge;

const pair = generateKeyPairSync("ed25519");
export const PUBLIC_KEY = pair.publicKey.export({ format: "jwk" }).x;

export const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts)).digest();

export function code({ id, key = 1, kind = 1, layout = 1, version = 1, exhibition = 7, from, until, forged = false }) {
  const message = Buffer.alloc(29);
  message.set([layout, key, kind]);
  message.set(id, 3);
  message.writeUInt16BE(version, 19);
  message.writeUInt32BE(exhibition, 21);
  message.writeUInt16BE(from, 25);
  message.writeUInt16BE(until, 27);
  const signature = sign(null, message, pair.privateKey);
  if (forged) signature[3] ^= 1;
  return `AD1.${Buffer.concat([message, signature]).toString("base64url")}`;
}

export const keyOf = (id, version = 1) => sha256(id, Buffer.from([version >> 8, version & 255])).subarray(0, 8);

export function record({ key, order = Buffer.alloc(8), product = 1, slot = 0, standing = 0, inside = 0, no = 1, of = 1, entries = 0, day = 0, entries_day = 0, last_in = 0, last_out = 0 }) {
  const bytes = Buffer.alloc(44);
  bytes.set(key);
  bytes.set(order, 8);
  bytes.writeUInt32BE(product, 16);
  bytes.writeUInt32BE(slot, 20);
  bytes.set([standing, inside], 24);
  [no, of, entries, day, entries_day].forEach((value, n) => bytes.writeUInt16BE(value, 26 + 2 * n));
  bytes.writeUInt32BE(last_in, 36);
  bytes.writeUInt32BE(last_out, 40);
  return bytes;
}

export function page(records, { more = 0, cursor = "c-1", server_ms = 1_795_000_000_123 } = {}) {
  const head = Buffer.alloc(18);
  head.write("ADS1");
  head.writeUInt32BE(records.length, 4);
  head.writeBigUInt64BE(BigInt(server_ms), 8);
  head.set([more, cursor.length], 16);
  const body = Buffer.concat([head, Buffer.from(cursor), ...records]);
  return new Uint8Array(Buffer.concat([body, sha256(body).subarray(0, 8)]));
}
