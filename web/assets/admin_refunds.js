// Money back on behalf of the exhibition: which tickets end, how much goes back and what becomes of what failed. Everything is
// said before it is done, and is done once.
(function () {
  "use strict";
  const { h, t, word, table, won, number, moment, badge, button, named, notice, say, facts } = AdminUi;
  const { form, dialog, confirm, once, expect, renamed } = AdminForms;
  const KINDS = { done: "open", by_hand: "open", pending: "soon", needs_account: "soon", failed: "bad", bounced: "bad" };

  const price_of = (order, ticket) => order.items.find((item) => item.product_id === ticket.product_id)?.unit_price ?? 0;
  const paid = (order) => order.attempts.find((one) => one.paid_the_order);
  /** What may still go back of what was paid. What came twice went back by itself, from another attempt. */
  const left = (order) => (paid(order)?.amount ?? 0) - order.refunds.filter((one) => one.kind !== "automatic").reduce((sum, one) => sum + one.amount, 0);
  const may_end = (ticket) => ticket.state === "valid" || ticket.state === "blocked";
  const may = (order) => ["paid", "partially_refunded"].includes(order.state) && (left(order) > 0 || order.tickets.some(may_end));

  const account_fields = [["account.bank", 10], ["account.account_number", 30], ["account.holder", 60]];
  const account_specs = () => account_fields.map(([name, maxlength]) => ({ name, label: t(`refund.${name}`), hint: name === "account.bank" ? t("refund.bank_hint") : null, maxlength, autocomplete: "off" }));
  function account_of(values) {
    const [bank, account_number, holder] = account_fields.map(([name]) => values[name]);
    return bank || account_number || holder ? { bank, account_number, holder } : null;
  }

  /** First what is asked for, then what it means. */
  function ask(at, order, again) {
    const open = order.tickets.filter(may_end), most = left(order), attempt = paid(order), in_hand = attempt?.provider === "cash";
    const label = (ticket) => { const item = order.items.find((one) => one.product_id === ticket.product_id);
      return [t("refund.ticket", { n: ticket.ticket_no }), item && named({ name: item.name, name_en: item.name_en }), won(price_of(order, ticket)), ticket.used_at && t("refund.was_used")].filter(Boolean).join(" · "); };
    const element = dialog(t("refund.title", { number: order.order_number }));
    element.classList.add("wide");
    element.addEventListener("cancel", (event) => { if (element.querySelector("form[aria-busy]")) event.preventDefault(); });
    const close = () => element.close();
    const cancel = () => h("button", { type: "button", class: "quiet small", onclick: close }, t("cancel"));
    const sum = h("p", { class: "sum", role: "status" });
    const first = form({
      submit: t("refund.go_on"), danger: false, cancel: cancel(),
      fields: [
        { name: "ticket_ids", label: t("refund.tickets"), type: "boxes", wide: true, options: open.map((one) => [one.id, label(one)]), value: open.filter((one) => !one.used_at).map((one) => one.id) },
        { name: "amount", label: t("refund.amount"), hint: t("refund.amount_hint", { left: won(most) }), type: "number", min: 0, max: most },
        { name: "reason", label: t("refund.reason"), hint: t("refund.reason_hint"), maxlength: 200, autocomplete: "off" },
        ...(attempt?.method === "가상계좌" || attempt?.method === "virtual_account" ? account_specs() : []),
      ],
      send: (values) => {
        expect(values, "reason", "amount");
        if (values.amount > most) throw new AdminSession.Refusal(422, { errors: [{ field: "amount", detail: t("refund.too_much", { left: won(most) }) }] });
        if (!values.amount && !values.ticket_ids.length) throw new AdminSession.Refusal(422, { errors: [{ field: "ticket_ids", detail: t("refund.nothing") }] });
        second(values);
      },
    });
    const chosen = () => open.filter((one) => first.values().ticket_ids.includes(one.id));
    const amount = first.named.amount.input;
    let by_hand = false;
    function follow() {
      const price = chosen().reduce((all, one) => all + price_of(order, one), 0);
      if (!by_hand) amount.value = Math.min(price, most);
      sum.textContent = t("refund.sum", { n: number(chosen().length), of: number(open.length), price: won(price) });
    }
    amount.addEventListener("input", () => { by_hand = true; });
    first.named.ticket_ids.input.addEventListener("change", () => { by_hand = false; follow(); });
    first.named.ticket_ids.row.append(sum);
    follow();
    element.append(first);
    (open.length ? first.named.ticket_ids.input.querySelector("input") : amount).focus();

    function second(values) {
      const ending = open.filter((one) => values.ticket_ids.includes(one.id)), used = ending.filter((one) => one.used_at), staying = open.length - ending.length;
      const account = account_of(values);
      const body = { ticket_ids: values.ticket_ids, amount: values.amount, reason: values.reason, used_too: used.length > 0, ...(account && { account }) };
      const back = h("button", { type: "button", class: "quiet small", onclick: () => { sure.replaceWith(first); amount.focus(); } }, t("refund.change"));
      const send = form({
        fields: [], submit: t("refund.do", { amount: won(values.amount) }), danger: true, cancel: [back, cancel()],
        again: () => { close(); again(); },
        send: async () => {
          try {
            await once(`refund-${order.order_number}`, (key) => at.of("POST", `orders/${order.order_number}/refund`, body, { headers: { "Idempotency-Key": key } }));
          } catch (error) {
            if (error.code === "idempotency.key_reused") throw new AdminSession.Refusal(412, {});
            // What is wrong with a field is said where it can be mended.
            if (error.errors?.length) { sure.replaceWith(first); first.refuse(renamed(error, (name) => (name.startsWith("ticket_ids") ? "ticket_ids" : null))); return; }
            throw error;
          }
          close();
          say(t("refund.done"));
          again();
        },
      });
      const sure = h("div", null, facts([
        [t("refund.back"), won(values.amount)],
        [t("refund.to"), in_hand ? t("refund.to_hand") : account ? t("refund.to_account", { holder: account.holder }) : attempt ? [word("provider", attempt.provider), attempt.method && word("method", attempt.method)].filter(Boolean).join(" · ") : "–"],
        [t("refund.ends"), ending.length ? ending.map((one) => one.ticket_no).join(", ") : t("refund.ends_none")],
        [t("refund.stays"), t("refund.stays_n", { n: number(staying) })], [t("refund.reason"), values.reason],
      ]),
      ending.length > 0 && h("p", null, t("refund.will_end")), used.length > 0 && notice(t("refund.used_too", { n: used.map((one) => one.ticket_no).join(", ") })),
      h("p", null, t(in_hand ? "refund.will_hand" : "refund.will_go"), " ", t("refund.for_good")), send);
      first.replaceWith(sure);
      send.querySelector(".acts .quiet").focus();
    }
  }

  /** Those of an order, with what may be done about what went wrong. */
  function list(at, order, again) {
    const path = (one, act) => `orders/${order.order_number}/refunds/${one.id}/${act}`;
    const done = (yes) => { if (yes) { say(t("saved")); again(); } };
    const retry = (one) => button(t("refund.retry"), async () => done(await confirm({
      title: t("refund.retry_title", { amount: won(one.amount) }), lines: t("refund.retry_will"), act: t("refund.retry"), danger: false, fields: account_specs(),
      send: (values) => at.of("POST", path(one, "retry"), { account: account_of(values) }),
    })));
    const by_hand = (one) => button(t("refund.by_hand"), async () => done(await confirm({
      title: t("refund.by_hand_title", { amount: won(one.amount) }), lines: [t("refund.by_hand_will"), t("refund.for_good")], act: t("refund.by_hand"),
      fields: [{ name: "note", label: t("refund.note"), hint: t("refund.note_hint"), maxlength: 200, autocomplete: "off" }],
      send: (values) => at.of("POST", path(one, "paid-by-hand"), values),
    })), { class: "quiet small danger" });
    const acts = (one) => [one.state === "failed" && retry(one), ["failed", "bounced"].includes(one.state) && by_hand(one)].filter(Boolean);
    return table({
      caption: t("refund.list"), empty: t("refund.none"),
      head: [t("refund.at"), t("orders.state"), t("refund.kind"), t("refund.ended_tickets"), t("refund.arrived"), { text: t("orders.amount"), num: true }, { text: t("refund.fee"), num: true }, { text: t("does"), hide: true }],
      rows: order.refunds.map((one) => [moment(one.created_at), badge(word("refund_state", one.state), KINDS[one.state]), word("refund_kind", one.kind),
        order.tickets.filter((ticket) => one.ticket_ids.includes(ticket.id)).map((ticket) => ticket.ticket_no).join(", ") || "–", one.done_at ? moment(one.done_at) : "–", won(one.amount), won(one.fee), AdminSession.may("admin") && acts(one).length ? h("div", { class: "acts" }, acts(one)) : "–"]),
    });
  }

  globalThis.AdminRefunds = { ask, list, may, left };
})();
