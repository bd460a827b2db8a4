// All exhibitions that one runs, whatever their stage; a new one, from nothing or like another; and the owner's switch for all sales.
(function () {
  "use strict";
  const { h, t, word, table, date, moment, badge, named, say, from_local } = AdminUi;
  const { form, expect } = AdminForms;
  const KINDS = { published: "open", draft: "soon" };
  const owner = () => AdminSession.now.role === "super_admin";

  function list(at) {
    at.heading(t("exhibitions.title"), owner() && h("a", { class: "button quiet small", href: "#/exhibitions/+" }, t("exhibitions.new")));
    const search = h("input", { type: "search", id: "exhibition-search", autocomplete: "off", spellcheck: "false", oninput: () => draw() });
    const stage = h("select", { id: "exhibition-stage", onchange: () => draw() }, [["", t("all")], ...["published", "draft", "archived"].map((one) => [one, word("stage", one)])].map(([value, text]) => h("option", { value }, text)));
    const box = h("div");
    let all = [];
    const state = (one) => [badge(word("stage", one.stage), KINDS[one.stage]), one.paused && one.stage === "published" && [" ", badge(t("setup.is_paused"), "bad")]];
    function draw() {
      const sought = search.value.trim().toLowerCase();
      const found = all.filter((one) => (!stage.value || one.stage === stage.value) && [one.code, one.name_ko, one.name_en].some((text) => text.toLowerCase().includes(sought)));
      box.replaceChildren(table({
        caption: t("exhibitions.title"), empty: t("exhibitions.none"), head: [t("exhibitions.name"), t("exhibitions.code"), t("orders.state"), t("exhibitions.days"), t("exhibitions.sale"), { text: t("does"), hide: true }],
        rows: found.map((one) => [h("a", { href: `#/${one.code}/setup` }, named(one)), one.code, state(one), `${date(one.starts_on)} – ${date(one.ends_on)}`, `${moment(one.sale_start)} – ${moment(one.sale_end)}`,
          owner() ? h("a", { href: `#/exhibitions/+?copy=${encodeURIComponent(one.code)}`, class: "as-one", "aria-label": `${t("exhibitions.copy")}: ${named(one)}` }, t("exhibitions.copy")) : "–"]),
      }));
    }
    const part = Admin.part(at, () => at.get("/api/admin/exhibitions"), (said) => { all = said.exhibitions; draw(); return box; });
    // Whoever has to stop everything looks for it first.
    if (owner()) {
      const { box: sales } = AdminSales.controls(at);
      sales.classList.add("sales");
      at.root.append(sales);
    }
    at.root.append(h("div", { class: "inline" }, h("p", { class: "field" }, h("label", { for: "exhibition-search" }, t("exhibitions.search")), search), h("p", { class: "field" }, h("label", { for: "exhibition-stage" }, t("orders.state")), stage)), part.box);
  }

  /** Like another, all is taken over; from nothing, what it cannot be without is asked for. */
  function create(at) {
    at.heading(t("exhibitions.new"));
    at.root.append(h("p", { class: "over" }, h("a", { href: "#/exhibitions" }, t("exhibitions.back"))));
    if (!owner()) { at.root.append(h("p", null, t("forbidden"))); return; }
    const sources = Admin.exhibitions, copied = sources.find((one) => one.code === at.params.get("copy"));
    const FROM_NOTHING = ["name_ko", "name_en", "starts_on", "ends_on", "sale_start", "sale_end"], COPIED = ["first_day", "new_name_ko", "new_name_en", "copy_people"];
    const day = (name) => ({ name, label: t(`setup.${name}`), type: "date" }), time = (name) => ({ name, label: t(`setup.${name}`), type: "datetime-local", hint: t("setup.seoul") });
    const set = form({
      fields: [
        { name: "copy_from", label: t("exhibitions.copy_from"), hint: t("exhibitions.copy_hint"), type: "select", wide: true, value: copied?.code ?? "", options: [["", t("exhibitions.from_nothing")], ...sources.map((one) => [one.code, `${named(one)} (${one.code})`])] },
        { name: "code", label: t("exhibitions.code"), hint: t("exhibitions.code_hint"), autocomplete: "off", spellcheck: "false", autocapitalize: "none", maxlength: 31, wide: true },
        { name: "first_day", label: t("exhibitions.first_day"), hint: t("exhibitions.first_day_hint"), type: "date", wide: true },
        { name: "new_name_ko", label: t("setup.name_ko"), hint: t("exhibitions.name_hint"), maxlength: 100 }, { name: "new_name_en", label: t("setup.name_en"), hint: t("exhibitions.name_hint"), maxlength: 100 },
        { name: "name_ko", label: t("setup.name_ko"), maxlength: 100 }, { name: "name_en", label: t("setup.name_en"), maxlength: 100 },
        { name: "copy_people", label: t("exhibitions.copy_people"), hint: t("exhibitions.copy_people_hint"), type: "checkbox", wide: true },
        day("starts_on"), day("ends_on"), time("sale_start"), time("sale_end"),
      ],
      submit: t("exhibitions.create"),
      send: async (values) => {
        const of = values.copy_from ? { copy_from: values.copy_from, first_day: values.first_day, copy_people: values.copy_people, ...(values.new_name_ko && { name_ko: values.new_name_ko }), ...(values.new_name_en && { name_en: values.new_name_en }) }
          : { name_ko: values.name_ko, name_en: values.name_en, starts_on: values.starts_on, ends_on: values.ends_on, sale_start: from_local(values.sale_start), sale_end: from_local(values.sale_end) };
        expect(values, "code", ...(values.copy_from ? ["first_day"] : FROM_NOTHING));
        const made = await at.call("POST", "/api/admin/exhibitions", { code: values.code, ...of });
        say(t("exhibitions.created"));
        Admin.forget();
        AdminSetup.just_made();
        Admin.go(`#/${made.code}/setup`);
      },
    });
    function follow() {
      const source = sources.find((one) => one.code === set.named.copy_from.value());
      FROM_NOTHING.forEach((name) => { set.named[name].row.hidden = Boolean(source); });
      COPIED.forEach((name) => { set.named[name].row.hidden = !source; });
      if (source && !set.named.first_day.input.value) {
        // The same weekday a year later.
        set.named.first_day.input.value = AdminUi.days_from(source.starts_on, 364);
      }
    }
    set.named.copy_from.input.addEventListener("change", () => { set.named.first_day.input.value = ""; follow(); });
    follow();
    at.root.append(h("p", null, t("exhibitions.new_lead")), set);
  }

  Admin.page({ id: "exhibitions", key: "x", least: "admin", show(at) {
    if (at.rest[0] === "+") create(at);
    else list(at);
  } });

})();
