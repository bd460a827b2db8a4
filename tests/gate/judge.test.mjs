import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { code, GateCodes, GateJudge, GateRecords, GateRules, keyOf, PUBLIC_KEY, record } from "./support.mjs";

const NOW_MS = Date.parse("2026-11-21T12:00:00+09:00"), TODAY = GateRules.dayOf(NOW_MS / 1000);
const [id, dated, used] = [randomBytes(16), randomBytes(16), randomBytes(16)];

function known(more = {}) {
  const table = new GateRecords.Table(), own = new Map();
  table.putAll(Buffer.concat([record({ key: keyOf(id) }), record({ key: keyOf(dated), slot: 5, product: 2 }), record({ key: keyOf(used), entries: 1, day: TODAY, entries_day: 1 })]));
  const rulebook = {
    exhibition: { id: 7, code: "xyz", from_day: TODAY - 1, until_day: TODAY + 1 }, gate: "north", rules: GateRules.DEFAULTS,
    keys: [{ id: 1, public_key: PUBLIC_KEY, retired_at: null }, { id: 2, public_key: PUBLIC_KEY, retired_at: NOW_MS }, { id: 3, public_key: PUBLIC_KEY, retired_at: NOW_MS + 1 }],
    products: [{ id: 1, rules: null }, { id: 2, rules: { ...GateRules.DEFAULTS, gates: ["south"] } }],
    slots: [{ id: 5, day: TODAY, start: 36_000, end: 50_400 }],
  };
  return { table, own, meta: { complete: true, rulebook, ...more }, past: (name, it) => own.get(name) ?? it?.past ?? GateRules.never() };
}

const made = (more = {}) => code({ id, from: TODAY, until: TODAY, ...more });
const decide = (text, more = {}, store = known()) => GateJudge.decide(store, { text, direction: "in", now_ms: NOW_MS, ...more });

test("what a phone answers by itself", async () => {
  const table = [
    [made(), "ok"],
    [made({ id: used }), "already_used"],
    [made({ id: dated }), "wrong_gate"],
    [made({ forged: true }), "bad_signature"],
    [made({ key: 2 }), "bad_signature"],
    [made({ key: 3 }), "ok"],
    [made({ exhibition: 8 }), "wrong_exhibition"],
    [made({ id: randomBytes(16) }), "ok"],
    [made({ id: randomBytes(16), from: TODAY + 1, until: TODAY + 2 }), "too_early"],
    [GateCodes.number(keyOf(id)).toLowerCase(), "ok"],
    [GateCodes.number(keyOf(used)), "already_used"],
    [GateCodes.number(randomBytes(8)), "unknown"],
    ["https://example.org/menu", "unknown"],
  ];
  for (const [text, reason] of table) assert.equal((await decide(text)).reason, reason, text);
});

test("what it cannot know it does not judge", async () => {
  assert.equal((await decide(made({ key: 9 }))).unjudged, "alone_key");
  assert.equal((await decide(made({ kind: 2 }))).unjudged, "alone_group", "sold since");
  assert.equal((await decide(made(), {}, known({ complete: false }))).unjudged, "alone_empty");
  assert.equal((await decide(made(), {}, known({ rulebook: null }))).unjudged, "alone_empty");
});

test("a forgery says nothing of a ticket, a number names no id", async () => {
  assert.equal((await decide(made({ forged: true }))).ticket, null);
  const typed = await decide(GateCodes.number(keyOf(id)));
  assert.deepEqual([typed.ticket, typed.version, typed.typed], [null, 0, GateCodes.number(keyOf(id))]);
  const scanned = await decide(made());
  assert.deepEqual([scanned.ticket.replaceAll("-", ""), scanned.version, scanned.typed, scanned.counts], [id.toString("hex"), 1, null, true]);
});

test("what was done here counts", async () => {
  const store = known();
  const { key } = await decide(made(), {}, store);
  store.own.set(key, GateRules.moved(GateRules.never(), { direction: "in", counts: true, now: NOW_MS / 1000 }));
  assert.equal((await decide(made(), {}, store)).reason, "already_used");
  assert.equal((await decide(made(), { direction: "out" }, store)).reason, "ok");
});

