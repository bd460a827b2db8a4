// A slot that does not take place: all its tickets go back, order by order, after it was said how many they are. How far it is
// has an address of its own, so that whoever leaves comes back to it.
(function () {
  "use strict";
  const { h, t, word, panel, facts, won, number, moment, slot, badge, bar, table } = AdminUi;
  const { confirm, once } = AdminForms;
  const LOOK_MS = 2000;

  /** Asks, and begins it. `one`: a closed slot. */
  async function begin(at, one) {
    const ask = { slot_ids: [one.id], reason: t("bulk.title") };
    const would = await at.of("POST", "bulk-refunds", { ...ask, dry_run: true });
    const begun = await confirm({
      title: t("bulk.ask", { slot: slot(one) }), act: t("bulk.do", { amount: won(would.amount) }),
      lines: [t("bulk.will", { orders: number(would.orders), tickets: number(would.tickets), amount: won(would.amount) }), would.used_tickets > 0 && t("bulk.used", { n: number(would.used_tickets) }), t("refund.for_good")].filter(Boolean),
      fields: [{ name: "reason", label: t("refund.reason"), hint: t("bulk.reason_hint"), maxlength: 200, autocomplete: "off" }],
      send: ({ reason }) => once(`bulk-${at.code}-${one.id}`, (key) => at.of("POST", "bulk-refunds", { ...ask, reason }, { headers: { "Idempotency-Key": key } })),
    });
    if (begun) Admin.go(`#/${at.code}/setup/bulk/${begun.id}`);
  }

  const shown = (at, said) => {
    const all = said.left + said.done + said.failed;
    return [
      h("p", { class: "phase" }, badge(word("bulk.state", said.state), said.state === "done" ? "open" : "soon")),
      bar(all ? (said.done + said.failed) / all : 1, t("bulk.progress")),
      facts([[t("bulk.left"), number(said.left)], [t("bulk.done"), number(said.done)], [t("bulk.failed"), number(said.failed)], [t("bulk.tickets"), number(said.tickets_refunded)], [t("refund.back"), won(said.amount_refunded)],
        [t("refund.reason"), said.reason], [t("refund.at"), moment(said.created_at)], said.done_at && [t("refund.arrived"), moment(said.done_at)]]),
      said.failures.length > 0 && panel(t("bulk.failures"), h("p", { class: "fine" }, t("bulk.failures_lead")), table({
        caption: t("bulk.failures"), head: [t("orders.number"), t("bulk.why")],
        rows: said.failures.map((one) => [h("a", { class: "number", href: `#/${at.code}/orders/${encodeURIComponent(one.order_number)}` }, one.order_number), h("code", null, one.code)]),
      })),
    ];
  };

  AdminSetup.tabs.bulk = function (at) {
    let state = null;
    const part = Admin.part(at, () => at.of("GET", `bulk-refunds/${encodeURIComponent(at.rest[1] || "")}`), (said) => { state = said.state; return shown(at, said); });
    at.root.append(h("p", { class: "over" }, h("a", { href: `#/${at.code}/setup/slots` }, t("bulk.back"))), h("p", null, t("bulk.lead")), part.box);
    at.every(LOOK_MS, () => { if (state === "running") part.again(); });
  };

  globalThis.AdminBulk = { begin };
})();
