// Operations: what whoever runs a sale looks at when something may be wrong: messages, webhooks, the stock, and who is there.
(function () {
  "use strict";
  const { h, t, word, number, table, panel, facts, moment, badge, button, notice } = AdminUi;
  const { confirm } = AdminForms;
  const LOOK_MS = 10000;
  const num = (text) => ({ text, num: true });
  /** What the other scripts add, in the order of the tabs. */
  const tabs = { webhooks };

  function webhooks(at) {
    const KINDS = { processed: "open", dead: "bad", received: "" };
    const asked = { state: at.params.get("state") ?? "", exhibition: at.code, order_number: at.params.get("order") ?? "" };
    let events = [], next = null;
    const about = h("div"), tiles = h("div", { class: "tiles" });
    /** All that the tile counts. */
    function only_dead() {
      Object.assign(asked, { state: "dead", order_number: "" });
      at.root.querySelector("#of-number").value = "";
      const states = at.root.querySelector("#of-state");
      states.value = "dead";
      // The button is drawn anew with the count.
      states.focus();
      afresh();
    }
    const count = ({ received, dead }) => tiles.replaceChildren(tile(word("inbox.state", "received"), received), tile(word("inbox.state", "dead"), dead, dead > 0 && button(t("inbox.show_dead"), only_dead), dead > 0));
    const replay = (one) => one.state !== "received" && button(t("inbox.replay"), async () => {
      if (!(await confirm({ title: t("inbox.replay"), lines: t("inbox.replay_will"), act: t("inbox.replay"), danger: false, send: () => at.call("POST", "/api/admin/webhook-replay", { event_id: one.id }) }))) return;
      about.replaceChildren(notice(t("inbox.replayed"), false));
      afresh();
    }, { "aria-label": `${t("inbox.replay")}: ${one.order_id}` });
    const row = (one) => [moment(one.received_at), word("provider", one.provider), [one.kind, one.status].filter(Boolean).join(" · "), h("code", null, one.order_id), badge(word("inbox.state", one.state), KINDS[one.state]), one.outcome ? outcome(one.outcome) : "–", number(one.tries), replay(one) || "–"];
    const part = Admin.part(at, () => at.get(`/api/admin/webhooks?${query(asked, next)}`), (said) => {
      events = events.concat(said.events);
      next = said.next;
      if (said.counts) count(said.counts);
      return [table({ caption: t("inbox.title"), empty: t("inbox.none"), head: [t("inbox.at"), t("money.provider"), t("inbox.kind"), t("money.attempt"), t("inbox.state"), t("inbox.outcome"), num(t("inbox.tries")), { text: t("does"), hide: true }], rows: events.map(row) }), next && button(t("more"), part.again)];
    });
    const afresh = () => { events = []; next = null; part.again(); };
    at.root.append(tiles, panel(t("inbox.title"), h("p", { class: "fine" }, t("inbox.lead")), filter(at, asked, ["received", "processed", "dead"].map((one) => [one, word("inbox.state", one)]), [], afresh), about, part.box));
  }

  /** What became of a webhook. One that failed has the code of its problem, which has a dot in it, and no word. */
  const outcome = (code) => (code.includes(".") ? t("inbox.failed", { code }) : word("webhook_outcome", code));

  /** How many there are of something, above the list of them. */
  const tile = (name, value, more, bad) => h("div", { class: `tile ${bad ? "bad" : ""}` }, h("span", { class: "name" }, name), h("strong", null, number(value)), more);

  /** The parameters of a list, without those that ask for nothing. */
  const query = (asked, before) => new URLSearchParams(Object.entries({ ...asked, before }).filter(([, value]) => value));

  /** What a list is narrowed to: a choice shows at once, a number when it was typed. */
  function filter(at, asked, states, more, afresh) {
    const select = (name, label, options) => {
      const box = h("select", { id: `of-${name}`, onchange: () => { asked[name] = box.value; afresh(); } }, options.map(([value, text]) => h("option", { value, selected: value === asked[name] }, text)));
      return h("p", { class: "field" }, h("label", { for: `of-${name}` }, label), box);
    };
    const number_box = h("input", { id: "of-number", type: "search", autocomplete: "off", spellcheck: "false", value: asked.order_number, onchange: () => { asked.order_number = number_box.value.trim(); afresh(); } });
    return h("div", { class: "inline" }, select("state", t("orders.state"), [["", t("all")], ...states]), more.map(([name, label, options]) => select(name, label, options)),
      select("exhibition", t("exhibition"), [["", t("operations.everywhere")], [at.code, AdminUi.named(at.exhibition)]]),
      h("p", { class: "field" }, h("label", { for: "of-number" }, t("operations.order")), number_box));
  }

  /** Whether payments go through, whatever else is looked at: the providers' breakers. */
  function providers(at) {
    const TONES = { closed: "open", half_open: "soon", open: "bad" };
    const part = Admin.part(at, () => at.get("/api/admin/providers"), (said) => {
      const off = said.providers.filter((one) => one.state !== "closed");
      return [facts(said.providers.map((one) => [word("provider", one.name), badge(word("live.breaker", one.state), TONES[one.state])])), off.map((one) => notice(t(`operations.breaker.${one.state}`, { name: word("provider", one.name) }), one.state === "open"))];
    });
    at.every(LOOK_MS, part.look);
    return h("section", { "aria-label": t("live.providers") }, part.box);
  }

  /** How the figures of the dashboard compared with the history last night. */
  function checked(at) {
    return Admin.part(at, () => at.get(`/api/admin/dashboard?exhibition=${encodeURIComponent(at.code)}`), ({ checked: last }) => {
      if (!last) return h("p", { class: "fine" }, t("operations.figures_unchecked"));
      const when = { at: moment(last.at) };
      return last.differences ? notice(t("operations.figures_differ", { ...when, n: number(last.differences) })) : h("p", { class: "fine" }, t("operations.figures_agree", when));
    }).box;
  }

  Admin.page({ id: "operations", key: "w", least: "admin", of: true, show(at) {
    const here = at.rest[0] || "";
    at.heading(t(here ? `operations.tab.${here}` : "operations.title"));
    at.root.append(h("nav", { class: "tabs", "aria-label": t("operations.title") }, ["", "webhooks", "stock", "online"].map((id) =>
      h("a", { href: `#/${at.code}/operations${id && `/${id}`}`, "aria-current": id === here ? "page" : null }, t(id ? `operations.tab.${id}` : "operations.tab")))));
    at.root.append(providers(at), checked(at));
    if (tabs[here]) tabs[here](at);
    else at.root.append(h("p", null, t("no_page")));
  } });

  globalThis.AdminOperations = { tabs, filter, query, tile, outcome };
})();
