// The audit log: who did what, searched by what the address says, so that a search can be passed on.
(function () {
  "use strict";
  const { h, t, word, table, moment, button, notice, named, say } = AdminUi;
  const { form } = AdminForms;
  const ASKED = ["exhibition", "user", "action", "order", "address", "request_id", "from", "until"];
  const FAMILIES = ["room.", "order.", "user.", "device.", "entry.", "ticket.", "webhook.", "outbox.", "exhibition.", "product.", "slot.", "sales.", "privacy.", "audit."];

  const INSTANT = /^"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)"$/;

  /** Before and after as one list of what differs; what stayed the same is left out. `called`: what a field is called. */
  function difference(before, after, called = (name) => name) {
    const flat = (value, under = "") => (value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value).flatMap(([name, one]) => flat(one, under ? `${under}.${name}` : name)) : under ? [[under, JSON.stringify(value)]] : []);
    const [was, is] = [new Map(flat(before)), new Map(flat(after))];
    const names = [...new Set([...was.keys(), ...is.keys()])];
    const short = (text) => (text === undefined ? "–" : INSTANT.test(text) ? moment(JSON.parse(text)) : text.length > 120 ? `${text.slice(0, 120)}…` : text);
    const changed = names.filter((name) => was.get(name) !== is.get(name)), shown = changed.length ? changed : names;
    return h("ul", { class: "diff" }, shown.slice(0, 40).map((name) => h("li", null, h("span", { class: "fine" }, called(name)), " ",
      was.has(name) && was.get(name) !== is.get(name) && [h("del", null, short(was.get(name))), " → "], is.has(name) || !was.has(name) ? h("ins", null, short(is.get(name))) : h("ins", null, "–"))));
  }

  /** What a field is called, part by part of where it stands. Settings of a room have their names from its page. */
  const called = (action) => (name) => {
    const setting = action === "room.config" ? word("waiting", name) : name;
    return setting !== name ? setting : name.split(".").map((part) => word("field", part)).join(" › ");
  };

  const row = (one) => [moment(one.at), one.user, h("span", { title: one.action }, word("action", one.action)), one.exhibition_code ?? "–",
    h("details", null, h("summary", null, t("log.details")), difference(one.before, one.after, called(one.action)), h("p", { class: "fine" }, [one.action, word("role", one.role), one.address, one.request_id].filter(Boolean).join(" · ")))];

  function show(at) {
    const query = new URLSearchParams(ASKED.filter((name) => at.params.get(name)).map((name) => [name, at.params.get(name)]));
    const path = (name, more) => `/api/admin/${name}?${new URLSearchParams([...query, ...Object.entries(more || {})])}`;
    const about = h("div");
    const download = button(t("log.csv"), async () => {
      try {
        const url = URL.createObjectURL(await at.call("GET", path("audit.csv"), undefined, { as: "blob" }));
        h("a", { href: url, download: "admit-audit.csv" }).click();
        setTimeout(() => URL.revokeObjectURL(url), 60000);
        say(t("log.csv_done"));
      } catch (error) { about.replaceChildren(notice(Admin.explained(error))); }
    });
    at.heading(t("log.title"), download);
    const value = (name) => at.params.get(name) || "";
    const filter = form({
      inline: true, submit: t("log.search"), quiet: true,
      fields: [
        { name: "user", label: t("log.user"), type: "search", autocomplete: "off", spellcheck: "false", value: value("user") },
        { name: "action", label: t("log.action"), type: "select", value: value("action"), options: [["", t("all")], ...[...new Set([...FAMILIES, value("action")])].filter(Boolean).map((one) => [one, word("family", one)])] },
        { name: "exhibition", label: t("exhibition"), type: "select", value: value("exhibition"), options: [["", t("all")], ...Admin.exhibitions.map((one) => [one.code, named(one)])] },
        { name: "from", label: t("log.from"), type: "date", value: value("from") }, { name: "until", label: t("log.until"), type: "date", value: value("until") },
        { name: "order", label: t("log.order"), type: "search", autocomplete: "off", spellcheck: "false", autocapitalize: "characters", maxlength: 40, value: value("order") },
        { name: "address", label: t("log.address"), type: "search", autocomplete: "off", spellcheck: "false", autocapitalize: "none", maxlength: 45, value: value("address") },
        { name: "request_id", label: t("log.request"), autocomplete: "off", spellcheck: "false", value: value("request_id") },
      ],
      send: (values) => Admin.go(`#/log?${new URLSearchParams(ASKED.filter((name) => values[name]).map((name) => [name, values[name]]))}`),
    });
    let entries = [], next = null;
    const part = Admin.part(at, () => at.get(path("audit", next ? { before: next } : {})), (said) => {
      entries = entries.concat(said.entries);
      next = said.next;
      return [table({ caption: t("log.title"), empty: t("log.none"), head: [t("log.at"), t("log.user"), t("log.action"), t("exhibition"), t("log.change")], rows: entries.map(row) }), next && button(t("more"), part.again)];
    });
    at.root.append(filter, about, part.box);
  }

  globalThis.AdminLog = { difference, called };
  Admin.page({ id: "log", key: "o", least: "admin", show });
})();
