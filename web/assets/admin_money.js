// Money: what an exhibition earned by day, and where the provider's books differ from ours.
(function () {
  "use strict";
  const { h, t, word, number, won, table, panel, date, moment, today, days_from } = AdminUi;
  const { form } = AdminForms;
  const num = (text) => ({ text, num: true });

  function settlement(at) {
    let [from, until] = [at.params.get("from") || days_from(today(), -29), at.params.get("until") || today()];
    const part = Admin.part(at, () => at.of("GET", `settlement?${new URLSearchParams({ from, until })}`), (said) => table({
      caption: t("money.settlement"), empty: t("money.none"),
      head: [t("money.day"), t("money.provider"), num(t("money.payments")), num(t("money.gross")), num(t("money.refunds")), num(t("money.fees")), num(t("money.provider_fee")), num(t("money.net"))],
      rows: [...said.days].reverse().map((one) => [date(one.day), word("provider", one.provider), number(one.payments), won(one.gross), won(one.refunds), won(one.fees), won(one.provider_fee), won(one.net)]),
      foot: [t("money.all"), "", number(said.days.reduce((sum, one) => sum + one.payments, 0)), won(said.gross), won(said.refunds), won(said.fees), won(said.provider_fee), won(said.net)],
    }));
    const span = form({
      inline: true, quiet: true, submit: t("money.show"),
      fields: [{ name: "from", label: t("log.from"), type: "date", value: from }, { name: "until", label: t("log.until"), type: "date", value: until }],
      // Asked here, so that a span that is too long is said at its field.
      send: async (values) => { await at.of("GET", `settlement?${new URLSearchParams(values)}`); ({ from, until } = values); part.again(); },
    });
    return panel(t("money.settlement"), h("p", { class: "fine" }, t("money.settlement_lead")), span, part.box);
  }

  const differences = (at) => panel(t("money.differences"), h("p", { class: "fine" }, t("money.differences_lead")), Admin.part(at, () => at.of("GET", "differences"), (said) => table({
    caption: t("money.differences"), empty: t("money.no_difference"),
    head: [t("money.what"), t("money.day"), t("money.provider"), t("money.attempt"), num(t("money.ours")), num(t("money.theirs")), t("money.noticed")],
    rows: said.differences.map((one) => [word("money.kind", one.kind), date(one.day), word("provider", one.provider), h("code", null, one.order_id ?? one.payment_key), won(one.ours), won(one.theirs), moment(one.noticed_at)]),
  })).box);

  Admin.page({ id: "money", key: "m", least: "admin", of: true, show(at) {
    at.heading(t("money.title"));
    at.root.append(settlement(at), differences(at));
  } });
})();
