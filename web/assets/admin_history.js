// What happened to an order: everything that is known of it in one line of time, oldest first, and its tickets.
(function () {
  "use strict";
  const { h, t, word, table, won, moment, number, badge, button, named, slot, say } = AdminUi;
  const { confirm } = AdminForms;
  const TICKETS = { valid: "open", blocked: "bad" };
  const BAD = ["declined", "failed", "bounced", "dead", "outcome_unknown", "unknown", "refund_failed", "refund_bounced", "deposit_reversed"];

  const said = (...parts) => parts.filter(Boolean).join(" · ");
  /** Who did it: workers are nobody whom one could ask. */
  const by = (one) => (one.staff ? `${one.staff} (${word("actor", one.actor)})` : word("actor", one.actor));
  /** What the log has of it, for those who may read the log; of what the worker does, and of sales at a gate, it has nothing. */
  const logged = (one) => one.staff && one.actor !== "worker" && one.cause !== "walk_in" && AdminSession.may("admin") && `#/log?${new URLSearchParams({ request_id: one.correlation_id })}`;

  /** One list of `{ at, family, title, state, more }`. */
  function entries(order) {
    const event = (one) => ({ at: one.at, family: "event", title: word("event", one.kind), bad: BAD.includes(one.kind),
      more: said(one.from && one.to && one.from !== one.to && `${word("order_state", one.from)} → ${word("order_state", one.to)}`, by(one), one.kind === "contact_changed" ? one.cause.split(",").map((name) => word("contact", name)).join(", ") : word("cause", one.cause)), id: one.correlation_id, log: logged(one) });
    const attempt = (one) => ({ at: one.created_at, family: "attempt", title: t("history.attempt", { n: one.n }), state: word("attempt", one.state), bad: BAD.includes(one.state),
      more: said(word("provider", one.provider), one.method && word("method", one.method), won(one.amount), one.returned > 0 && t("history.returned", { amount: won(one.returned) }), one.failure_code, one.ended_at && t("history.ended", { at: moment(one.ended_at) })), id: said(one.provider_order_id, one.payment_key) });
    const refund = (one) => ({ at: one.created_at, family: "refund", title: t("history.refund", { amount: won(one.amount) }), state: word("refund_state", one.state), bad: BAD.includes(one.state),
      more: said(word("refund_kind", one.kind), one.ticket_ids.length > 0 && t("history.tickets", { n: one.ticket_ids.length }), one.fee > 0 && t("history.fee", { amount: won(one.fee) }), one.done_at && t("history.ended", { at: moment(one.done_at) })), id: one.id });
    const webhook = (one) => ({ at: one.received_at, family: "webhook", title: t("history.webhook", { provider: word("provider", one.provider) }), state: word("inbox.state", one.state), bad: BAD.includes(one.state), more: said(one.kind, one.status, one.outcome && AdminOperations.outcome(one.outcome)), id: one.order_id });
    const message = (one) => ({ at: one.created_at, family: "message", title: word("mail", one.kind), state: word("mail_state", one.state), bad: BAD.includes(one.state), more: said(one.outcome && word("mail_outcome", one.outcome), one.asked_by, one.done_at && t("history.ended", { at: moment(one.done_at) })) });
    const scan = (one) => ({ at: one.at, family: "scan", title: t(`history.scan.${one.direction}`, { n: one.ticket_no }), state: t(one.undone_at ? "history.undone" : one.allowed ? "history.allowed" : "history.refused"), bad: !one.allowed,
      more: said(one.gate, !one.allowed && word("why", one.reason), one.forced && t("history.forced"), one.without_network && t("history.without_network"), one.staff, one.device) });
    return [...order.events.map(event), ...order.attempts.map(attempt), ...order.refunds.map(refund), ...order.webhooks.map(webhook), ...order.messages.map(message), ...order.scans.map(scan)]
      .map((one, n) => ({ ...one, n })).sort((a, b) => Date.parse(a.at) - Date.parse(b.at) || a.n - b.n);
  }

  const entry = (one) => h("li", { class: `entry ${one.family} ${one.bad ? "bad" : ""}` },
    h("p", { class: "fine" }, h("time", { datetime: one.at }, AdminUi.moment_s(one.at)), " · ", t(`history.of.${one.family}`)),
    h("p", null, h("strong", null, one.title), " ", one.state && badge(one.state, one.bad ? "bad" : "")),
    one.more && h("p", { class: "fine" }, one.more, one.log && [" · ", h("a", { href: one.log }, t("history.log"))]),
    one.id && h("details", null, h("summary", null, t("history.id")), h("code", null, one.id)));

  /** `chosen` families alone, or all. */
  function timeline(order) {
    const all = entries(order), families = [...new Set(all.map((one) => one.family))];
    const box = h("ol", { class: "timeline" });
    const choose = h("select", { id: "history-of", onchange: () => draw() }, h("option", { value: "" }, t("all")), families.map((one) => h("option", { value: one }, t(`history.of.${one}`))));
    const draw = () => box.replaceChildren(...all.filter((one) => !choose.value || one.family === choose.value).map(entry));
    draw();
    return [h("p", { class: "field seek" }, h("label", { for: "history-of" }, t("history.show")), choose), box];
  }

  function tickets(at, order, catalogue, again) {
    const admin = AdminSession.may("admin");
    const product = (one) => { const of = order.items.find((item) => item.product_id === one.product_id); return of ? named({ name: of.name, name_en: of.name_en }) : one.product_id; };
    const stop = (one) => {
      if (!admin || one.state !== "valid") return "–";
      const act = one.stopped_at ? "unblock" : "block";
      return button(t(`tickets.${act}`), async () => {
        const done = await confirm({ title: t(`tickets.${act}_title`, { n: one.ticket_no }), lines: t(`tickets.${act}_will`), act: t(`tickets.${act}`), danger: act === "block", send: () => at.of("POST", `tickets/${one.id}/${act}`) });
        if (done) { say(t("saved")); again(); }
      }, { class: act === "block" ? "quiet small danger" : "quiet small", "aria-label": `${t(`tickets.${act}`)}: ${one.ticket_no}` });
    };
    const state = (one) => (one.stopped_at && one.state === "valid" ? badge(t("tickets.stopped"), "bad") : badge(word("ticket_state", one.state), TICKETS[one.state]));
    const used = (one) => (one.used_at ? said(moment(one.last_in_at ?? one.used_at), one.last_gate ?? one.used_gate, one.inside && t("tickets.inside")) : "–");
    const day = (one) => { const of = catalogue.slots.find(({ id }) => id === one.slot_id); return of ? slot(of) : one.slot_id ? "–" : t("tickets.any_day"); };
    return table({ caption: t("tickets.title"), empty: t("tickets.none"), head: [t("tickets.no"), t("tickets.product"), t("tickets.slot"), t("orders.state"), t("tickets.used"), { text: t("tickets.entries"), num: true }, { text: t("does"), hide: true }],
      rows: order.tickets.map((one) => [number(one.ticket_no), product(one), day(one), state(one), used(one), number(one.entries), stop(one)]) });
  }

  globalThis.AdminHistory = { timeline, tickets };
})();
