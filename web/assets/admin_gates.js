// The gates of an exhibition: the board, and beside it what else belongs to the door.
(function () {
  "use strict";
  const { h, t, word, number, won, table, panel, age, badge, today, days_from, date } = AdminUi;
  const LOOK_MS = 2000, STALE_S = 30;
  const num = (text) => ({ text, num: true });
  /** What the other scripts add, in the order of the tabs. */
  const tabs = { "": board };

  const tile = (name, value, bad) => h("div", { class: `tile ${bad ? "bad" : ""}` }, h("span", { class: "name" }, name), h("strong", null, value));

  function board_of(at, said) {
    const c = said.counts, waiting = said.devices.reduce((sum, one) => sum + one.waiting, 0);
    const refusals = Object.entries(c.refusals).sort((a, b) => b[1] - a[1]);
    return [
      h("div", { class: "tiles" }, tile(t("gates.inside"), number(c.inside)), tile(t("gates.admitted"), number(c.admitted_today)), tile(t("gates.left"), number(c.left_today)),
        tile(t("gates.refused"), number(c.refused_today)), tile(t("gates.per_minute"), number(c.per_minute, 1)), tile(t("gates.waiting"), number(waiting), waiting > 0)),
      said.open_conflicts > 0 && h("p", { class: "notice" }, h("a", { href: `#/${at.code}/gates/conflicts` }, t("gates.open_conflicts", { n: number(said.open_conflicts) }))),
      panel(t("gates.gates"), table({ caption: t("gates.gates"), empty: t("gates.no_scan"), head: [t("gates.gate"), num(t("gates.admitted")), num(t("gates.left")), num(t("gates.refused")), num(t("gates.per_minute"))],
        rows: c.gates.map((one) => [one.gate, number(one.admitted), number(one.left), number(one.refused), number(one.per_minute, 1)]) })),
      panel(t("gates.devices"), table({ caption: t("gates.devices"), empty: t("gates.no_device"), head: [t("gates.device"), t("gates.gate"), t("gates.staff"), t("gates.heard"), num(t("gates.waiting"))],
        rows: said.devices.map((one) => [one.name, one.gate, one.staff ?? "–", badge(t("ago", { age: age(one.lag_s * 1000) }), one.lag_s < STALE_S ? "open" : "bad"), number(one.waiting)]) })),
      panel(t("gates.refusals"), table({ caption: t("gates.refusals"), empty: t("gates.no_refusal"), head: [t("gates.why"), num(t("gates.scans"))], rows: refusals.map(([why, n]) => [word("why", why), number(n)]) })),
    ];
  }

  function board(at) {
    const part = Admin.part(at, () => at.of("GET", "gate-board"), (said) => board_of(at, said));
    at.root.append(part.box);
    at.every(LOOK_MS, part.look);
  }

  tabs.tills = function (at) {
    let day = at.params.get("day") || today();
    const box = h("input", { type: "date", id: "till-day", value: day, max: today(), onchange: () => { if (box.value) { day = box.value; part.again(); } } });
    const step = (days) => () => { box.value = day = days_from(day, days); part.again(); };
    const part = Admin.part(at, () => at.of("GET", `walk-ins?day=${encodeURIComponent(day)}`), (said) => [
      h("p", { class: "fine" }, date(said.day)),
      table({ caption: t("tills.title"), empty: t("tills.none"), head: [t("gates.gate"), t("gates.device"), t("gates.staff"), num(t("tills.orders")), num(t("tills.taken")), num(t("tills.given_back")), num(t("tills.left"))],
        rows: said.tills.map((one) => [one.gate, one.device, one.staff, number(one.orders), won(one.taken), won(one.given_back), won(one.taken - one.given_back)]),
        foot: [t("tills.all"), "", "", number(said.all.orders), won(said.all.taken), won(said.all.given_back), won(said.all.taken - said.all.given_back)] }),
    ]);
    at.root.append(h("p", null, t("tills.lead")), h("div", { class: "inline" }, h("div", { class: "field" }, h("label", { for: "till-day" }, t("tills.day")), box),
      AdminUi.button(t("tills.before"), step(-1)), AdminUi.button(t("tills.after"), step(1))), part.box);
  };

  Admin.page({ id: "gates", key: "e", least: "admin", of: true, show(at) {
    const here = at.rest[0] || "";
    at.heading(t(here ? `gates.tab.${here}` : "gates.title"));
    at.root.append(h("nav", { class: "tabs", "aria-label": t("gates.title") }, ["", "devices", "conflicts", "tills", "rules"].map((id) =>
      h("a", { href: `#/${at.code}/gates${id && `/${id}`}`, "aria-current": id === here ? "page" : null }, t(id ? `gates.tab.${id}` : "gates.tab")))));
    if (tabs[here]) tabs[here](at);
    else at.root.append(h("p", null, t("no_page")));
  } });

  globalThis.AdminGates = { tabs };
})();
