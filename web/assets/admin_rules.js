// The rules of entry: of the exhibition, and of products that differ from it. They are replaced as a whole.
(function () {
  "use strict";
  const { h, t, panel, button, named, notice } = AdminUi;
  const { form } = AdminForms;
  /** What holds where nobody has set anything. */
  const DEFAULT = { early_min: 30, late_min: 0, gates: null, entries: "once", per_day: 1, reentry: false, gap_s: 0 };

  const whole = (under, name, value, min, max) => ({ name: `${under}.${name}`, label: t(`rules.${name}`), hint: t(`rules.${name}_hint`), type: "number", min, max, value });
  const specs = (under, rules) => [
    whole(under, "early_min", rules.early_min, 0, 1440), whole(under, "late_min", rules.late_min, 0, 1440),
    { name: `${under}.entries`, label: t("rules.entries"), type: "select", value: rules.entries, options: [["once", t("rules.once")], ["daily", t("rules.daily")]] },
    whole(under, "per_day", rules.per_day, 1, 50), whole(under, "gap_s", rules.gap_s, 0, 86400),
    { name: `${under}.gates`, label: t("rules.gates"), hint: t("rules.gates_hint"), value: (rules.gates || []).join(", ") },
    { name: `${under}.reentry`, label: t("rules.reentry"), type: "checkbox", value: rules.reentry, wide: true },
  ];
  function rules_of(values, under) {
    const of = (name) => values[`${under}.${name}`], gates = of("gates").split(",").map((one) => one.trim()).filter(Boolean);
    return { early_min: of("early_min"), late_min: of("late_min"), gates: gates.length ? gates : null, entries: of("entries"), per_day: of("per_day"), reentry: of("reentry"), gap_s: of("gap_s") };
  }

  AdminGates.tabs.rules = function (at) {
    const box = h("div");
    const part = Admin.part(at, async () => {
      const [rules, sold] = await Promise.all([at.of("GET", "entry-rules", undefined, { as: "tagged" }), at.get(`/api/admin/products?exhibition=${encodeURIComponent(at.code)}`)]);
      return { rules, products: sold.products };
    }, ({ rules, products }) => { draw(rules, products); return box; });

    /** `seen`: what was read, and its tag. */
    function draw(seen, products, note) {
      const rules = seen.body;
      const own = Object.keys(rules.products), without = products.filter((one) => !own.includes(String(one.id)));
      const whole_book = (values) => ({
        exhibition: rules_of(values, "exhibition"), walk_ins: values.walk_ins,
        products: Object.fromEntries(own.map((id) => [id, rules_of(values, `products.${id}`)])),
      });
      const set = form({
        fields: [{ name: "walk_ins", label: t("rules.walk_ins"), type: "checkbox", value: rules.walk_ins, wide: true }, ...specs("exhibition", rules.exhibition || DEFAULT), ...own.flatMap((id) => specs(`products.${id}`, rules.products[id]))],
        submit: t("save"), again: () => part.again(),
        send: async (values) => draw(await at.of("PUT", "entry-rules", whole_book(values), { if_match: seen.tag.replace(/^W\/|"/g, ""), as: "tagged" }), products, t("rules.saved")),
      });
      const title = (id) => { const one = products.find((product) => String(product.id) === id); return one ? named(one) : id; };
      // Those of a product stand together, under its name.
      const group = (under, text, ...more) => h("fieldset", { class: "group" }, h("legend", null, text), h("div", { class: "fields" }, Object.values(set.named).filter((one) => one.name.startsWith(`${under}.`)).map((one) => one.row)), more);
      set.querySelector(".fields").replaceWith(set.named.walk_ins.row, group("exhibition", t("rules.exhibition")), ...own.map((id) => group(`products.${id}`, title(id), button(t("rules.as_exhibition"), () => {
        const book = whole_book(set.values());
        delete book.products[id];
        draw({ ...seen, body: book }, products, t("rules.not_yet"));
      }))));
      const add = without.map((one) => button(t("rules.own", { name: named(one) }), () => {
        const book = whole_book(set.values());
        book.products[one.id] = { ...book.exhibition };
        draw({ ...seen, body: book }, products, t("rules.not_yet"));
      }));
      box.replaceChildren(...(note ? [notice(note, false)] : []), set, ...(add.length ? [panel(t("rules.differ"), h("p", { class: "fine" }, t("rules.differ_lead")), h("p", { class: "acts" }, add))] : []));
    }
    at.root.append(h("p", null, t("rules.lead")), part.box);
  };
})();
