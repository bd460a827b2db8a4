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
  assert.equal((await decide(made({ kind: 2 }))).unjudged, "alone_group");
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
