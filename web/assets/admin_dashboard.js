// The dashboard: how an exhibition does, from its first day and over the last two.
(function () {
  "use strict";
  const { h, t, word, number, won, percent, panel, table, named, slot, clock, moment, date, today, days_from, age, ago, badge, notice } = AdminUi;
  const { columns, stack, numbers } = AdminCharts;
  const FRESH_MS = 15000;
  /** Orders are added up every second: what is further behind is not kept up. */
  const BEHIND_MS = 30000;
  /** What is promised, as a share. */
  const TARGETS = { reservation: 0.95, payment: 0.98, scan: 0.99 };
  const num = (text) => ({ text, num: true });

  const tile = (name, value, more) => h("div", { class: "tile" }, h("span", { class: "name" }, name), h("strong", null, value), more && h("span", { class: "fine" }, more));

  /** Of the whole sale, and of today: what goes wrong today must be seen after weeks that were fine. */
  function success(name, one) {
    const target = TARGETS[name], of = (share) => t("dash.success.of", { of: number(share.of) });
    function verdict({ rate }) {
      if (rate === null) return badge(t("dash.no_data"));
      return rate > target ? badge(t("dash.reached"), "open") : badge(t("dash.missed"), "bad");
    }
    return h("div", { class: "tile", "data-success": name }, h("span", { class: "name" }, t(`dash.success.${name}`)), h("strong", null, percent(one.rate, 2)),
      h("span", { class: "fine" }, `${t("dash.success.whole")} · ${of(one)}`), h("span", null, verdict(one)),
      h("span", null, `${t("dash.success.today")} ${percent(one.today.rate, 2)}`), h("span", { class: "fine" }, of(one.today)), h("span", null, verdict(one.today)),
      h("span", { class: "fine" }, t("dash.target", { target: percent(target, 0) })), h("span", { class: "fine" }, t(`dash.success.${name}_is`)));
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
    for (let day = from; day <= today(); day = days_from(day, 1)) all.push(known.get(day) ?? { day, placed: 0, paid: 0, revenue: 0, refunded: 0, entrances: 0 });
    return all;
  }
  const hour = (one) => `${clock(one.at)}`;
  /** The column that somebody is reading with the keys stays the one they read when it is drawn anew. */
  function read_now(caption) {
    const one = document.activeElement;
    return one?.getAttribute("role") === "slider" && one.getAttribute("aria-label") === caption ? Number(one.getAttribute("aria-valuenow")) : undefined;
  }
  function charts(said) {
    const most = RANGES[range], over = t(`dash.range.${range}`), rows = most ? every_day(said.days, most) : said.hours;
    const at = (one) => (most ? date(one.day) : moment(one.at)), labels = rows.map((one) => (most ? one.day.slice(5) : hour(one)));
    const column = (name, series, format) => { const caption = `${t(name)}, ${over}`; return columns({ caption, labels, label: (n) => at(rows[n]), series, format, from: read_now(caption) }); };
    const chart = (name, series, format) => [h("h3", null, t(name)), column(name, series, format)];
    const first = t(most ? "dash.day" : "dash.hour"), latest = [...rows].reverse();
    return { orders: [
      chart("dash.orders", [{ name: t("dash.paid_orders"), kind: "first", values: rows.map((one) => one.paid) }, { name: t("dash.unpaid_orders"), kind: "second", values: rows.map((one) => Math.max(0, one.placed - one.paid)) }]),
      chart("dash.revenue", [{ name: t("dash.revenue"), kind: "first", values: rows.map((one) => one.revenue) }], won),
      numbers({ caption: `${t("dash.over_time")}, ${over}`, head: [first, num(t("dash.placed")), num(t("dash.paid")), num(t("dash.revenue")), num(t("dash.refunded"))],
        rows: latest.map((one) => [at(one), number(one.placed), number(one.paid), won(one.revenue), won(one.refunded)]) }),
    ].flat(), entrances: [
      column("dash.entrances", [{ name: t("dash.entrances"), kind: "first", values: rows.map((one) => one.entrances) }]),
      numbers({ caption: `${t("dash.entrances")}, ${over}`, head: [first, num(t("dash.entrances"))], rows: latest.map((one) => [at(one), number(one.entrances)]) }),
    ] };
  }

  /** What somebody has unfolded in `box` to read stays unfolded in `parts`, which take its place. */
  function unfolded(box, parts) {
    const open = [...box.querySelectorAll("details")].map((one) => one.open);
    parts.filter(Boolean).flatMap((one) => (one.matches("details") ? [one] : [...one.querySelectorAll("details")])).forEach((one, n) => { one.open = open[n] || false; });
    return parts;
  }

  /** The charts and their range. The choice itself is made once: a list that is open would shut with each look. */
  function over_time() {
    let said = null, boxes = null;
    function show() {
      const drawn = charts(said);
      for (const [name, box] of Object.entries(boxes)) box.replaceChildren(...unfolded(box, drawn[name]));
    }
    const pick = h("select", { id: "range", onchange: () => { range = pick.value; if (said) show(); } }, Object.keys(RANGES).map((one) => h("option", { value: one, selected: one === range }, t(`dash.range.${one}`))));
    const choice = h("div", { class: "inline" }, h("p", { class: "field" }, h("label", { for: "range" }, t("dash.range")), pick));
    // New boxes each time: what is on the page stays until it is replaced as a whole, with the focus that is in it.
    return { choice, drawn(now) { said = now; boxes = { orders: h("div"), entrances: h("div") }; show(); return boxes; } };
  }

  /** How old the figures are, by the server's clocks and by how long ago they came. */
  function as_of(said) {
    const came_ms = Date.now(), behind_ms = Date.parse(said.as_of) - Date.parse(said.figures_as_of), text = h("p", { class: "fine", id: "as-of" });
    const tell = () => { text.textContent = t("as_of", { at: moment(said.figures_as_of), ago: ago(came_ms - behind_ms) }); };
    tell();
    return { parts: [text, behind_ms > BEHIND_MS && notice(t("dash.behind", { age: age(behind_ms) }))], tell };
  }

  function draw(said, about, boxes) {
    const sold = Object.entries(said.products_sold || {}).map(([kind, n]) => `${word("kind", kind)} ${number(n)}`).join(" · ");
    return [
      about,
      h("div", { class: "tiles roomy" },
        tile(t("dash.today_orders"), number(said.today_orders), t("dash.in_all", { n: number(said.total_orders) })),
        tile(t("dash.today_revenue"), won(said.today_revenue), t("dash.in_all", { n: won(said.total_revenue) })),
        tile(t("dash.refunds"), number(said.refunds.count), won(said.refunds.amount)),
        tile(t("dash.entrance_count"), number(said.entrance_count)), tile(t("dash.people_inside"), number(said.people_inside), t("dash.people_inside_is")), sold && tile(t("dash.products_sold"), number(Object.values(said.products_sold).reduce((a, b) => a + b, 0)), sold)),
      panel(t("dash.over_time"), boxes.orders),
      panel(t("dash.entrances"), boxes.entrances),
      panel(t("dash.products"), sales(t("dash.products"), t("dash.product"), said.products.map((one) => [`${named(one)} · ${won(one.price)}`, one]))),
      said.slots.length > 0 && panel(t("dash.slots"), sales(t("dash.slots"), t("dash.slot"), said.slots.map((one) => [slot(one), one]))),
      panel(t("dash.conversion"), conversion(said.conversion)),
      panel(t("dash.success"), h("div", { class: "tiles roomy" }, Object.keys(TARGETS).map((name) => success(name, said.success[name])))),
    ];
  }

  Admin.page({ id: "", key: "d", least: "support", of: true, show(at) {
    at.heading(t("dash.title"));
    const time = over_time();
    let about = null;
    const whole = Admin.part(at, () => at.get(`/api/admin/dashboard?exhibition=${encodeURIComponent(at.code)}`), (said) => {
      about = as_of(said);
      return unfolded(at.root, draw(said, about.parts, time.drawn(said)).flat(Infinity));
    });
    at.root.append(time.choice, whole.box);
    at.every(FRESH_MS, whole.look);
    at.every(1000, () => about?.tell());
  } });
})();
