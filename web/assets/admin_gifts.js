// Tickets that an exhibition gives away: an order of 0 won.
(function () {
  "use strict";
  const { h, t, date, slot, named, number, today, say } = AdminUi;
  const { form, once, expect, renamed } = AdminForms;

  function ask(at, products, slots) {
    const days = [...new Set(slots.map((one) => one.date))];
    const quantity = (one) => ({ name: `quantity.${one.id}`, label: named(one), hint: t("gifts.quantity_hint", { n: number(one.per_order_max) }), type: "number", min: 0, max: one.per_order_max, value: 0 });
    const set = form({
      fields: [
        ...products.map(quantity),
        { name: "visit_date", label: t("orders.visit"), type: "select", options: [["", t("gifts.choose")], ...days.map((day) => [day, date(day)])], wide: true },
        { name: "slot_id", label: t("gifts.hours"), type: "select", options: [["", t("gifts.choose")]], wide: true },
        { name: "customer_name", label: t("contact.name"), hint: t("gifts.name_hint"), maxlength: 100, autocomplete: "off" },
        { name: "customer_email", label: t("contact.email"), hint: t("gifts.email_hint"), type: "email", maxlength: 200, autocomplete: "off" },
        { name: "reason", label: t("gifts.reason"), hint: t("orders.why_hint"), maxlength: 200, autocomplete: "off", wide: true },
      ],
      submit: t("gifts.do"),
      send: async (values) => {
        const wanted = products.filter((one) => values[`quantity.${one.id}`] > 0);
        if (!wanted.length && products.length) throw new AdminSession.Refusal(422, { errors: [{ field: `quantity.${products[0].id}`, detail: t("gifts.none") }] });
        const dated = wanted.some((one) => one.dated);
        expect(values, "reason", ...(dated ? ["visit_date"] : []));
        const body = {
          items: wanted.map((one) => ({ product_id: one.id, quantity: values[`quantity.${one.id}`] })), reason: values.reason,
          ...(dated && { visit_date: values.visit_date, ...(values.slot_id && { slot_id: Number(values.slot_id) }) }),
          ...(values.customer_name && { customer_name: values.customer_name }), ...(values.customer_email && { customer_email: values.customer_email }),
        };
        try {
          const made = await once(`gift-${at.code}`, (key) => at.of("POST", "complimentary", body, { headers: { "Idempotency-Key": key } }));
          say(t("gifts.done"));
          Admin.go(`#/${at.code}/orders/${made.order_number}`);
        } catch (error) {
          throw renamed(error, (name) => { const at_item = name.match(/^items\[(\d+)\]/); return at_item && `quantity.${wanted[at_item[1]]?.id}`; });
        }
      },
    });
    const { visit_date, slot_id } = set.named;
    /** The day matters where one of the chosen needs it, and the hours where the day has several. */
    function follow() {
      const values = set.values(), dated = products.some((one) => one.dated && values[`quantity.${one.id}`] > 0), of_day = slots.filter((one) => one.date === values.visit_date);
      visit_date.row.hidden = !dated;
      slot_id.row.hidden = !dated || of_day.length < 2;
      const chosen = slot_id.input.value;
      slot_id.input.replaceChildren(h("option", { value: "" }, t("gifts.choose")), ...(of_day.length < 2 ? [] : of_day).map((one) => h("option", { value: one.id, selected: String(one.id) === chosen }, slot(one))));
    }
    set.addEventListener("input", follow);
    follow();
    return set;
  }

  function show(at) {
    at.heading(t("gifts.title"));
    at.root.append(h("p", { class: "over" }, h("a", { href: `#/${at.code}/orders` }, t("order.back"))));
    if (!AdminSession.may("admin")) { at.root.append(h("p", null, t("forbidden"))); return; }
    const code = encodeURIComponent(at.code);
    const part = Admin.part(at, () => Promise.all([at.get(`/api/admin/products?exhibition=${code}`), at.get(`/api/admin/slots?exhibition=${code}&from=${today()}`)]), ([{ products }, { slots }]) => {
      const sold = products.filter((one) => !one.archived), open = slots.filter((one) => !one.closed);
      return sold.length ? ask(at, sold, open) : h("p", { class: "fine empty" }, t("gifts.no_product"));
    });
    at.root.append(h("p", null, t("gifts.lead")), part.box);
  }

  globalThis.AdminGifts = { show };
})();
