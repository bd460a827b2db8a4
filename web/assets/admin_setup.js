// What an exhibition is: its texts, days, sale, limits, what is kept of tickets that are given back, its picture and its stage.
// Each part is saved by itself; all of them name the revision that was seen.
(function () {
  "use strict";
  const { h, t, word, panel, badge, button, notice, number, say, local, from_local } = AdminUi;
  const { form, confirm, expect, renamed } = AdminForms;
  const KINDS = { published: "open", draft: "soon", archived: "" };
  const PICTURE_MS = 120000;
  /** What the other scripts add, in the order of the tabs. */
  const tabs = { "": exhibition };

  const text = (name, maxlength, more) => ({ name, label: t(`setup.${name}`), maxlength, ...more });
  const whole = (name, min, max, more) => ({ name, label: t(`setup.${name}`), hint: t("setup.between", { min: number(min), max: number(max) }), type: "number", min, max, ...more });
  const box = (name) => ({ name, label: t(`setup.${name}`), hint: t(`setup.${name}_hint`), type: "checkbox", wide: true });
  const PARTS = {
    texts: () => [text("name_ko", 100), text("name_en", 100), text("venue_ko", 200), text("venue_en", 200),
      text("description_ko", 4000, { type: "textarea", rows: 6, wide: true }), text("description_en", 4000, { type: "textarea", rows: 6, wide: true })],
    sale: () => [{ name: "starts_on", label: t("setup.starts_on"), type: "date" }, { name: "ends_on", label: t("setup.ends_on"), type: "date" },
      { name: "sale_start", label: t("setup.sale_start"), hint: t("setup.seoul"), type: "datetime-local" }, { name: "sale_end", label: t("setup.sale_end"), hint: t("setup.seoul"), type: "datetime-local" }],
    limits: () => [whole("hold_ttl_s", 60, 3600), whole("person_limit", 1, 1000, { hint: t("setup.person_limit_hint") }), whole("open_holds_max", 1, 100), whole("deposit_h", 1, 720),
      { name: "payment_provider", label: t("setup.payment_provider"), type: "select", options: ["toss", "stripe"].map((one) => [one, word("provider", one)]) },
      { name: "canary_provider", label: t("setup.canary_provider"), type: "select", options: [["", t("setup.nobody")], ...["toss", "stripe"].map((one) => [one, word("provider", one)])] }, whole("canary_pct", 0, 100), box("culture_expense")],
  };
  const TIMES = ["sale_start", "sale_end"], NULLED = ["person_limit", "canary_provider"];
  const shown = (name, value) => (TIMES.includes(name) ? local(value) : value ?? "");
  const meant = (name, value) => (TIMES.includes(name) ? from_local(value) : NULLED.includes(name) && value === "" ? null : value);

  /** `at`: the page; `of.now`: the exhibition as it was last seen; `of.again()`: seen anew. */
  function part_form(of, specs) {
    // Only what differs from what was seen is sent.
    const first = Object.fromEntries(specs.map(({ name }) => [name, shown(name, of.now[name])]));
    const set = form({
      fields: specs.map((spec) => ({ ...spec, value: first[spec.name] })), submit: t("save"), done: t("saved"), again: of.again,
      send: async (values) => {
        expect(values, ...specs.filter(({ name, type }) => !NULLED.includes(name) && ["number", "date", "datetime-local"].includes(type)).map(({ name }) => name));
        const changed = Object.fromEntries(Object.entries(values).filter(([name, value]) => (value ?? "") !== first[name]).map(([name, value]) => [name, meant(name, value)]));
        await of.save(changed);
        Object.assign(first, Object.fromEntries(specs.map(({ name }) => [name, set.named[name].value() ?? ""])));
      },
    });
    return set;
  }

  /** The rules of giving back, as many rows as there are. */
  function refunds(of) {
    const place = h("div");
    function draw(rules, free_h, focus, saved) {
      const set = form({
        fields: [whole("refund_free_h", 0, 720, { value: free_h }), ...rules.flatMap((rule, n) => [
          { name: `refund_rules[${n}].days_before`, label: t("setup.days_before", { n: n + 1 }), type: "number", min: 0, max: 365, value: rule.days_before },
          { name: `refund_rules[${n}].fee_pct`, label: t("setup.fee_pct", { n: n + 1 }), type: "number", min: 0, max: 100, value: rule.fee_pct }])],
        submit: t("save"), again: of.again,
        send: async (values) => {
          expect(values, ...Object.keys(values));
          try {
            await of.save({ refund_rules: read(set, rules), refund_free_h: values.refund_free_h });
          } catch (error) {
            throw renamed(error, (name) => (/^refund_rules\[\d+\]$/.test(name) ? `${name}.days_before` : null));
          }
          draw(of.now.refund_rules, of.now.refund_free_h, undefined, true);
        },
      });
      const fields = set.querySelector(".fields");
      const row = (rule, n) => h("li", { class: "rule" }, set.named[`refund_rules[${n}].days_before`].row, set.named[`refund_rules[${n}].fee_pct`].row,
        button(t("setup.rule_gone"), () => draw(read(set, rules).filter((_, at) => at !== n), set.named.refund_free_h.value(), Math.max(0, n - 1)), { "aria-label": `${t("setup.rule_gone")}: ${n + 1}` }));
      const more = button(t("setup.rule_more"), () => draw([...read(set, rules), { days_before: null, fee_pct: null }], set.named.refund_free_h.value(), rules.length));
      fields.replaceChildren(set.named.refund_free_h.row);
      fields.after(rules.length ? h("ol", { class: "rules" }, rules.map(row)) : h("p", { class: "notice" }, t("setup.no_rule")), rules.length < 20 ? h("p", { class: "acts" }, more) : "");
      place.replaceChildren(set);
      if (saved) set.tell(t("saved"));
      if (focus !== undefined) (set.named[`refund_rules[${focus}].days_before`]?.input ?? more).focus();
    }
    const read = (set, rules) => rules.map((_, n) => ({ days_before: set.named[`refund_rules[${n}].days_before`].value(), fee_pct: set.named[`refund_rules[${n}].fee_pct`].value() }));
    draw(of.now.refund_rules, of.now.refund_free_h);
    return panel(t("setup.refunds"), h("p", { class: "fine" }, t("setup.refunds_lead")), place);
  }

  function picture(at, of) {
    const place = h("div");
    function draw(note) {
      const now = of.now.picture;
      const set = form({
        fields: [{ name: "file", label: t(now ? "setup.picture_new" : "setup.picture_file"), hint: t(now ? "setup.picture_kept" : "setup.picture_hint"), type: "file", accept: "image/jpeg,image/png,image/webp", wide: true },
          { name: "alt_ko", label: t("setup.alt_ko"), hint: t("setup.alt_hint"), maxlength: 200, value: now?.alt ?? "" }, { name: "alt_en", label: t("setup.alt_en"), hint: t("setup.alt_hint"), maxlength: 200, value: now?.alt_en ?? "" }],
        submit: t("setup.picture_send"), again: of.again,
        send: async (values) => {
          const file = set.named.file.input.files[0];
          // What is said of a picture can be changed without it.
          expect({ ...values, file: file ?? "" }, ...(now ? [] : ["file"]), "alt_ko", "alt_en");
          try {
            const said = await at.call("PUT", at.under(`picture?${new URLSearchParams({ alt_ko: values.alt_ko, alt_en: values.alt_en })}`), file, { patience_ms: PICTURE_MS, if_match: of.now.picture_tag });
            of.now = { ...of.now, ...said };
            of.draw_stage();
          } catch (error) {
            if (error.status === 422 && !error.errors.length || error.status === 413) error.errors = [{ field: "file", detail: error.detail }];
            throw error;
          }
          draw(t("saved"));
        },
      });
      const gone = () => confirm({ title: t("setup.picture_gone"), lines: t("setup.picture_gone_will"), act: t("setup.picture_gone"), again: of.again, send: () => at.of("DELETE", "picture", undefined, { if_match: of.now.picture_tag }) })
        .then((yes) => { if (yes) { of.now = { ...of.now, picture: null, picture_tag: "none" }; of.draw_stage(); draw(t("saved")); } });
      place.replaceChildren(...[note && notice(note, false), now && h("img", { class: "shot", src: now.narrow_url, width: 640, height: Math.round(now.height / 2), alt: AdminUi.language === "ko" ? now.alt : now.alt_en }), set,
        now && h("p", { class: "acts" }, button(t("setup.picture_gone"), gone, { class: "quiet small danger" }))].filter(Boolean));
    }
    draw();
    return panel(t("setup.picture"), place);
  }

  /** Why visitors would find nothing to buy, whatever the time. */
  function unsold({ products, slots }) {
    const kept = products.filter((one) => !one.archived), active = kept.filter((one) => one.active), open = slots.filter((one) => !one.closed);
    const offers = (one) => Math.min(one.total, one.offered) > 0, sells = (one) => offers(one) && (!one.dated || open.some(offers));
    if (!kept.length) return [t("setup.no_product")];
    if (!active.length) return [t("setup.none_active")];
    const dated = active.some((one) => one.dated);
    return [dated && !slots.length && t("setup.no_slot"), dated && slots.length > 0 && !open.length && t("setup.all_closed"),
      !active.some(sells) && (!active.some(offers) || open.length > 0) && t("setup.none_offered")];
  }

  /** What it is now, what is missing for visitors, and where it may go. */
  function stage(at, of, sold) {
    const now = of.now, missing = [now.stage !== "published" && now.paused && t("setup.paused_yet"), ...unsold(sold), Date.parse(now.sale_end) < Date.now() && t("setup.sale_over"), !now.picture && t("setup.no_picture"), (!now.description_ko || !now.description_en) && t("setup.no_text")].filter(Boolean);
    const move = (to) => confirm({ title: t(`setup.to.${to}_title`), lines: [t(`setup.to.${to}_will`), to === "published" && missing.length > 0 && t("setup.missing", { what: missing.join(" ") })].filter(Boolean), act: t(`setup.to.${to}`), danger: false, again: of.again, send: () => of.save({ stage: to }) })
      .then((yes) => { if (yes) { Admin.forget(); Admin.route(); } });
    const end = () => confirm({ title: t(now.stage === "draft" ? "setup.delete_title" : "setup.archive_title"), lines: t(now.stage === "draft" ? "setup.delete_will" : "setup.archive_will"), act: t(now.stage === "draft" ? "setup.delete" : "setup.archive"), again: of.again, send: () => at.change("DELETE", `/api/admin/exhibitions/${encodeURIComponent(at.code)}`, of.now.revision) })
      .then((said) => { if (said) { Admin.forget(); say(t(`setup.ended.${said.outcome}`)); if (said.outcome === "deleted") Admin.go("#/exhibitions"); else Admin.route(); } });
    return [h("p", { class: "phase" }, badge(word("stage", now.stage), KINDS[now.stage]), now.paused && [" ", badge(t("setup.is_paused"), "bad")], now.stage === "published" && [" ", h("a", { href: `/${at.code}`, target: "_blank", rel: "noopener" }, t("setup.visit"))]),
      AdminSales.why(now),
      h("p", { class: "fine" }, t(`setup.means.${now.stage}`)), now.stage !== "archived" && missing.length > 0 && h("ul", { class: "missing" }, missing.map((one) => h("li", null, one))),
      h("p", { class: "acts" }, now.stage !== "published" && h("button", { type: "button", class: "small", onclick: () => move("published") }, t(now.stage === "archived" ? "setup.to.again" : "setup.to.published")),
        now.stage !== "archived" && AdminSales.own({ now, save: of.save, again: of.again, done: () => document.querySelector("main [data-sales]")?.focus() }),
        now.stage !== "archived" && button(t(now.stage === "draft" ? "setup.delete" : "setup.archive"), end, { class: "quiet small danger" }))];
  }

  /** Every instance knows a new exhibition within a second or two; until then one of them may not. */
  let made_ms = 0;
  const just_made = () => { made_ms = Date.now(); };
  async function known(ask) {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (error.status !== 404 || Date.now() - made_ms > 8000) throw error;
        await new Promise((resolve) => { setTimeout(resolve, 500); });
      }
    }
  }

  function exhibition(at) {
    const code = encodeURIComponent(at.code), path = `/api/admin/exhibitions/${code}`;
    const part = Admin.part(at, () => known(() => Promise.all([at.get(path), at.get(`/api/admin/products?exhibition=${code}`), at.get(`/api/admin/slots?exhibition=${code}`)])), ([now, { products }, { slots }]) => {
      const stage_box = h("div");
      const of = {
        now, again: part.again,
        async save(changes) {
          // The picture stays as it was seen, or a change of it would not tell what somebody else has made of it.
          const { picture: shot, picture_tag } = of.now;
          of.now = { ...await at.change("PUT", path, of.now.revision, changes), picture: shot, picture_tag };
          draw_stage();
          // What it is called stands in the list above.
          Admin.forget();
        },
        draw_stage: () => draw_stage(),
      };
      const draw_stage = () => stage_box.replaceChildren(...stage(at, of, { products, slots }).flat(Infinity).filter(Boolean));
      draw_stage();
      return [panel(t("setup.stage"), stage_box), ...["texts", "sale", "limits"].map((name) => h("section", { class: "panel pairs" }, h("h2", null, t(`setup.part.${name}`)), part_form(of, PARTS[name]()))), refunds(of), picture(at, of)];
    });
    at.root.append(part.box);
  }

  Admin.page({ id: "setup", key: "s", least: "admin", of: true, show(at) {
    const here = at.rest[0] || "";
    at.heading(t(here ? `setup.tab.${here}` : "setup.title"));
    at.root.append(h("nav", { class: "tabs", "aria-label": t("setup.title") }, ["", "products", "slots"].map((id) =>
      h("a", { href: `#/${at.code}/setup${id && `/${id}`}`, "aria-current": id === here ? "page" : null }, t(id ? `setup.tab.${id}` : "setup.tab")))));
    if (tabs[here]) tabs[here](at);
    else at.root.append(h("p", null, t("no_page")));
  } });

  globalThis.AdminSetup = { tabs, known, just_made };
})();
