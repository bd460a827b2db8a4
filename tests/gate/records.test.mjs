import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { GateCodes, GateRecords, page, record } from "./support.mjs";

test("a page is taken whole or not at all", async () => {
  const records = [record({ key: randomBytes(8) }), record({ key: randomBytes(8) })], bytes = page(records, { more: 1, cursor: "7.0.12" });
  const read = await GateRecords.page(bytes);
  assert.deepEqual([read.server_ms, read.more, read.cursor], [1_795_000_000_123, true, "7.0.12"]);
  assert.deepEqual(Buffer.from(read.records), Buffer.concat(records));
  for (let n = 0; n < bytes.length; n += 1) {
    const changed = bytes.slice();
    changed[n] ^= 1;
    assert.equal(await GateRecords.page(changed), null, `byte ${n}`);
    assert.equal(await GateRecords.page(bytes.slice(0, n)), null, `cut at ${n}`);
  }
  assert.equal(await GateRecords.page(new Uint8Array([...bytes, 0])), null);
  const empty = await GateRecords.page(page([], { cursor: "" }));
  assert.deepEqual([empty.records.length, empty.more, empty.cursor], [0, false, ""]);
});

test("a page that begins somewhere in a buffer is the same page", async () => {
  const bytes = page([record({ key: randomBytes(8) })]), buffer = new Uint8Array(bytes.length + 9);
  buffer.set(bytes, 9);
  assert.equal((await GateRecords.page(buffer.subarray(9))).records.length, 44);
});

test("a record says all it was told", () => {
  const bytes = record({ key: randomBytes(8), product: 3_000_000_000, slot: 9, standing: 3, inside: 1, no: 2, of: 4, entries: 5, day: 2516, entries_day: 6, last_in: 4_000_000_000, last_out: 1 });
  assert.deepEqual(GateRecords.read(new Uint8Array(bytes), 0), {
    product: 3_000_000_000, slot: 9, standing: "refunded", ticket_no: 2, of: 4,
    past: { entries: 5, day: 2516, entries_day: 6, inside: true, last_in: 4_000_000_000, last_out: 1 },
  });
  assert.equal(GateRecords.read(new Uint8Array(record({ key: randomBytes(8), standing: 77 })), 0).standing, "blocked");
  const { past } = GateRecords.read(new Uint8Array(bytes), 0);
  assert.deepEqual(GateRecords.read(GateRecords.write(bytes.subarray(0, 8), past), 0).past, past);
});

test("every ticket is found, and the last word on it counts", () => {
  const table = new GateRecords.Table(), keys = Array.from({ length: 20_000 }, () => randomBytes(8));
  table.putAll(Buffer.concat(keys.map((key) => record({ key }))));
  table.putAll(Buffer.concat(keys.filter((_, n) => n % 7 === 0).map((key) => record({ key, standing: 4 }))));
  assert.equal(table.count, keys.length);
  keys.forEach((key, n) => {
    assert.equal(table.find(key).standing, n % 7 === 0 ? "blocked" : "valid");
    const found = table.findNumber(GateCodes.readNumber(GateCodes.number(key)));
    assert.ok(found === null || Buffer.from(found.key).equals(key));
  });
  assert.equal(table.find(randomBytes(8)), null);
  assert.equal(table.records().length, keys.length * 44);
});

test("a number of two tickets names none", () => {
  const table = new GateRecords.Table(), key = randomBytes(8), twin = Buffer.from(key);
  twin[6] ^= 1;
  table.putAll(Buffer.concat([record({ key }), record({ key: twin, standing: 1 })]));
  assert.equal(table.findNumber(key.subarray(0, 5)), null);
  assert.deepEqual([table.find(key).standing, table.find(twin).standing], ["valid", "not_paid"]);
});

test("an order's tickets are found among the others, old codes too, wherever they came", () => {
  const table = new GateRecords.Table(), [order, twin] = [randomBytes(8), randomBytes(8)], keys = Array.from({ length: 3 }, () => randomBytes(8));
  twin.set(order.subarray(0, 7));
  twin[7] = order[7] ^ 1;
  const many = (n) => Array.from({ length: n }, () => record({ key: randomBytes(8), order: twin }));
  table.putAll(Buffer.concat([...many(2000), record({ key: keys[0], order, no: 2 }), ...many(2000), record({ key: keys[1], order, no: 1 })]));
  table.putAll(Buffer.concat([record({ key: keys[0], order, no: 2, standing: 5 }), record({ key: keys[2], order, no: 2 })]));
  const found = table.ofOrder(order);
  assert.deepEqual(found.map((one) => [Buffer.from(one.key).toString("hex"), one.record.ticket_no, one.record.standing]),
    [[keys[0], 2, "reissued"], [keys[1], 1, "valid"], [keys[2], 2, "valid"]].map(([key, ...rest]) => [key.toString("hex"), ...rest]));
  assert.deepEqual([table.ofOrder(twin).length, table.ofOrder(randomBytes(8)), new GateRecords.Table().ofOrder(Buffer.alloc(8))], [4000, [], []]);
});
