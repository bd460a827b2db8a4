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

  /** What giving back the chosen tickets comes to in each of the three ways: which of them end, what they cost, what goes back. */
  function ways(order, quote, chosen, most) {
    const of = new Map(quote.tickets.map((one) => [one.ticket_id, one]));
    const sum = (tickets, worth) => tickets.reduce((all, one) => all + worth(one), 0);
    const way = (ending, worth) => { const price = sum(ending, (one) => price_of(order, one)), amount = Math.min(sum(ending, worth), most); return { ending, price, amount, can: ending.length > 0 && (amount > 0 || price === 0) }; };
    const by_rules = chosen.filter((one) => of.get(one.id) && !of.get(one.id).refused_because);
    return { rules: way(by_rules, (one) => of.get(one.id).price - of.get(one.id).fee), full: way(chosen, (one) => price_of(order, one)) };
  }

  /** First what is asked for, then what it means. What the rules say is asked beforehand. */
  async function ask(at, order, again) {
    const element = dialog(t("refund.title", { number: order.order_number }), h("p", { class: "fine loading" }, t("loading")));
    element.classList.add("wide");
    element.addEventListener("cancel", (event) => { if (element.querySelector("form[aria-busy]")) event.preventDefault(); });
    const close = () => element.close(), cancel = () => h("button", { type: "button", class: "quiet small", onclick: close }, t("cancel"));
    try {
      const quote = await at.of("GET", `orders/${order.order_number}/refund`);
      element.querySelector(".loading").remove();
      choose(at, order, quote, { element, close, cancel, again });
    } catch (error) {
      if (error.code === "aborted") return;
      element.querySelector(".loading").replaceWith(notice(Admin.explained(error)), h("p", { class: "acts" }, button(t("again"), () => { close(); ask(at, order, again); }), cancel()));
    }
  }

  function choose(at, order, quote, { element, close, cancel, again }) {
    const open = order.tickets.filter(may_end), most = left(order), attempt = paid(order), in_hand = attempt?.provider === "cash";
    const rule = (ticket) => quote.tickets.find((one) => one.ticket_id === ticket.id);
    const said = (one) => one && (one.refused_because ? word("refund.because", one.refused_because) : one.price > 0 && t("refund.fee_pct", { n: number(one.fee_pct) }));
    const label = (ticket) => { const item = order.items.find((one) => one.product_id === ticket.product_id);
      return [t("refund.ticket", { n: ticket.ticket_no }), item && named({ name: item.name, name_en: item.name_en }), won(price_of(order, ticket)), said(rule(ticket))].filter(Boolean).join(" · "); };
    const sum = h("p", { class: "sum", role: "status" });
    let picked = null;
    const first = form({
      submit: t("refund.go_on"), danger: false, cancel: cancel(),
      fields: [
        { name: "ticket_ids", label: t("refund.tickets"), type: "boxes", wide: true, options: open.map((one) => [one.id, label(one)]), value: open.filter((one) => !one.used_at).map((one) => one.id) },
        { name: "how", label: t("refund.how"), type: "radios", wide: true, options: [["rules", ""], ["full", ""], ["own", t("refund.own")]] },
        { name: "amount", label: t("refund.amount"), hint: t("refund.amount_hint", { left: won(most) }), type: "number", min: 0, max: most },
        { name: "reason", label: t("refund.reason"), hint: t("refund.reason_hint"), maxlength: 200, autocomplete: "off" },
        ...(quote.needs_account ? account_specs() : []),
      ],
      send: (values) => {
        expect(values, "reason", ...(values.how === "own" ? ["amount"] : []));
        const way = values.how === "own" ? { ending: chosen(), price: worth().full.price, amount: values.amount } : worth()[values.how];
        if (way.amount > most) throw new AdminSession.Refusal(422, { errors: [{ field: "amount", detail: t("refund.too_much", { left: won(most) }) }] });
        if (!way.amount && !way.ending.length) throw new AdminSession.Refusal(422, { errors: [{ field: "ticket_ids", detail: t("refund.nothing") }] });
        second(values, way);
      },
    });
    const chosen = () => open.filter((one) => first.values().ticket_ids.includes(one.id));
    const worth = () => ways(order, quote, chosen(), most);
    const { how, amount } = first.named, radio = (name) => how.input.querySelector(`[value=${name}]`);
    function follow() {
      const at_once = worth(), can = (name) => name === "own" || at_once[name].can;
      for (const name of ["rules", "full"]) {
        const { price, amount: back } = at_once[name], fee = price - back;
        radio(name).disabled = !can(name);
        radio(name).nextElementSibling.textContent = can(name) ? t(`refund.${name}`, { back: won(back), fee: won(fee) }) : t(`refund.${name}_not`);
      }
      // What somebody has chosen stays chosen while it can be; the rules come first.
      radio([picked, "rules", "full", "own"].find((name) => name && can(name))).checked = true;
      const own = first.values().how === "own";
      amount.row.hidden = !own;
      if (!own) amount.input.value = at_once[first.values().how].amount;
      sum.textContent = t("refund.sum", { n: number(chosen().length), of: number(open.length), price: won(at_once.full.price) });
    }
    how.input.addEventListener("change", (event) => { picked = event.target.value; follow(); });
    first.named.ticket_ids.input.addEventListener("change", follow);
    first.named.ticket_ids.row.append(sum);
    follow();
    element.append(first);
    (open.length ? first.named.ticket_ids.input.querySelector("input") : amount.input).focus();

    function second(values, { ending, price, amount: back_won }) {
      const used = ending.filter((one) => one.used_at), staying = open.length - ending.length, left_out = values.how === "rules" ? chosen().filter((one) => !ending.includes(one)) : [];
      const account = account_of(values);
      const body = { ticket_ids: ending.map((one) => one.id), amount: back_won, reason: values.reason, used_too: used.length > 0, ...(account && { account }) };
      const back = h("button", { type: "button", class: "quiet small", onclick: () => { sure.replaceWith(first); how.input.querySelector(":checked").focus(); } }, t("refund.change"));
      const send = form({
        fields: [], submit: t("refund.do", { amount: won(back_won) }), danger: true, cancel: [back, cancel()],
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
      const numbers = (tickets) => tickets.map((one) => one.ticket_no).join(", ");
      const sure = h("div", null, facts([
        [t("refund.back"), won(back_won)],
        ending.length > 0 && [t("refund.price"), won(price)],
        ending.length > 0 && [t("refund.kept"), won(Math.max(0, price - back_won))],
        [t("refund.to"), in_hand ? t("refund.to_hand") : account ? t("refund.to_account", { holder: account.holder }) : attempt ? [word("provider", attempt.provider), attempt.method && word("method", attempt.method)].filter(Boolean).join(" · ") : "–"],
        [t("refund.ends"), ending.length ? numbers(ending) : t("refund.ends_none")],
        [t("refund.stays"), t("refund.stays_n", { n: number(staying) })], [t("refund.reason"), values.reason],
      ]),
      left_out.length > 0 && notice(t("refund.left_out", { n: numbers(left_out) })),
      ending.length > 0 && h("p", null, t("refund.will_end")), used.length > 0 && notice(t("refund.used_too", { n: numbers(used) })),
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
