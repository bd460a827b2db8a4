// A slot or a day that does not take place: all its tickets go back, order by order, after it was said how many they are. How far
// it is has an address of its own, so that whoever leaves comes back to it.
(function () {
  "use strict";
  const { h, t, word, panel, facts, won, number, moment, date, slot, badge, bar, table, notice } = AdminUi;
  const { confirm, once } = AdminForms;
  const LOOK_MS = 2000;
  const num = (text) => ({ text, num: true });

  const asked_of = (ids) => ({ slot_ids: ids, reason: t("bulk.title") });
  const would_of = (at, ids) => at.of("POST", "bulk-refunds", { ...asked_of(ids), dry_run: true });
  /** What a dry run tells, in sentences. `held`: places that may still be paid. */
  const told = (would, held) => [t("bulk.will", { orders: number(would.orders), tickets: number(would.tickets), amount: won(would.amount) }), held > 0 && t("bulk.held", { n: number(held) }), would.used_tickets > 0 && t("bulk.used", { n: number(would.used_tickets) }), would.at_the_desk_orders > 0 && t("bulk.at_the_desk", { n: number(would.at_the_desk_orders) })].filter(Boolean);

  /** Says what would go back of closed slots, asks, and begins it. `name`: what they are. */
  async function give_back(at, { ids, name, held = 0 }) {
    const would = await would_of(at, ids);
    const begun = await confirm({
      title: t("bulk.ask", { slot: name }), act: t("bulk.do", { amount: won(would.amount) }),
      lines: [ids.length > 1 && t("bulk.closed", { n: number(ids.length) }), ...told(would, held), t("refund.for_good")].filter(Boolean),
      fields: [{ name: "reason", label: t("refund.reason"), hint: t("bulk.reason_hint"), maxlength: 200, autocomplete: "off" }],
      send: ({ reason }) => once(`bulk-${at.code}-${ids.join(".")}`, (key) => at.of("POST", "bulk-refunds", { ...asked_of(ids), reason }, { headers: { "Idempotency-Key": key } })),
    });
    if (begun) Admin.go(`#/${at.code}/setup/bulk/${begun.id}`);
    return begun;
  }

  /** `one`: a closed slot. */
  const begin = (at, one) => give_back(at, { ids: [one.id], name: slot(one), held: one.held });

  const list = (at) => at.get(`/api/admin/slots?exhibition=${encodeURIComponent(at.code)}`);
  const days_of = (slots) => [...new Set(slots.filter((one) => one.sold + one.held > 0).map((one) => one.date))].sort();

  /**
   * A whole day. What would go back is told first, while the slots are open as they were: whoever thinks better of it has changed
   * nothing. Then they are closed, so that what is told next is all there is, and it goes back as one slot does.
   */
  async function day(at, slots) {
    const of = (chosen) => slots.filter((one) => one.date === chosen), places = (some, what) => some.reduce((all, one) => all + one[what], 0);
    const closed = await confirm({
      title: t("bulk.day"), lines: t("bulk.day_will"), act: t("bulk.day_close"),
      fields: [{ name: "date", label: t("slots.date"), type: "select", options: days_of(slots).map((one) => [one, t("bulk.day_of", { date: date(one), n: number(of(one).length), sold: number(places(of(one), "sold")) })]) }],
      more: (asked) => preview(at, asked, (chosen) => ({ ids: of(chosen).map((one) => one.id), held: places(of(chosen), "held") })),
      send: async ({ date: chosen }) => {
        await at.call("POST", "/api/admin/slots/bulk", { exhibition: at.code, filter: { from: chosen, until: chosen }, set: { closed: true } });
        // Also those that somebody else has made meanwhile.
        return (await list(at)).slots.filter((one) => one.date === chosen);
      },
    });
    return closed && give_back(at, { ids: closed.map((one) => one.id), name: date(closed[0].date), held: places(closed, "held") });
  }

  /** In a dialog that asks for a day: what would go back of it. Nothing is closed before that was told. */
  function preview(at, asked, of) {
    const box = h("div", { class: "would", role: "status" }), chosen = asked.named.date.input, go = asked.querySelector("[type=submit]");
    let newest = 0, told_for = null;
    asked.ready = () => told_for === chosen.value;
    async function look() {
      const mine = newest += 1, { ids, held } = of(chosen.value);
      told_for = null;
      go.disabled = true;
      box.replaceChildren(h("p", { class: "fine" }, t("loading")));
      const seen = await would_of(at, ids).then((would) => ({ would }), (error) => ({ error }));
      if (mine !== newest) return;
      if (seen.error) { box.replaceChildren(notice(Admin.explained(seen.error) ?? String(seen.error), true, h("p", null, AdminUi.button(t("again"), look)))); return; }
      box.replaceChildren(...[t("bulk.as_of_now"), ...told(seen.would, held)].map((line) => h("p", null, line)));
      told_for = chosen.value;
      // One that is being closed comes first.
      if (!asked.hasAttribute("aria-busy")) go.disabled = false;
    }
    chosen.addEventListener("change", look);
    asked.querySelector(".fields").after(box);
    look();
  }

  /** Why an order was not given back. */
  function why(code) {
    const said = word("bulk.refused", code);
    return said === code ? t("bulk.refused_else", { code }) : said;
  }

  const shown = (at, said) => {
    const all = said.left + said.done + said.failed;
    return [
      h("p", { class: "phase" }, badge(word("bulk.state", said.state), said.state === "done" ? "open" : "soon")),
      bar(all ? (said.done + said.failed) / all : 1, t("bulk.progress")),
      facts([[t("bulk.slots"), number(said.slot_ids.length)], [t("bulk.left"), number(said.left)], [t("bulk.done"), number(said.done)], [t("bulk.failed"), number(said.failed)], [t("bulk.tickets"), number(said.tickets_refunded)], [t("refund.back"), won(said.amount_refunded)],
        [t("refund.reason"), said.reason], [t("refund.at"), moment(said.created_at)], said.done_at && [t("refund.arrived"), moment(said.done_at)]]),
      said.failures.length > 0 && panel(t("bulk.failures"), h("p", { class: "fine" }, t("bulk.failures_lead")), table({
        caption: t("bulk.failures"), head: [t("orders.number"), t("bulk.why")],
        rows: said.failures.map((one) => [h("a", { class: "number", href: `#/${at.code}/orders/${encodeURIComponent(one.order_number)}` }, one.order_number), why(one.code)]),
      })),
    ];
  };

  /** All there were, the newest first. */
  function past(at) {
    let bulks = [], next = null;
    const row = (one) => {
      const all = one.left + one.done + one.failed;
      return [h("a", { href: `#/${at.code}/setup/bulk/${one.id}` }, moment(one.created_at)), one.reason, number(one.slot_ids.length), [badge(word("bulk.state", one.state), one.state === "done" ? "open" : "soon"), one.state === "running" && bar(all ? (one.done + one.failed) / all : 1, t("bulk.progress"))],
        number(one.done), number(one.left), number(one.failed), number(one.tickets_refunded), won(one.amount_refunded)];
    };
    const part = Admin.part(at, () => at.of("GET", `bulk-refunds${next ? `?before=${next}` : ""}`), (said) => {
      bulks = bulks.concat(said.bulk_refunds);
      next = said.next;
      return [table({ caption: t("bulk.past"), empty: t("bulk.none"), head: [t("refund.at"), t("refund.reason"), num(t("bulk.slots")), t("orders.state"), num(t("bulk.done")), num(t("bulk.left")), num(t("bulk.failed")), num(t("bulk.tickets")), num(t("refund.back"))], rows: bulks.map(row) }), next && AdminUi.button(t("more"), part.again)];
    });
    at.root.append(h("p", { class: "over" }, h("a", { href: `#/${at.code}/setup/slots` }, t("bulk.back"))), panel(t("bulk.past"), part.box));
  }

  AdminSetup.tabs.bulk = function (at) {
    if (!at.rest[1]) { past(at); return; }
    let state = null;
    const part = Admin.part(at, () => at.of("GET", `bulk-refunds/${encodeURIComponent(at.rest[1] || "")}`), (said) => { state = said.state; return shown(at, said); });
    at.root.append(h("p", { class: "over" }, h("a", { href: `#/${at.code}/setup/bulk` }, t("bulk.past"))), h("p", null, t("bulk.lead")), part.box);
    at.every(LOOK_MS, () => { if (state === "running") part.look(); });
  };

  globalThis.AdminBulk = { begin, day, days_of };
})();