const order = randomBytes(16), bare = (uuid) => uuid.replaceAll("-", "");

/** Tickets of one order; for each what its record says, with { old } so many codes of before. */
function ofGroup(...tickets) {
  const store = known();
  tickets.forEach(({ old = 0, ...more }, n) => {
    const ticket = randomBytes(16), said = { order: keyOf(order), no: n + 1, of: tickets.length };
    for (let version = 1; version <= old; version += 1) store.table.putAll(record({ ...said, key: keyOf(ticket, version), standing: 5 }));
    store.table.putAll(record({ ...said, ...more, key: keyOf(ticket, old + 1) }));
  });
  return store;
}

const group = (more = {}) => made({ kind: 2, id: order, ...more });
const numbers = (all) => all.map((one) => one.of_group.no);

test("a group's code is as many tickets as its order has, each by the rules", async () => {
  const used = { entries: 1, day: TODAY, entries_day: 1 };
  const some = await decide(group(), {}, ofGroup({ no: 3 }, used, { no: 1 }));
  assert.deepEqual([some.reason, numbers(some.group.free), numbers(some.group.all)], ["ok", [1, 3], [1, 2, 3]]);
  assert.deepEqual([bare(some.of_group.order), some.ticket, some.version, some.typed], [order.toString("hex"), null, 1, GateCodes.number(Buffer.from(some.key, "hex"))]);
  const none = await decide(group(), {}, ofGroup(used, { standing: 3 }));
  assert.deepEqual([none.reason, none.group.free, none.of_group.no], ["already_used", [], 1], "the first one's reason");
  const elsewhere = await decide(group(), {}, ofGroup({ product: 2 }, {}));
  assert.deepEqual([numbers(elsewhere.group.free), elsewhere.group.all[0].reason], [[2], "wrong_gate"]);
  const out = await decide(group(), { direction: "out" }, ofGroup({}, { ...used, inside: 1, last_in: NOW_MS / 1000 - 60 }));
  assert.deepEqual(numbers(out.group.free), [2]);
  const slots = await decide(group(), {}, ofGroup({ slot: 9 }, {}));
  assert.deepEqual(numbers(slots.group.free), [2], "of a slot that is not known here");
  assert.equal((await decide(group(), {}, ofGroup({ slot: 9 }))).unjudged, "alone_slot");
  for (const [odd, reason] of [[{ forged: true }, "bad_signature"], [{ exhibition: 8 }, "wrong_exhibition"], [{ key: 2 }, "bad_signature"]]) {
    assert.equal((await decide(group(odd), {}, ofGroup({}, {}))).reason, reason);
  }
});

test("a group's code is as old as the re-issues of its tickets say", async () => {
  const once = () => ofGroup({ old: 2 }, {}, { old: 1 });
  for (const version of [1, 2, 3]) assert.equal((await decide(group({ version }), {}, once())).reason, "reissued", version);
  const now = await decide(group({ version: 4 }), {}, once());
  assert.deepEqual(now.group.free.map((one) => one.version), [3, 1, 2]);
  assert.equal((await decide(group({ version: 5 }), {}, once())).unjudged, "alone_group", "re-issued since");
  assert.equal((await decide(group({ version: 2 }), {}, ofGroup({}, {}))).unjudged, "alone_group");
});

