// What the phone answers by itself when the server does not: signature, exhibition, its record of the ticket, the rules.
(function () {
  "use strict";

  /** Not judged at all: staff are told why, and nothing is recorded. */
  function unjudged(why) { return { unjudged: why }; }
  function refused(reason, more) { return Object.assign({ reason: reason, counts: false, key: null, ticket: null, version: 0, typed: null, record: null }, more); }

  function visitOf(book, record, signed) {
    if (!record) return { from_day: signed.from_day, until_day: signed.until_day };
    if (!record.slot) return { from_day: book.exhibition.from_day, until_day: book.exhibition.until_day };
    var slot = book.slots.find(function (one) { return one.id === record.slot; });
    if (slot) return { day: slot.day, start: slot.start, end: slot.end };
    return signed ? { from_day: signed.from_day, until_day: signed.until_day } : null;
  }

  function byRules(known, key, record, signed, ask) {
    var book = known.meta.rulebook, name = GateCodes.toHex(key), visit = visitOf(book, record, signed);
    if (!visit) return unjudged("alone_slot");
    var product = record && book.products.find(function (one) { return one.id === record.product; });
    var presented = {
      // A genuine code of a ticket that is not known here was sold since.
      standing: record ? record.standing : "valid",
      visit: visit,
      past: known.past(name, record),
      rules: product && product.rules || book.rules || GateRules.DEFAULTS,
      gate: book.gate,
      direction: ask.direction,
      now: Math.floor(ask.now_ms / 1000),
    };
    var said = GateRules.judge(presented);
    return {
      reason: said.reason, counts: said.counts, key: name, number: GateCodes.number(key), record: record, product: product || null, presented: presented,
      ticket: signed ? signed.ticket : null, version: signed ? signed.version : 0, typed: signed ? null : GateCodes.number(key),
    };
  }

  async function byCode(known, signed, ask) {
    var book = known.meta.rulebook, key = book.keys.find(function (one) { return one.id === signed.key_id; });
    if (!key) return unjudged("alone_key");
    if (key.retired_at !== null && key.retired_at !== undefined && ask.now_ms >= key.retired_at) return refused("bad_signature");
    if (!(await GateCodes.genuine(signed, GateCodes.fromBase64url(key.public_key), ask.library))) return refused("bad_signature");
    if (signed.exhibition !== book.exhibition.id) return refused("wrong_exhibition", { ticket: signed.ticket, version: signed.version });
    if (signed.kind === "group") return unjudged("alone_group");
    var name = await GateCodes.keyOf(signed.ticket_bytes, signed.version);
    return byRules(known, name, known.table.find(name), signed, ask);
  }

  /** `known` is the store; `ask` is { text, direction, now_ms, library }. */
  async function decide(known, ask) {
    // Without the whole list a ticket that was used or given back would look like one that was sold since.
    if (!known.table || !known.meta.complete || !known.meta.rulebook) return unjudged("alone_empty");
    var signed = GateCodes.read(ask.text);
    if (signed) return byCode(known, signed, ask);
    var number = GateCodes.readNumber(ask.text);
    if (!number) return refused("unknown");
    var found = known.table.findNumber(number);
    if (!found) return refused("unknown", { typed: GateCodes.number(number) });
    return byRules(known, found.key, found.record, null, ask);
  }

  globalThis.GateJudge = { decide: decide };
})();
