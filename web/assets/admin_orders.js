// Orders of an exhibition, found by whatever people know of them. What was typed is sent in a body and kept in this tab alone:
// names and phone numbers belong into no address.
(function () {
  "use strict";
  const { h, t, word, table, won, date, moment, badge, button, number, notice, slot, say } = AdminUi;
  const { field, confirm } = AdminForms;
  const STATES = ["held", "confirming", "awaiting_deposit", "paid", "partially_refunded", "refunded", "expired", "cancelled"];
  const KINDS = { paid: "open", held: "soon", confirming: "soon", awaiting_deposit: "soon", partially_refunded: "open" };
  /** So long nothing is typed before it is sent. [ms] */
  const PAUSE_MS = 300;
  /** A whole order number, wherever in a text somebody has copied. */
  const NUMBER = /ORD\d{8}-[0-9A-HJKMNP-TV-Z]{10}(?![0-9A-Z])/i;
  /** What was last asked for, by exhibition, so that whoever comes back from an order finds the list as it was. */
  const last = new Map();

  const state = (name) => badge(word("order_state", name), KINDS[name]);
  const link = (at, one) => h("a", { class: "number", href: `#/${at.code}/orders/${encodeURIComponent(one.order_number)}` }, one.order_number);
  const row = (at, one) => [link(at, one), state(one.state), moment(one.created_at), one.customer_name ?? "–", h("span", { class: "as-one" }, one.customer_phone ?? "–"), one.products,
    one.visit_date ? h("span", { class: "as-one" }, date(one.visit_date)) : "–", one.payment_method ? word("method", one.payment_method) : "–", won(one.total_amount)];

  /** What is asked for, as a body says it. */
  function filters(asked) {
    const { slot_id, ...rest } = Object.fromEntries(Object.entries(asked).filter(([, value]) => value));
    return { ...rest, ...(slot_id && { slot_id: Number(slot_id) }) };
  }

  function list(at, asked, found) {
    const box = h("div", { class: "part" });
    let orders = [], next = null, on_its_way = null;

    function draw(...under) {
      const any = Object.values(asked).some(Boolean);
      box.replaceChildren(table({
        caption: t("orders.title"), empty: t(any ? "orders.no_match" : "orders.none"),
        head: [t("orders.number"), t("orders.state"), t("orders.placed"), t("orders.name"), t("orders.phone"), t("orders.tickets"), t("orders.visit"), t("orders.method"), { text: t("orders.amount"), num: true }],
        rows: orders.map((one) => row(at, one)),
      }), ...under, ...(next ? [h("p", null, button(t("more"), () => page(next)))] : []));
    }

    /** The newest question counts: the answer to an older one is not waited for. */
    async function page(before) {
      on_its_way?.abort();
      const mine = on_its_way = new AbortController(), stop = () => mine.abort();
      at.signal.addEventListener("abort", stop);
      box.setAttribute("aria-busy", "true");
      try {
        const said = await at.call("POST", "/api/admin/orders/search", { exhibition: at.code, ...filters(asked), ...(before && { before }) }, { signal: mine.signal });
        const known = before ? orders.length : 0;
        orders = before ? orders.concat(said.orders) : said.orders;
        next = said.next;
        found();
        draw();
        say(t(next ? "orders.found_more" : "orders.found", { n: number(orders.length) }));
        if (known) box.querySelectorAll("tbody a")[known]?.focus();
      } catch (error) {
        if (mine.signal.aborted) return;
        if (found(error)) { box.replaceChildren(); return; }
        const trouble = notice(Admin.explained(error), true, h("p", null, button(t("again"), () => page(before))));
        if (before) draw(trouble);
        else box.replaceChildren(trouble);
      } finally {
        at.signal.removeEventListener("abort", stop);
        if (on_its_way === mine) box.removeAttribute("aria-busy");
      }
    }
    box.append(h("p", { class: "fine loading" }, t("loading")));
    return { box, page };
  }

  /** All of them as a table, a file on whoever's disk: so it asks, and more so where people are named. */
  function exported(at, asked) {
    return confirm({
      title: t("orders.export"), lines: [t(asked.q ? "orders.export_will_q" : "orders.export_will")], act: t("orders.export_do"), danger: false,
      fields: [{ name: "format", label: t("orders.format"), type: "select", value: "xlsx", options: [["xlsx", t("orders.format_xlsx")], ["csv", t("orders.format_csv")]] },
        { name: "unmasked", label: t("orders.unmasked"), hint: t("orders.unmasked_hint"), type: "checkbox" }, { name: "why", label: t("orders.why"), hint: t("orders.why_hint"), maxlength: 200 }],
      send: async ({ format, unmasked, why }) => {
        if (unmasked) AdminForms.expect({ why }, "why");
        const { url } = await at.call("POST", at.under("exports"), { ...filters(asked), format, ...(unmasked && { unmasked, why }) });
        // The browser saves it as it comes: a million orders are no page's memory.
        h("a", { href: url, download: "" }).click();
        say(t("orders.export_begun"));
      },
    });
  }

  function show(at) {
    // Whoever signs in after somebody else at this screen begins with nothing.
    const who = `${AdminSession.now?.username} ${at.code}`, admin = AdminSession.may("admin"), asked = { q: "", state: "", from: "", until: "", visit_date: "", slot_id: "", ...last.get(who) };
    last.set(who, asked);
    at.heading(t("orders.title"), admin && h("div", { class: "acts beside-heading" }, button(t("orders.export"), () => exported(at, asked)), h("a", { class: "button quiet small", href: `#/${at.code}/orders/+` }, t("gifts.title"))));
    const fields = [
      { name: "q", label: t("orders.search"), hint: t("orders.search_hint"), type: "search", autocomplete: "off", spellcheck: "false", maxlength: 200, value: asked.q },
      { name: "state", label: t("orders.state"), type: "select", value: asked.state, options: [["", t("all")], ...STATES.map((one) => [one, word("order_state", one)])] },
      { name: "from", label: t("orders.from"), type: "date", value: asked.from }, { name: "until", label: t("orders.until"), type: "date", value: asked.until },
      { name: "visit_date", label: t("orders.visit"), type: "date", value: asked.visit_date },
      // Said in words when the slots are known.
      { name: "slot_id", label: t("orders.hours"), type: "select", value: asked.slot_id, options: ["", asked.slot_id].filter((one, n) => !n || one).map((one) => [one, one ? "…" : t("all")]), hidden: !asked.slot_id },
    ].map(field);
    const found = list(at, asked, (error) => {
      fields.forEach((one) => one.wrong());
      const wrong = (error?.errors || []).filter((one) => { const of = fields.find(({ name }) => name === one.field); of?.wrong(one.detail); return of; });
      return wrong.length > 0;
    });
    let turn = 0;
    const ask = () => { clearTimeout(turn); fields.forEach((one) => { asked[one.name] = one.value(); }); found.page(); };
    /** A whole number is one order, of whichever exhibition: there one goes. Where there is none, the list says so. */
    async function jump() {
      const number = fields[0].value().match(NUMBER)?.[0].toUpperCase();
      if (!number) return ask();
      clearTimeout(turn);
      const { orders } = await at.call("POST", "/api/admin/orders/search", { q: number }).catch(() => ({ orders: [] }));
      if (at.signal.aborted) return;
      if (orders.length !== 1 || !fields[0].value().toUpperCase().includes(number)) return ask();
      Admin.go(`#/${orders[0].exhibition_code}/orders/${encodeURIComponent(orders[0].order_number)}`);
    }
    const soon = (event) => { clearTimeout(turn); if (!event.isComposing) turn = setTimeout(jump, PAUSE_MS); };
    at.signal.addEventListener("abort", () => clearTimeout(turn));
    fields[0].input.addEventListener("input", soon);
    // A syllable of Korean is whole when its composing ends.
    fields[0].input.addEventListener("compositionend", soon);
    hours(at, fields);
    fields.slice(1).forEach((one) => one.input.addEventListener("change", ask));
    at.root.append(h("form", { class: "seek-orders", role: "search", novalidate: true, onsubmit: (event) => { event.preventDefault(); jump(); } }, fields.map((one) => one.row)), found.box);
    found.page();
    if (at.params.has("find")) { fields[0].input.focus(); fields[0].input.select(); }
  }

  /** The hours of the day that is chosen, where it has several. */
  function hours(at, fields) {
    const [day, of_day] = ["visit_date", "slot_id"].map((name) => fields.find((one) => one.name === name));
    let known = null;
    async function offer() {
      const date_of = day.value();
      if (!date_of) return;
      known ??= at.get(`/api/admin/slots?exhibition=${encodeURIComponent(at.code)}`);
      // Without them the whole day can be asked for; the next day that is chosen asks again.
      const said = await known.catch(() => { known = null; });
      if (!said || at.signal.aborted || day.value() !== date_of) return;
      const there = said.slots.filter((one) => one.date === date_of), chosen = of_day.value();
      if (there.length < 2 && !chosen) return;
      of_day.input.replaceChildren(...[["", t("all")], ...there.map((one) => [one.id, slot({ ...one, date: null }) || date(one.date)])].map(([value, text]) => h("option", { value, selected: String(value) === chosen }, text)));
      of_day.row.hidden = false;
      // What was chosen before is deleted by now: then it is the whole day.
      if (chosen && !of_day.value()) of_day.input.dispatchEvent(new Event("change"));
    }
    // Before anything is asked for: hours are those of one day.
    day.input.addEventListener("change", () => {
      of_day.input.replaceChildren(h("option", { value: "" }, t("all")));
      of_day.row.hidden = true;
      offer();
    });
    offer();
  }

  Admin.page({ id: "orders", key: "r", least: "support", of: true, show(at) {
    if (!at.rest[0]) show(at);
    else if (at.rest[0] === "+") AdminGifts.show(at);
    else AdminOrder.show(at, at.rest[0]);
  } });

  globalThis.AdminOrders = { state };
})();
