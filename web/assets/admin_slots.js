// When one may come: slots by day, a month at a time; the same hours on many days; many slots changed alike. What a pattern or
// a change of many would do is shown first.
(function () {
  "use strict";
  const { h, t, word, table, panel, number, date, badge, button, notice, say, slot, today } = AdminUi;
  const { form, confirm, expect } = AdminForms;
  const num = (text) => ({ text, num: true });
  const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
  const SHOWN = 12;

  const hours = (one) => (one.start_time ? `${one.start_time.slice(0, 5)}–${one.end_time.slice(0, 5)}` : t("slots.all_day"));
  const weekdays = () => ({ name: "weekdays", label: t("slots.weekdays"), hint: t("slots.weekdays_hint"), type: "boxes", wide: true, options: WEEKDAYS.map((one) => [one, word("weekday", one)]) });
  const places = (one) => [
    { name: "total", label: t("products.total"), hint: one ? t("products.total_hint", { taken: number(one.held + one.sold) }) : null, type: "number", min: 0, value: one?.total },
    { name: "offered", label: t("products.offered"), hint: t("products.offered_hint"), type: "number", min: 0, value: one?.offered },
  ];
  const when = (one, day) => [{ name: "date", label: t("slots.date"), type: "date", value: one?.date ?? day }, { name: "start_time", label: t("slots.start"), hint: t("slots.all_day_hint"), type: "time", value: one?.start_time?.slice(0, 5) }, { name: "end_time", label: t("slots.end"), type: "time", value: one?.end_time?.slice(0, 5) }];

  function edit(at, one, day, again) {
    return confirm({
      title: one ? t("slots.edit_title", { slot: slot(one) }) : t("slots.new"), act: t("save"), danger: false, again, wide: true, fields: [...when(one, day), ...places(one)],
      send: (values) => {
        expect(values, "date", "total", ...(one ? ["offered"] : []));
        const was = (name) => (name.endsWith("_time") ? one?.[name]?.slice(0, 5) ?? "" : one?.[name]);
        const body = Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== was(name) && !(name === "offered" && value === null)).map(([name, value]) => [name, value === "" ? null : value]));
        return one ? at.change("PUT", `/api/admin/slots/${one.id}`, one.revision, body) : at.call("POST", "/api/admin/slots", { exhibition: at.code, ...body });
      },
    });
  }

  /** "10:00-12:00, 13:00-15:00", each on a line or behind a comma. */
  function times_of(text) {
    return text.split(/[\n,;]+/).map((one) => one.trim()).filter(Boolean).map((one) => {
      const two = one.match(/^(\d{1,2}):(\d{2})\s*[-–~]\s*(\d{1,2}):(\d{2})$/);
      if (!two) throw new AdminSession.Refusal(422, { errors: [{ field: "times", detail: t("slots.times_wrong", { text: one }) }] });
      return { start: `${two[1].padStart(2, "0")}:${two[2]}`, end: `${two[3].padStart(2, "0")}:${two[4]}` };
    });
  }

  const named = (slots) => h("ul", { class: "slot-names" }, slots.slice(0, SHOWN).map((one) => h("li", null, `${date(one.date)} ${hours(one)}`)), slots.length > SHOWN && h("li", { class: "fine" }, t("slots.and_more", { n: number(slots.length - SHOWN) })));

  /**
   * A form whose first press says what would be, and whose second does it. `body(values)`; `shows(said)` gives what a dry run
   * came to, and how many it is about.
   */
  function tried(at, { path, fields, body, shows, act, done, again }) {
    const would = h("div", { role: "status" });
    const set = form({
      fields, submit: t("slots.look"), quiet: true,
      send: async (values) => {
        would.replaceChildren();
        const ask = body(values), { n, parts, lines, danger } = shows(await at.call("POST", path, { ...ask, dry_run: true }), ask);
        const go = n > 0 && h("button", { type: "button", class: danger ? "small danger" : "small", onclick: () => confirm({
          title: act(n), lines, act: act(n), danger, send: () => at.call("POST", path, { ...ask, dry_run: false }),
        }).then((said) => { if (said) { would.replaceChildren(); again(done(shows(said, ask).n)); } }) }, act(n));
        would.replaceChildren(h("div", { class: "would" }, parts, go && h("p", { class: "acts" }, go)));
      },
    });
    // What was looked at is no longer what is asked for.
    set.addEventListener("input", () => would.replaceChildren());
    return [set, would];
  }

  const pattern = (at, days, again) => tried(at, {
    path: "/api/admin/slots/pattern", again,
    fields: [{ name: "from", label: t("slots.from"), type: "date", value: days.starts_on, min: days.starts_on, max: days.ends_on }, { name: "until", label: t("slots.until"), type: "date", value: days.ends_on, min: days.starts_on, max: days.ends_on }, weekdays(),
      { name: "times", label: t("slots.times"), hint: t("slots.times_hint"), type: "textarea", rows: 3, wide: true }, ...places()],
    body: (values) => {
      expect(values, "from", "until", "total");
      const { offered, times, ...rest } = values;
      return { exhibition: at.code, ...rest, times: times_of(times), ...(offered !== null && { offered }) };
    },
    shows: (said) => ({ n: said.made.length, lines: t("slots.pattern_will", { n: number(said.made.length) }), parts: [h("p", null, t("slots.would_make", { n: number(said.made.length), there: number(said.existing.length) })), said.made.length > 0 && named(said.made)] }),
    act: (n) => t("slots.make", { n: number(n) }), done: (n) => t("slots.made", { n: number(n) }),
  });

  const bulk = (at, days, starts, again) => tried(at, {
    path: "/api/admin/slots/bulk", again,
    fields: [{ name: "from", label: t("slots.from"), type: "date", value: days.starts_on }, { name: "until", label: t("slots.until"), type: "date", value: days.ends_on }, weekdays(),
      ...(starts.length ? [{ name: "starts", label: t("slots.starts"), hint: t("slots.starts_hint"), type: "boxes", wide: true, options: starts.map((one) => [one, one]) }] : []),
      ...places().map((one) => ({ ...one, hint: t("slots.stays") })), { name: "closed", label: t("slots.sale"), type: "select", value: "", options: [["", t("slots.stays")], ["true", t("slots.close")], ["false", t("slots.open")]] }],
    body: ({ total, offered, closed, ...filter }) => {
      if (total === null && offered === null && !closed) throw new AdminSession.Refusal(422, { errors: [{ field: "total", detail: t("slots.nothing_set") }] });
      return { exhibition: at.code, filter: Object.fromEntries(Object.entries(filter).filter(([, value]) => value?.length)), set: { ...(total !== null && { total }), ...(offered !== null && { offered }), ...(closed && { closed: closed === "true" }) } };
    },
    shows: (said, ask) => ({ n: said.changed.length, danger: ask.set.closed === true, lines: t(ask.set.closed ? "slots.bulk_close_will" : "slots.bulk_will", { n: number(said.changed.length) }),
      parts: [h("p", null, t("slots.would_change", { n: number(said.changed.length), same: number(said.unchanged) })), said.changed.length > 0 && named(said.changed)] }),
    act: (n) => t("slots.change", { n: number(n) }), done: (n) => t("slots.changed", { n: number(n) }),
  });

  AdminSetup.tabs.slots = function (at) {
    const code = encodeURIComponent(at.code), told = h("div"), ways = h("div");
    let days = null, month = null;
    const box = Admin.part(at, () => AdminSetup.known(() => Promise.all([days ?? at.get(`/api/admin/exhibitions/${code}`), at.get(`/api/admin/slots?exhibition=${code}`)])), ([exhibition, { slots }]) => {
      const months = [...new Set([exhibition.starts_on, exhibition.ends_on, ...slots.map((one) => one.date)].map((day) => day.slice(0, 7)))].sort();
      month ??= [...slots.map((one) => one.date), ...months].map((one) => one.slice(0, 7)).find((one) => one >= today().slice(0, 7)) ?? months[0];
      const done = (text) => { told.replaceChildren(notice(text, false)); say(text); box.again(); };
      if (!days) {
        days = exhibition;
        const starts = [...new Set(slots.map((one) => one.start_time?.slice(0, 5)).filter(Boolean))].sort();
        ways.replaceChildren(h("details", { class: "way", open: !slots.length }, h("summary", null, t("slots.pattern")), h("p", { class: "fine" }, t("slots.pattern_lead")), pattern(at, exhibition, done)),
          h("details", { class: "way" }, h("summary", null, t("slots.bulk")), h("p", { class: "fine" }, t("slots.bulk_lead")), bulk(at, exhibition, starts, done)));
      }
      const list = h("div");
      const draw = () => list.replaceChildren(...by_day(at, slots.filter((one) => one.date.startsWith(month)), box.again, done, (text) => told.replaceChildren(notice(text))));
      const choose = h("select", { id: "slots-month", onchange: () => { month = choose.value; draw(); } }, months.map((one) => h("option", { value: one, selected: one === month }, t("slots.month_of", { year: one.slice(0, 4), month: word("month", one.slice(5)), n: number(slots.filter(({ date: day }) => day.startsWith(one)).length) }))));
      draw();
      return [h("div", { class: "inline" }, h("p", { class: "field month" }, h("label", { for: "slots-month" }, t("slots.month")), choose), button(t("slots.new"), () => edit(at, null, `${month}-01` < exhibition.starts_on ? exhibition.starts_on : `${month}-01`).then((yes) => { if (yes) done(t("slots.saved")); })),
        AdminBulk.days_of(slots).length > 0 && button(t("bulk.day"), () => AdminBulk.day(at, slots).then((begun) => { if (!begun) box.again(); }, (error) => { if (error.code !== "aborted") { told.replaceChildren(notice(Admin.explained(error))); box.again(); } }), { class: "quiet small danger" })), list];
    });
    at.root.append(h("p", { class: "fine" }, t("slots.lead")), h("p", null, h("a", { href: `#/${at.code}/setup/bulk` }, t("bulk.past"))), told, ways, panel(t("slots.list"), box.box));
  };

  function by_day(at, slots, again, done, told) {
    if (!slots.length) return [h("p", { class: "fine empty" }, t("slots.none"))];
    const put = (one, body) => at.change("PUT", `/api/admin/slots/${one.id}`, one.revision, body);
    const ask = (options, text) => confirm({ again, ...options }).then((yes) => { if (yes) done(text); });
    const label = (key, one) => ({ "aria-label": `${t(key)}: ${slot(one)}` });
    const acts = (one) => h("div", { class: "acts" }, button(t("products.edit"), () => edit(at, one, null, again).then((yes) => { if (yes) done(t("slots.saved")); }), label("products.edit", one)),
      one.closed ? button(t("slots.open"), () => ask({ title: t("slots.open_title", { slot: slot(one) }), lines: t("slots.open_will"), act: t("slots.open"), danger: false, send: () => put(one, { closed: false }) }, t("slots.saved")), label("slots.open", one))
        : button(t("slots.close"), () => ask({ title: t("slots.close_title", { slot: slot(one) }), lines: t("slots.close_will"), act: t("slots.close"), send: () => put(one, { closed: true }) }, t("slots.saved")), label("slots.close", one)),
      one.closed && one.sold > 0 && button(t("bulk.begin"), () => AdminBulk.begin(at, one).catch((error) => { if (error.code !== "aborted") told(Admin.explained(error)); }), { class: "quiet small danger", ...label("bulk.begin", one) }),
      !one.sold && !one.held && button(t("slots.delete"), () => ask({ title: t("slots.delete_title", { slot: slot(one) }), lines: t("slots.delete_will"), act: t("slots.delete"), send: () => at.change("DELETE", `/api/admin/slots/${one.id}`, one.revision) }, t("slots.deleted")), { class: "quiet small danger", ...label("slots.delete", one) }));
    const state = (one) => (one.closed ? badge(t("slots.closed"), "bad") : AdminProducts.free(one) ? badge(t("slots.sells"), "open") : badge(t("slots.full")));
    return [table({
      caption: t("slots.list"), head: [t("slots.slot"), t("orders.state"), num(t("live.sold")), num(t("live.held")), num(t("live.free")), num(t("products.offered")), num(t("products.total")), { text: t("does"), hide: true }],
      rows: slots.map((one) => [slot(one), state(one), number(one.sold), number(one.held), number(AdminProducts.free(one)), number(one.offered), number(one.total), acts(one)]),
    })];
  }
})();
