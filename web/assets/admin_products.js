// What an exhibition sells: made, changed, put on offer, paused, archived.
(function () {
  "use strict";
  const { h, t, table, won, number, badge, button, named, notice, local, from_local, moment } = AdminUi;
  const { confirm, expect, once } = AdminForms;
  const num = (text) => ({ text, num: true });

  /** `one`: what there is; nothing: a new one. */
  const specs = (one) => [
    { name: "name_ko", label: t("setup.name_ko"), maxlength: 60, value: one?.name_ko }, { name: "name_en", label: t("setup.name_en"), maxlength: 60, value: one?.name_en },
    { name: "kind", label: t("products.kind"), hint: t("products.kind_hint"), maxlength: 30, value: one?.kind ?? "adult", autocapitalize: "none", spellcheck: "false", autocomplete: "off" },
    { name: "price_won", label: t("products.price"), hint: t("products.price_hint"), type: "number", min: 0, max: 10000000, value: one?.price_won },
    { name: "total", label: t("products.total"), hint: one ? t("products.total_hint", { taken: number(one.held + one.sold) }) : null, type: "number", min: 0, value: one?.total },
    { name: "offered", label: t("products.offered"), hint: t("products.offered_hint"), type: "number", min: 0, value: one?.offered },
    { name: "per_order_max", label: t("products.per_order_max"), type: "number", min: 1, max: 100, value: one?.per_order_max ?? 10 },
    { name: "per_person_max", label: t("products.per_person_max"), hint: t("products.per_person_hint"), type: "number", min: 1, max: 100, value: one?.per_person_max },
    { name: "position", label: t("products.position"), hint: t("products.position_hint"), type: "number", min: 0, max: 10000, value: one?.position ?? 0 },
    { name: "sale_start", label: t("setup.sale_start"), hint: t("products.sale_hint"), type: "datetime-local", value: local(one?.sale_start) }, { name: "sale_end", label: t("setup.sale_end"), hint: t("products.sale_hint"), type: "datetime-local", value: local(one?.sale_end) },
    { name: "dated", label: t("products.dated"), hint: t("products.dated_hint"), type: "checkbox", value: one ? one.dated : true }, { name: "person_limited", label: t("products.person_limited"), type: "checkbox", value: one ? one.person_limited : true },
  ];

  /** Only what differs; times to the minute stay what they were to the second. */
  function changes(values, one) {
    const times = ["sale_start", "sale_end"];
    const before = (name) => (!one ? undefined : times.includes(name) ? local(one[name]) : one[name]);
    const meant = (name, value) => (times.includes(name) ? from_local(value) : value);
    return Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== before(name) && !(name === "offered" && value === null)).map(([name, value]) => [name, meant(name, value)]));
  }

  const NEEDED = ["name_ko", "name_en", "kind", "price_won", "total", "per_order_max", "position"];
  const edit = (at, one, again) => confirm({
    title: one ? t("products.edit_title", { name: named(one) }) : t("products.new"), act: one ? t("save") : t("products.create"), danger: false, wide: true, again, fields: specs(one),
    send: (values) => {
      expect(values, ...NEEDED, ...(one ? ["offered"] : []));
      return one ? at.change("PUT", `/api/admin/products/${one.id}`, one.revision, changes(values, one)) : once(`product-${at.code}`, (key) => at.call("POST", "/api/admin/products", { exhibition: at.code, ...changes(values) }, { headers: { "Idempotency-Key": key } }));
    },
  });

  const state = (one) => (one.archived ? badge(t("products.archived")) : one.active ? badge(t("products.active"), "open") : badge(t("products.paused"), "bad"));
  /** Sold, held and what is still free, of what is on offer. */
  const free = (one) => Math.max(0, Math.min(one.total, one.offered) - one.held - one.sold);

  AdminSetup.tabs.products = function (at) {
    const told = h("div");
    const part = Admin.part(at, () => AdminSetup.known(() => at.get(`/api/admin/products?exhibition=${encodeURIComponent(at.code)}`)), ({ products }) => {
      const done = (text) => { told.replaceChildren(notice(text, false)); part.again(); };
      const ask = (options, text) => confirm({ again: part.again, ...options }).then((yes) => { if (yes) done(typeof text === "function" ? text(yes) : text); });
      const put = (one, body) => at.change("PUT", `/api/admin/products/${one.id}`, one.revision, body);
      const label = (key, one) => ({ "aria-label": `${t(key)}: ${named(one)}` });
      const acts = (one) => h("div", { class: "acts" },
        !one.archived && button(t("products.edit"), () => edit(at, one, part.again).then((yes) => { if (yes) done(t("products.saved")); }), label("products.edit", one)),
        !one.archived && (one.active ? button(t("products.pause"), () => ask({ title: t("products.pause_title", { name: named(one) }), lines: t("products.pause_will"), act: t("products.pause"), send: () => put(one, { active: false }) }, t("products.saved")), label("products.pause", one))
          : button(t("products.resume"), () => ask({ title: t("products.resume_title", { name: named(one) }), lines: t("products.resume_will"), act: t("products.resume"), danger: false, send: () => put(one, { active: true }) }, t("products.saved")), label("products.resume", one))),
        one.archived ? button(t("products.unarchive"), () => ask({ title: t("products.unarchive"), lines: t("products.unarchive_will"), act: t("products.unarchive"), danger: false, send: () => put(one, { archived: false }) }, t("products.saved")), label("products.unarchive", one))
          : button(t("products.archive"), () => ask({ title: t("products.archive_title", { name: named(one) }), lines: t("products.archive_will"), act: t("products.archive"), send: () => at.change("DELETE", `/api/admin/products/${one.id}`, one.revision) }, (said) => t(`products.ended.${said.outcome}`)), { class: "quiet small danger", ...label("products.archive", one) }));
      const about = (one) => [one.kind, t(one.dated ? "products.is_dated" : "products.is_undated"), one.per_person_max && t("products.per_person_is", { n: number(one.per_person_max) }), (one.sale_start || one.sale_end) && `${one.sale_start ? moment(one.sale_start) : ""} – ${one.sale_end ? moment(one.sale_end) : ""}`].filter(Boolean).join(" · ");
      return [h("p", { class: "acts above" }, h("button", { type: "button", class: "small", onclick: () => edit(at, null).then((yes) => { if (yes) done(t("products.created")); }) }, t("products.new"))),
        table({
          caption: t("setup.tab.products"), empty: t("products.none"), head: [t("tickets.product"), t("orders.state"), num(t("products.price")), num(t("live.sold")), num(t("live.held")), num(t("live.free")), num(t("products.offered")), num(t("products.total")), { text: t("does"), hide: true }],
          rows: products.map((one) => [h("span", null, named(one), h("span", { class: "fine under" }, about(one))), state(one), won(one.price_won), number(one.sold), number(one.held), number(free(one)), number(one.offered), number(one.total), acts(one)]),
        })];
    });
    at.root.append(h("p", { class: "fine" }, t("products.lead")), told, part.box);
  };

  globalThis.AdminProducts = { free };
})();
