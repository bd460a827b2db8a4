// The dashboard: how an exhibition does, from its first day and over the last two.
(function () {
  "use strict";
  const { h, t, word, number, won, percent, panel, table, named, slot, clock, moment, date, today, days_from, ago, badge } = AdminUi;
  const { columns, stack, numbers } = AdminCharts;
  const FRESH_MS = 15000;
  /** What is promised, as a share. */
  const TARGETS = { reservation: 0.95, payment: 0.98, scan: 0.99 };
  const num = (text) => ({ text, num: true });

  const tile = (name, value, more) => h("div", { class: "tile" }, h("span", { class: "name" }, name), h("strong", null, value), more && h("span", { class: "fine" }, more));

  function success(name, one) {
    const target = TARGETS[name], reached = one.rate !== null && one.rate > target;
    return h("div", { class: "tile" }, h("span", { class: "name" }, t(`dash.success.${name}`)), h("strong", null, percent(one.rate, 2)),
      h("span", null, one.rate === null ? badge(t("dash.no_data")) : badge(reached ? t("dash.reached") : t("dash.missed"), reached ? "open" : "bad")),
      h("span", { class: "fine" }, t("dash.target", { target: percent(target, 0), of: number(one.of) })), h("span", { class: "fine" }, t(`dash.success.${name}_is`)));
  }

  /** One after the other, of the same people or orders. */
  function steps(caption, names, c) {
    const most = Math.max(c[names[0]], 1);
    return table({ caption, head: [t("dash.step"), num(t("dash.people")), num(t("dash.of_before")), t("dash.share")],
      rows: names.map((name, n) => [t(`dash.${name}`), number(c[name]), n ? percent(c[names[n - 1]] ? c[name] / c[names[n - 1]] : null) : "–", stack([{ kind: "first", share: c[name] / most }], percent(c[name] / most, 0))]) });
  }
  const conversion = (c) => [
    c.room && [h("h3", null, t("dash.conversion.room")), h("p", { class: "fine" }, t("dash.conversion.room_is")), steps(t("dash.conversion.room"), ["joined", "admitted", "placed", "attempted", "paid"], c.room)],
    h("h3", null, t("dash.conversion.orders")), steps(t("dash.conversion.orders"), ["placed", "attempted", "paid"], c),
  ];

  /** Of what is on offer, what is in valid tickets: what was given back is free again. */
  const taken = (one) => (one.offered ? (one.sold - one.given_back) / one.offered : 0);
  const sales = (caption, first, rows) => table({ caption, head: [first, num(t("dash.sold")), num(t("dash.given_back")), num(t("dash.free")), num(t("dash.offered")), t("dash.share")],
    rows: rows.map(([name, one]) => [name, number(one.sold - one.given_back), number(one.given_back), number(one.free), number(one.offered), stack([{ kind: "first", share: taken(one) }], t("dash.sold_share", { share: percent(taken(one), 0) }))]) });

  /** What the charts may show: so many hours, or days. */
  const RANGES = { "48h": null, "14d": 14, "60d": 60, "400d": 400 };
  let range = "48h";
  /** The days come newest first, and only those on which something happened: a chart wants every day, oldest first. */
  function every_day(list, most) {
    const known = new Map(list.map((one) => [one.day, one])), first = [...known.keys()].sort()[0] ?? today();
    const from = [first, days_from(today(), 1 - most)].sort()[1], all = [];
    for (let day = from; day <= today(); day = days_from(day, 1)) all.push(known.get(day) ?? { day, placed: 0, paid: 0, revenue: 0, refunded: 0 });
    return all;
  }
  const hour = (one) => `${clock(one.at)}`;
  function charts(said) {
    const most = RANGES[range], over = t(`dash.range.${range}`), rows = most ? every_day(said.days, most) : said.hours;
    const at = (one) => (most ? date(one.day) : moment(one.at)), labels = rows.map((one) => (most ? one.day.slice(5) : hour(one)));
    const chart = (name, series, format) => [h("h3", null, t(name)), columns({ caption: `${t(name)}, ${over}`, labels, label: (n) => at(rows[n]), series, format })];
    return [
      chart("dash.orders", [{ name: t("dash.paid_orders"), kind: "first", values: rows.map((one) => one.paid) }, { name: t("dash.unpaid_orders"), kind: "second", values: rows.map((one) => Math.max(0, one.placed - one.paid)) }]),
      chart("dash.revenue", [{ name: t("dash.revenue"), kind: "first", values: rows.map((one) => one.revenue) }], won),
      numbers({ caption: `${t("dash.over_time")}, ${over}`, head: [t(most ? "dash.day" : "dash.hour"), num(t("dash.placed")), num(t("dash.paid")), num(t("dash.revenue")), num(t("dash.refunded"))],
        rows: [...rows].reverse().map((one) => [at(one), number(one.placed), number(one.paid), won(one.revenue), won(one.refunded)]) }),
    ].flat();
  }

  function over_time(said) {
    const box = h("div"), show = () => box.replaceChildren(...charts(said));
    const pick = h("select", { id: "range", onchange: () => { range = pick.value; show(); } }, Object.keys(RANGES).map((one) => h("option", { value: one, selected: one === range }, t(`dash.range.${one}`))));
    show();
    return [h("div", { class: "inline" }, h("p", { class: "field" }, h("label", { for: "range" }, t("dash.range")), pick)), box];
  }

  function draw(said) {
    const sold = Object.entries(said.products_sold || {}).map(([kind, n]) => `${word("kind", kind)} ${number(n)}`).join(" · ");
    return [
      h("p", { class: "fine" }, t("as_of", { at: moment(said.as_of), ago: ago(said.as_of) })),
      h("div", { class: "tiles roomy" },
        tile(t("dash.today_orders"), number(said.today_orders), t("dash.in_all", { n: number(said.total_orders) })),
        tile(t("dash.today_revenue"), won(said.today_revenue), t("dash.in_all", { n: won(said.total_revenue) })),
        tile(t("dash.refunds"), number(said.refunds.count), won(said.refunds.amount)),
        tile(t("dash.entrance_count"), number(said.entrance_count)), tile(t("dash.people_inside"), number(said.people_inside), t("dash.people_inside_is")), sold && tile(t("dash.products_sold"), number(Object.values(said.products_sold).reduce((a, b) => a + b, 0)), sold)),
      panel(t("dash.over_time"), over_time(said)),
      panel(t("dash.entrances"), columns({ caption: t("dash.entrances"), labels: said.hours.map(hour), label: (n) => moment(said.hours[n].at), series: [{ name: t("dash.entrances"), kind: "first", values: said.hours.map((one) => one.entrances) }] }),
        numbers({ caption: t("dash.entrances"), head: [t("dash.hour"), num(t("dash.entrances"))], rows: [...said.hours].reverse().map((one) => [moment(one.at), number(one.entrances)]) })),
      panel(t("dash.products"), sales(t("dash.products"), t("dash.product"), said.products.map((one) => [`${named(one)} · ${won(one.price)}`, one]))),
      said.slots.length > 0 && panel(t("dash.slots"), sales(t("dash.slots"), t("dash.slot"), said.slots.map((one) => [slot(one), one]))),
      panel(t("dash.conversion"), conversion(said.conversion)),
      panel(t("dash.success"), h("div", { class: "tiles roomy" }, Object.keys(TARGETS).map((name) => success(name, said.success[name])))),
    ];
  }

  Admin.page({ id: "", key: "d", least: "support", of: true, show(at) {
    at.heading(t("dash.title"));
    // What somebody has unfolded to read stays unfolded.
    const whole = Admin.part(at, () => at.get(`/api/admin/dashboard?exhibition=${encodeURIComponent(at.code)}`), (said) => {
      const open = [...at.root.querySelectorAll("details")].map((one) => one.open), parts = draw(said);
      parts.filter(Boolean).flatMap((one) => [...one.querySelectorAll("details")]).forEach((one, n) => { one.open = open[n] || false; });
      return parts;
    });
    at.root.append(whole.box);
    at.every(FRESH_MS, () => { if (!at.root.contains(document.activeElement) || document.activeElement.matches("h1")) whole.look(); });
  } });
})();
