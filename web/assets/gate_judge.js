// What the phone answers by itself when the server does not: signature, exhibition, its record of the ticket, the rules.
(function () {
  "use strict";
  /** Of an order's key in the records; that of its code is another one. */
  var ORDER_VERSION = 1;
  /** Between a question and what it made of a ticket, by the server's clock. [ms] */
  var MOMENT_MS = 5000;

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

  /** Moved by that question whose answer was lost, of which the server has told since: it stands as it did when it was asked. */
  function asWhenAsked(known, one, ask) {
    var before = ask.first && ask.first.group && ask.first.group.free.find(function (other) { return other.key === one.key; });
    if (!before || !one.record || one.reason === "ok" || known.own.has(one.key)) return one;
    var moved_s = ask.direction === "out" ? one.record.past.last_out : one.record.past.last_in;
    return Math.abs(moved_s * 1000 - ask.asked_ms) <= MOMENT_MS ? Object.assign({}, before, { told: true }) : one;
  }

  /** The order's tickets, each by the rules. A re-issue of any of them raises the version of the order's own code. */
  async function byGroup(known, signed, ask) {
    var all = known.table.ofOrder(await GateCodes.keyOf(signed.ticket_bytes, ORDER_VERSION));
    var old = all.filter(function (one) { return one.record.standing === "reissued"; });
    // Sold since, or re-issued: which tickets there are, nobody knows here.
    if (all.length === old.length || signed.version > 1 + old.length) return unjudged("alone_group");
    if (signed.version < 1 + old.length) return refused("reissued");
    var judged = all.filter(function (one) { return old.indexOf(one) < 0; }).map(function (one) {
      var no = one.record.ticket_no, before = old.filter(function (other) { return other.record.ticket_no === no; }).length;
      // Not by the code, which is not this ticket's: by its order and number.
      var verdict = Object.assign(byRules(known, one.key, one.record, null, ask), { version: 1 + before, of_group: { order: signed.ticket, no: no } });
      return asWhenAsked(known, verdict, ask);
    }).sort(function (one, other) { return one.of_group.no - other.of_group.no; });
    var free = judged.filter(function (one) { return one.reason === "ok"; });
    var first = free[0] || judged.find(function (one) { return one.reason; }) || judged[0];
    return Object.assign({}, first, { group: { free: free, all: judged } });
  }

  async function byCode(known, signed, ask) {
    var book = known.meta.rulebook, key = book.keys.find(function (one) { return one.id === signed.key_id; });
    if (!key) return unjudged("alone_key");
    if (key.retired_at !== null && key.retired_at !== undefined && ask.now_ms >= key.retired_at) return refused("bad_signature");
    if (!(await GateCodes.genuine(signed, GateCodes.fromBase64url(key.public_key), ask.library))) return refused("bad_signature");
    if (signed.exhibition !== book.exhibition.id) return refused("wrong_exhibition", { ticket: signed.ticket, version: signed.version });
    if (signed.kind === "group") return byGroup(known, signed, ask);
    var name = await GateCodes.keyOf(signed.ticket_bytes, signed.version);
    return byRules(known, name, known.table.find(name), signed, ask);
  }

  /**
   * `known` is the store; `ask` is { text, direction, now_ms, library }, and where a group was asked about without an answer the
   * verdict of then and the time: { first, asked_ms }. A group's verdict is its first ticket's, with all of them beside it.
   */
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

  /**
   * What is kept of a verdict, for GateStore.keep: { went, kept }. `ask` is { direction, people, asked, asked_ms }, `at` is
   * { now_ms, device_ms, shift }. Of a group so many go in, each by a ticket and a scan of its own.
   */
  function settle(decided, ask, at) {
    var group = decided.group, went = group ? group.free.slice(0, ask.people) : decided.reason === "ok" ? [decided] : [];
    var told = went.length ? went : [decided];
    function scan(one, more) {
      return Object.assign({
        nonce: crypto.randomUUID(), asked: ask.asked, shift: at.shift, ticket: one.ticket || null, version: one.version, typed: one.typed || null,
        direction: ask.direction, at: at.now_ms, device_at: at.device_ms, reason: one.reason, undone_at: null,
      }, one.of_group && { group: one.of_group }, more);
    }
    var kept = told.map(function (one) {
      return { key: one.key, movement: one.reason === "ok" && !one.told ? { direction: ask.direction, counts: one.counts, now: Math.floor(at.now_ms / 1000) } : null, scan: scan(one) };
    });
    // The server may have let others in, and its answer was lost: nobody went in by them.
    if (group && ask.asked) group.all.forEach(function (one) {
      if (told.some(function (other) { return other.of_group.no === one.of_group.no; })) return;
      kept.push({ key: one.key || null, movement: null, scan: scan(one, { reason: "ok", at: ask.asked_ms, undone_at: ask.asked_ms }) });
    });
    return { went: went, kept: kept };
  }

  globalThis.GateJudge = { decide: decide, settle: settle };
})();
