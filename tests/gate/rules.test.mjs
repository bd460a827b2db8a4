import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const { judge, moved, never } = createRequire(import.meta.url)("../../web/assets/gate_rules.js");

const s = (text) => Date.parse(`${text}+09:00`) / 1000;
const day = (text) => Date.parse(`${text}T00:00:00Z`) / 86_400_000 - 18_262;
const TODAY = day("2026-11-21"), NOON = s("2026-11-21T12:00:00");
const RULES = { early_min: 30, late_min: 0, gates: null, entries: "once", per_day: 1, reentry: false, gap_s: 0 };
const DAILY = { ...RULES, entries: "daily", per_day: 2 };
const BACK = { ...RULES, reentry: true };
const came = (at, more = {}) => ({ ...moved(never(), { direction: "in", counts: true, now: s(at) }), ...more });

const good = { standing: "valid", visit: { day: TODAY }, past: never(), rules: RULES, gate: "north", direction: "in", now: NOON };
const said = (changes) => Object.values(judge({ ...good, ...changes })).join(" ");

test("the first reason that applies", () => {
  const left = came("2026-11-21T10:00:00", { inside: false, last_out: s("2026-11-21T11:50:00") });
  const table = [
    [{}, "ok true"],
    [{ standing: "reissued", rules: { ...RULES, gates: ["south"] } }, "reissued false"],
    [{ standing: "blocked" }, "blocked false"],
    [{ rules: { ...RULES, gates: ["south"] }, past: came("2026-11-21T10:00:00") }, "wrong_gate false"],
    [{ rules: { ...RULES, gates: ["north", "south"] } }, "ok true"],
    [{ rules: { ...RULES, gates: [] } }, "ok true"],
    [{ past: came("2026-11-21T10:00:00"), visit: { day: TODAY - 1 } }, "already_used false"],
    [{ past: came("2026-11-20T10:00:00") }, "already_used false"],
    [{ rules: BACK, past: came("2026-11-21T10:00:00") }, "already_inside false"],
    [{ rules: BACK, past: came("2026-11-20T10:00:00") }, "already_used false"],
    [{ rules: BACK, past: left }, "ok false"],
    [{ rules: BACK, past: left, visit: { day: TODAY, start: 36_000, end: 39_600 } }, "ok false"],
    [{ rules: { ...BACK, gap_s: 601 }, past: left }, "too_soon false"],
    [{ rules: { ...BACK, gap_s: 600 }, past: left }, "ok false"],
    [{ rules: DAILY, past: came("2026-11-21T10:00:00") }, "ok true"],
    [{ rules: DAILY, past: came("2026-11-21T10:00:00", { entries_day: 2 }) }, "used_up false"],
    [{ rules: DAILY, past: came("2026-11-20T10:00:00", { entries_day: 2 }) }, "ok true"],
    [{ rules: { ...DAILY, gap_s: 7201 }, past: came("2026-11-21T10:00:00") }, "too_soon false"],
    [{ rules: { ...DAILY, gap_s: 60 }, past: came("2026-11-21T12:05:00") }, "too_soon false"],
    [{ visit: { from_day: TODAY + 1, until_day: TODAY + 2 } }, "too_early false"],
    [{ visit: { from_day: TODAY - 2, until_day: TODAY - 1 } }, "too_late false"],
    [{ visit: { from_day: TODAY, until_day: TODAY } }, "ok true"],
    [{ visit: { day: TODAY + 1 } }, "wrong_date false"],
  ];
  for (const [changes, answer] of table) assert.equal(said(changes), answer, JSON.stringify(changes));
});

test("days and hours", () => {
  const slot = { day: TODAY, start: 36_000, end: 43_200 }, night = { day: TODAY, start: 600, end: 7_200 };
  const table = [
    [{ day: TODAY }, "2026-11-21T00:00:00", {}, "ok"],
    [{ day: TODAY }, "2026-11-21T23:59:59", {}, "ok"],
    [{ day: TODAY }, "2026-11-22T00:00:00", {}, "wrong_date"],
    [slot, "2026-11-20T11:00:00", {}, "wrong_date"],
    [slot, "2026-11-21T09:29:59", {}, "too_early"],
    [slot, "2026-11-21T09:30:00", {}, "ok"],
    [slot, "2026-11-21T09:29:59", { early_min: 31 }, "ok"],
    [slot, "2026-11-21T12:00:00", {}, "ok"],
    [slot, "2026-11-21T12:00:01", {}, "too_late"],
    [slot, "2026-11-21T12:10:00", { late_min: 10 }, "ok"],
    [slot, "2026-11-22T10:00:00", {}, "wrong_date"],
    [night, "2026-11-20T23:39:59", {}, "wrong_date"],
    [night, "2026-11-20T23:40:00", {}, "ok"],
  ];
  for (const [visit, now, rules, reason] of table) {
    assert.equal(judge({ ...good, visit, rules: { ...RULES, ...rules }, now: s(now) }).reason, reason, `${JSON.stringify(visit)} at ${now}`);
  }
});

test("nobody is kept in", () => {
  const out = { direction: "out", rules: { ...RULES, gates: ["south"] } };
  const table = [
    [{ ...out, past: came("2026-11-21T10:00:00"), standing: "refunded" }, "ok false"],
    [{ ...out, past: came("2026-11-21T10:00:00"), standing: "reissued" }, "reissued false"],
    [{ ...out, past: came("2026-11-20T10:00:00") }, "not_inside false"],
    [{ ...out, past: came("2026-11-21T10:00:00", { inside: false }) }, "not_inside false"],
    [out, "not_inside false"],
  ];
  for (const [changes, answer] of table) assert.equal(said(changes), answer, JSON.stringify(changes));
});

test("a ticket's past goes on", () => {
  let past = moved(never(), { direction: "in", counts: true, now: NOON });
  assert.deepEqual(past, { entries: 1, day: TODAY, entries_day: 1, inside: true, last_in: NOON, last_out: 0 });
  past = moved(past, { direction: "out", counts: false, now: NOON + 60 });
  assert.deepEqual(past, { entries: 1, day: TODAY, entries_day: 1, inside: false, last_in: NOON, last_out: NOON + 60 });
  past = moved(past, { direction: "in", counts: false, now: NOON + 90 });
  assert.deepEqual(past, { entries: 1, day: TODAY, entries_day: 1, inside: true, last_in: NOON + 90, last_out: NOON + 60 });
  past = moved(past, { direction: "in", counts: true, now: NOON + 86_400 });
  assert.deepEqual([past.entries, past.day, past.entries_day], [2, TODAY + 1, 1]);
  past = moved({ ...past, entries: 65_535, entries_day: 65_535 }, { direction: "in", counts: true, now: NOON + 86_500 });
  assert.deepEqual([past.entries, past.entries_day], [65_535, 65_535]);
});