test("of a group as many are kept as come in, and the others are not", async () => {
  const store = ofGroup({}, {}, {}), at = { now_ms: NOW_MS, device_ms: NOW_MS - 5, shift: "s" };
  const decided = await decide(group(), {}, store);
  const { went, kept } = GateJudge.settle(decided, { direction: "in", people: 2, asked: null }, at);
  assert.deepEqual([numbers(went), kept.map((one) => [one.key, one.scan.group.no, one.scan.reason, one.scan.undone_at, one.movement.counts])], [[1, 2], went.map((one, n) => [one.key, n + 1, "ok", null, true])]);
  assert.equal(new Set(kept.map((one) => one.scan.nonce)).size, 2);
  assert.ok(kept.every(({ scan }) => scan.asked === null && scan.ticket === null && scan.at === NOW_MS && scan.device_at === NOW_MS - 5));
  // Asked before, nobody knows whom the server has let in: the third one has not gone in by that question.
  const asked = GateJudge.settle(decided, { direction: "in", people: 2, asked: "q", asked_ms: NOW_MS - 900 }, at);
  assert.deepEqual(asked.kept.map(({ scan, movement }) => [scan.asked, scan.group.no, scan.at, scan.undone_at, Boolean(movement)]),
    [["q", 1, NOW_MS, null, true], ["q", 2, NOW_MS, null, true], ["q", 3, NOW_MS - 900, NOW_MS - 900, false]]);
  went.forEach((one) => store.own.set(one.key, GateRules.moved(GateRules.never(), { direction: "in", counts: true, now: NOW_MS / 1000 })));
  const again = await decide(group(), {}, store);
  assert.deepEqual(numbers(again.group.free), [3]);
  // Nobody goes in: one refusal, and whomever the server let in stays out.
  store.own.set(again.key, store.own.get(went[0].key));
  const late = GateJudge.settle(await decide(group(), {}, store), { direction: "in", people: 2, asked: "q", asked_ms: NOW_MS }, at);
  assert.deepEqual([late.went, late.kept.map(({ scan }) => [scan.group.no, scan.reason, scan.undone_at])], [[], [[1, "already_used", null], [2, "ok", NOW_MS], [3, "ok", NOW_MS]]]);
});

test("what a question made of a group, told before its answer, is no reason to refuse the same question", async () => {
  const store = ofGroup({}, {}, {}), asked_ms = NOW_MS - 20_000, all = { direction: "in", people: 3, asked: "q", asked_ms };
  const first = await decide(group(), { now_ms: asked_ms }, store);
  const told = (n, last_in) => store.table.putAll(record({ order: keyOf(order), no: n, of: 3, key: Buffer.from(first.group.all[n - 1].key, "hex"), entries: 1, day: TODAY, entries_day: 1, last_in }));
  told(1, asked_ms / 1000 + 1);
  told(2, asked_ms / 1000 - 60);
  told(3, asked_ms / 1000);
  // Nothing was asked here: they are in.
  assert.deepEqual((await decide(group(), {}, store)).group.free, []);
  const again = await decide(group(), { first, asked_ms }, store);
  assert.deepEqual(numbers(again.group.free), [1, 3], "the second one came in before it was asked");
  const { kept } = GateJudge.settle(again, all, { now_ms: NOW_MS, device_ms: NOW_MS, shift: "s" });
  assert.deepEqual(kept.map(({ scan, movement }) => [scan.group.no, scan.reason, scan.undone_at, movement]), [[1, "ok", null, null], [3, "ok", null, null], [2, "ok", asked_ms, null]]);
  // One was let in here since, by a code of its own.
  store.own.set(first.group.all[2].key, GateRules.moved(GateRules.never(), { direction: "in", counts: true, now: asked_ms / 1000 + 2 }));
  assert.deepEqual(numbers((await decide(group(), { first, asked_ms }, store)).group.free), [1]);
});

test("one ticket is kept as one scan", async () => {
  const at = { now_ms: NOW_MS, device_ms: NOW_MS, shift: null };
  const { went, kept } = GateJudge.settle(await decide(made()), { direction: "in", asked: "q", asked_ms: NOW_MS }, at);
  assert.deepEqual([went.length, kept.length, kept[0].scan.group, kept[0].movement.now], [1, 1, undefined, NOW_MS / 1000]);
  const refused = GateJudge.settle(await decide("https://example.org/menu"), { direction: "in", asked: null }, at);
  assert.deepEqual([refused.went, refused.kept.map((one) => [one.key, one.movement, one.scan.reason])], [[], [[null, null, "unknown"]]]);
});
