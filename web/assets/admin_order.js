// One order: what it is, whose it is, what can be done about it, and all that happened.
(function () {
  "use strict";
  const { h, t, word, table, panel, facts, won, number, moment, slot, badge, button, named, notice, say } = AdminUi;
  const { form, confirm } = AdminForms;
  const OPEN = ["held", "awaiting_deposit"];
  const MAILED = ["paid", "partially_refunded", "awaiting_deposit"];

  const path = (order, rest = "") => `/api/admin/orders/${encodeURIComponent(order.order_number)}${rest}`;
  const visit = (order) => (order.visit_date ? slot({ date: order.visit_date, start_time: order.start_time, end_time: order.end_time }) : t("tickets.any_day"));

  const about = (order) => facts([
    [t("orders.state"), AdminOrders.state(order.state)], [t("orders.placed"), moment(order.created_at)], order.paid_at && [t("order.paid_at"), moment(order.paid_at)],
    OPEN.includes(order.state) && order.expires_at && [t("order.until"), moment(order.expires_at)],
    [t("orders.visit"), visit(order)], [t("orders.amount"), won(order.total_amount)],
    AdminRefunds.left(order) !== (order.paid_at ? order.total_amount : 0) && [t("order.left"), won(AdminRefunds.left(order))],
    order.payment_method && [t("orders.method"), word("method", order.payment_method)], [t("order.language"), t(`order.language.${order.language}`)],
  ]);
  const items = (order) => table({
    caption: t("order.items"), head: [t("tickets.product"), { text: t("order.quantity"), num: true }, { text: t("order.unit"), num: true }, { text: t("orders.amount"), num: true }],
    rows: order.items.map((one) => [named({ name: one.name, name_en: one.name_en }), number(one.quantity), won(one.unit_price), won(one.amount)]),
    foot: [t("order.sum"), number(order.items.reduce((sum, one) => sum + one.quantity, 0)), "", won(order.total_amount)],
  });

  const CONTACT = [["customer_name", "contact.name", "off"], ["customer_phone", "contact.phone", "off"], ["customer_email", "contact.email", "off"]];

  /** Masked until somebody says why; then until the page is left or it is hidden again. */
  function contact(at, order, tag, again) {
    const box = h("div");
    let shown = null;
    const line = ([name, label]) => [t(label), (shown ?? order.contact)[name] || "–"];
    const reveal = () => confirm({
      title: t("contact.reveal"), lines: t("contact.reveal_will"), act: t("contact.reveal"), danger: false,
      fields: [{ name: "why", label: t("orders.why"), hint: t("orders.why_hint"), maxlength: 200, autocomplete: "off" }],
      send: async (values) => { shown = await at.call("POST", path(order, "/reveal"), values); },
    }).then((yes) => { if (yes) { draw(); say(t("contact.revealed")); box.querySelector("button").focus(); } });
    const hide = () => { shown = null; draw(); box.querySelector("button").focus(); };

    /** What is left empty stays as it is: whoever corrects one thing need not see the others. */
    async function correct() {
      const before = shown ?? {};
      const yes = await confirm({
        title: t("contact.correct"), lines: t(shown ? "contact.correct_will" : "contact.correct_blind"), act: t("save"), danger: false, again,
        fields: [...CONTACT.map(([name, label, autocomplete]) => ({ name, label: t(label), value: before[name] ?? "", placeholder: shown ? null : order.contact[name], autocomplete, type: name === "customer_phone" ? "tel" : name === "customer_email" ? "email" : "text", maxlength: 200 })),
          ...(order.contact.customer_email ? [{ name: "no_email", label: t("contact.no_email"), type: "checkbox" }] : [])],
        send: (values) => {
          const ask = Object.fromEntries(CONTACT.map(([name]) => [name, values[name]]).filter(([name, value]) => value && value !== before[name]));
          if (values.no_email) ask.customer_email = "";
          if (!Object.keys(ask).length) throw new AdminSession.Refusal(422, { errors: [{ field: "customer_name", detail: t("contact.nothing") }] });
          return at.change("PATCH", path(order), tag, ask);
        },
      });
      if (yes) { say(t("saved")); again(); }
    }

    function draw() {
      if (order.contact.forgotten) { box.replaceChildren(h("p", null, t("contact.forgotten"))); return; }
      box.replaceChildren(facts([...CONTACT.map(line), [t("contact.news"), t(order.contact.marketing ? "yes" : "no")]]),
        h("p", { class: "acts" }, shown ? button(t("contact.hide"), hide) : button(t("contact.reveal"), reveal), button(t("contact.correct"), correct)));
    }
    draw();
    return panel(t("contact.title"), box);
  }

  function acts(at, order, tag, again, tell) {
    const admin = AdminSession.may("admin"), list = [];
    const done = (text) => { tell(text); again(); };
    const ask = (options, text) => async () => { const yes = await confirm({ again, ...options }); if (yes) done(typeof text === "function" ? text(yes) : text); };
    if (MAILED.includes(order.state)) list.push(button(t("order.resend"), ask({
      title: t("order.resend"), lines: t(order.contact.customer_email ? "order.resend_will" : "order.resend_no_email", { to: order.contact.customer_email ?? "" }), act: t("order.resend"), danger: false, send: () => at.call("POST", path(order, "/resend")),
    }, (said) => t("order.resent", { n: number(said.left_today) }))));
    if (admin && ["held", "expired"].includes(order.state) && order.total_amount > 0) list.push(button(t("order.transfer"), ask({
      title: t("order.transfer_title"), lines: [order.state === "expired" && t("order.transfer_late"), t("order.transfer_will", { amount: won(order.total_amount) })].filter(Boolean), act: t("order.transfer_do"), danger: false,
      fields: [{ name: "amount", label: t("order.transfer_amount"), type: "number", min: 1 }, { name: "note", label: t("refund.note"), hint: t("order.transfer_note"), maxlength: 200, autocomplete: "off" }],
      send: (values) => { AdminForms.expect(values, "amount", "note"); return at.call("POST", path(order, "/transfer"), values); },
    }, t("order.transferred"))));
    if (admin && AdminRefunds.may(order)) list.push(button(t("refund.begin"), () => AdminRefunds.ask(at, order, () => done(t("refund.done"))), { class: "quiet small danger" }));
    if (admin && OPEN.includes(order.state)) list.push(button(t("order.cancel"), ask({
      title: t("order.cancel_title"), lines: t("order.cancel_will"), act: t("order.cancel"), send: () => at.change("PATCH", path(order), tag, { state: "cancelled" }),
    }, t("order.cancelled")), { class: "quiet small danger" }));
    return list.length > 0 && h("p", { class: "acts order-acts" }, list);
  }

  function show(at, order_number) {
    at.heading(order_number);
    const told = h("div"), tell = (text) => told.replaceChildren(notice(text, false));
    // Names of slots; they hardly change while somebody reads.
    let catalogue = null;
    const part = Admin.part(at, async () => {
      const { tag, body } = await at.call("GET", `/api/admin/orders/${encodeURIComponent(order_number)}`, undefined, { as: "tagged" });
      catalogue ??= body.tickets.some((one) => one.slot_id) ? await at.get(`/api/admin/slots?exhibition=${encodeURIComponent(body.exhibition_code)}`) : { slots: [] };
      return { tag, order: body };
    }, ({ tag, order }) => {
      // An address with another exhibition's code leads to where the order belongs.
      if (order.exhibition_code !== at.code) { location.replace(`#/${order.exhibition_code}/orders/${encodeURIComponent(order_number)}`); return []; }
      const again = part.again;
      return [
        acts(at, order, tag, again, tell),
        h("div", { class: "halves" }, panel(t("order.title"), about(order)), contact(at, order, tag, again)),
        panel(t("order.items"), items(order)),
        panel(t("tickets.title"), AdminHistory.tickets(at, order, catalogue, again)),
        (order.refunds.length > 0) && panel(t("refund.list"), AdminRefunds.list(at, order, again)),
        panel(t("history.title"), AdminHistory.timeline(order)),
      ];
    });
    at.root.append(h("p", { class: "over" }, h("a", { href: `#/${at.code}/orders` }, t("order.back"))), told, part.box);
  }

  globalThis.AdminOrder = { show };
})();
