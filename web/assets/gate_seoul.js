// Days and hours of Asia/Seoul in words, and what the phone itself can say of a ticket.
(function () {
  "use strict";

  function iso(s) { return new Date((Math.floor(s) + GateRules.OFFSET_S) * 1000).toISOString(); }
  /** `14:03` */
  function time(s) { return iso(s).slice(11, 16); }
  function day(number) { return new Date((number + GateRules.DAY_ZERO) * GateRules.DAY_S * 1000).toISOString().slice(0, 10); }

  /** `2026-11-21 14:03`, of the clock on the wall since day zero. */
  function wall(s) { return day(Math.floor(s / GateRules.DAY_S)) + " " + new Date((s - Math.floor(s / GateRules.DAY_S) * GateRules.DAY_S) * 1000).toISOString().slice(11, 16); }

  function hours(words, presented) {
    var visit = presented.visit, from, until;
    if (visit.day === undefined) { from = day(visit.from_day); until = day(visit.until_day); }
    else if (visit.start === undefined || visit.start === null) from = until = day(visit.day);
    else {
      from = wall(visit.day * GateRules.DAY_S + visit.start - presented.rules.early_min * 60);
      until = wall(visit.day * GateRules.DAY_S + visit.end + presented.rules.late_min * 60);
    }
    return (from === until ? words.on_day : words.hours).replace("{from}", from).replace("{until}", until);
  }

  /** Why, and what helps to explain it to whoever stands there. */
  function details(words, decided) {
    var lines = [words["why." + decided.reason] || decided.reason], presented = decided.presented, past = presented && presented.past;
    if (!presented) return lines[0];
    if (["too_early", "too_late", "wrong_date"].indexOf(decided.reason) >= 0) lines.push(hours(words, presented));
    if (["already_used", "used_up", "already_inside", "too_soon"].indexOf(decided.reason) >= 0 && past.last_in) {
      var today = GateRules.dayOf(past.last_in) === GateRules.dayOf(presented.now);
      lines.push(words.came_in.replace("{at}", today ? time(past.last_in) : iso(past.last_in).slice(0, 16).replace("T", " ")));
    }
    return lines.join("\n");
  }

  function product(words, decided) {
    return decided.product && (words.language === "en" ? decided.product.name_en : decided.product.name_ko);
  }

  /** Product, which of how many, and the number: no name, the phone knows none. */
  function what(words, decided) {
    var record = decided.record;
    return [
      product(words, decided),
      record && words.of.replace("{n}", record.ticket_no).replace("{of}", record.of),
      decided.number,
    ].filter(Boolean);
  }

  globalThis.GateSeoul = { time: time, day: day, details: details, product: product, what: what };
})();
