// Whether a ticket may come in or go out now, and if not, why: the same answers as the server's, which a test compares
// case by case. Pure; whole seconds, and days of Asia/Seoul counted from 2020-01-01.
(function () {
  "use strict";
  /** Asia/Seoul has had no other offset since 1988. [s] */
  var OFFSET_S = 9 * 3600, DAY_S = 86400;
  /** 2020-01-01 in days since 1970. */
  var DAY_ZERO = 18262;
  /** Counts are two bytes wide in a record. */
  var COUNT_MAX = 65535;
  var DEFAULTS = { early_min: 30, late_min: 0, gates: null, entries: "once", per_day: 1, reentry: false, gap_s: 0 };

  /** Seconds of the clock on the wall since day zero. */
  function wall(now) { return now + OFFSET_S - DAY_ZERO * DAY_S; }
  function dayOf(now) { return Math.floor(wall(now) / DAY_S); }

  /** Nobody who was let in yesterday and never scanned out is still inside today. */
  function insideToday(past, today) { return past.inside && dayOf(past.last_in) === today; }
  function cameToday(past, today) { return past.day === today && past.entries_day > 0; }

  function hour(visit, rules, now) {
    var today = dayOf(now);
    if (visit.day === undefined) return today < visit.from_day ? "too_early" : today > visit.until_day ? "too_late" : "ok";
    if (visit.start === undefined || visit.start === null) return today === visit.day ? "ok" : "wrong_date";
    // A slot soon after midnight opens on the day before.
    var opens = visit.day * DAY_S + visit.start - rules.early_min * 60;
    var closes = visit.day * DAY_S + visit.end + rules.late_min * 60;
    if (wall(now) < opens) return today === visit.day ? "too_early" : "wrong_date";
    if (wall(now) > closes) return today === visit.day ? "too_late" : "wrong_date";
    return "ok";
  }

  function no(reason) { return { reason: reason, counts: false }; }

  function entering(p) {
    var rules = p.rules, past = p.past, today = dayOf(p.now), gap = rules.gap_s;
    if (p.standing !== "valid") return no(p.standing);
    if (rules.gates && rules.gates.length && rules.gates.indexOf(p.gate) < 0) return no("wrong_gate");
    if (rules.reentry && insideToday(past, today)) return no("already_inside");
    if (rules.reentry && cameToday(past, today) && !past.inside) {
      return no(gap > 0 && p.now - Math.max(past.last_in, past.last_out) < gap ? "too_soon" : "ok");
    }
    if (rules.entries === "once" && past.entries >= 1) return no("already_used");
    if (rules.entries === "daily" && cameToday(past, today) && past.entries_day >= rules.per_day) return no("used_up");
    if (past.last_in > 0 && gap > 0 && p.now - past.last_in < gap) return no("too_soon");
    var reason = hour(p.visit, rules, p.now);
    return { reason: reason, counts: reason === "ok" };
  }

  /** Nobody is kept in: neither gate nor hour nor what became of the order matters. */
  function leaving(p) {
    if (p.standing === "unknown" || p.standing === "reissued") return no(p.standing);
    return no(insideToday(p.past, dayOf(p.now)) ? "ok" : "not_inside");
  }

  function judge(presented) { return presented.direction === "out" ? leaving(presented) : entering(presented); }

  /** What is known of a ticket after it came in or went out. */
  function moved(past, movement) {
    if (movement.direction === "out") return Object.assign({}, past, { inside: false, last_out: movement.now });
    var today = dayOf(movement.now), more = movement.counts ? 1 : 0;
    return {
      entries: Math.min(past.entries + more, COUNT_MAX),
      day: more ? today : past.day,
      entries_day: Math.min((past.day === today ? past.entries_day : 0) + more, COUNT_MAX),
      inside: true,
      last_in: movement.now,
      last_out: past.last_out,
    };
  }

  function never() { return { entries: 0, day: 0, entries_day: 0, inside: false, last_in: 0, last_out: 0 }; }

  var it = { judge: judge, moved: moved, never: never, dayOf: dayOf, DEFAULTS: DEFAULTS, DAY_S: DAY_S, DAY_ZERO: DAY_ZERO, OFFSET_S: OFFSET_S };
  if (typeof module === "object" && module.exports) module.exports = it;
  else globalThis.GateRules = it;
})();
