// The shell: which page an address means, what is around it, and what every page may count on.
(function () {
  "use strict";
  const { h, t, word, notice, named, ago, button, badge, say } = AdminUi;
  const $ = (id) => document.getElementById(id);
  const main = $("main"), title = document.title, LAST = "admit-exhibition", STAGES = ["published", "draft", "archived"];
  const pages = new Map();
  let exhibitions = null, leaving = null, first = true;

  /** `{ id, key, least, of, show(at) }`: `of`: of an exhibition, at `#/CODE/id`, else at `#/id`. */
  const page = (one) => { pages.set((one.of ? "of/" : "") + one.id, one); };

  function parse() {
    const [path, query] = (location.hash.startsWith("#/") ? location.hash.slice(2) : "").split("?");
    const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
    const params = new URLSearchParams(query || "");
    if (!parts.length) return { page: pages.get("start"), params };
    if (pages.has(parts[0])) return { page: pages.get(parts[0]), rest: parts.slice(1), params };
    return { code: parts[0], page: pages.get(`of/${parts[1] || ""}`), rest: parts.slice(2), params };
  }

  const href = (one, code) => `#/${[one.of && code, one.id !== "start" && one.id].filter(Boolean).join("/")}`;
  const go = (to) => { if (location.hash === to) route(); else location.hash = to; };

  async function known() {
    if (exhibitions) return exhibitions;
    // Drafts and what is archived are their admins' alone, and come last; those at the gates see what visitors see, of their own.
    if (AdminSession.may("support")) {
      const all = (await AdminSession.call("GET", "/api/admin/exhibitions")).exhibitions;
      return (exhibitions = all.sort((a, b) => STAGES.indexOf(a.stage) - STAGES.indexOf(b.stage)));
    }
    const all = (await AdminSession.call("GET", "/api/exhibitions")).exhibitions;
    return (exhibitions = all.filter((one) => AdminSession.now.exhibitions.includes(one.code)));
  }
  /** As they are called in a list: what visitors do not see is said. */
  const title_of = (one) => `${named(one)} (${[one.code, one.stage !== "published" && one.stage && word("stage", one.stage)].filter(Boolean).join(", ")})`;

  function last(code) {
    try { if (code) localStorage.setItem(LAST, code); return localStorage.getItem(LAST); } catch { return null; }
  }

  function frame(at, list) {
    const session = AdminSession.now;
    $("self").hidden = $("out").hidden = !session;
    $("self").textContent = session ? session.username : "";
    $("language").href = `${$("language").href.split("#")[0]}${location.hash}`;
    const nav = $("pages"), code = at.code ?? (list.some((one) => one.code === last()) ? last() : list[0]?.code);
    nav.hidden = !session;
    $("of").hidden = !session || !list.length;
    $("exhibition").replaceChildren(...(at.code ? [] : [h("option", { value: "" }, t("choose"))]), ...list.map((one) => h("option", { value: one.code, selected: one.code === at.code }, title_of(one))));
    const link = (one) => AdminSession.may(one.least) && one.id !== "start" && (!one.of || code) &&
      h("a", { href: href(one, code), "aria-current": at.page === one && (!one.of || at.code === code) ? "page" : null }, t(`nav.${one.of ? "of." : ""}${one.id || "dashboard"}`));
    nav.replaceChildren(...[...pages.values()].filter((one) => one.nav !== false).map(link).filter(Boolean));
    // On a phone the pages stand in one line, which may be longer than the screen.
    const current = nav.querySelector("[aria-current]");
    if (current) nav.scrollLeft = current.offsetLeft - (nav.clientWidth - current.clientWidth) / 2;
  }

  /** What a page gets: where it is, where it draws, and a signal that ends what it began. */
  function place(at, list, signal) {
    const exhibition = list.find((one) => one.code === at.code);
    const root = h("div", { class: "page" });
    main.replaceChildren(root);
    const call = (method, path, body, options) => AdminSession.call(method, path, body, { signal, ...options });
    const under = (path) => `/api/admin/exhibitions/${encodeURIComponent(at.code)}/${path}`;
    return {
      ...at, exhibition, root, signal, call,
      get: (path) => call("GET", path),
      of: (method, path, body, options) => call(method, under(path), body, options),
      /** A change of what was seen: its revision, or its ETag. */
      change: (method, path, seen, body) => call(method, path, body, { if_match: String(seen).replace(/^W\/|"/g, "") }),
      under,
      heading: (text, ...beside) => {
        root.append(h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, text), beside));
        document.title = [text, exhibition && named(exhibition), title].filter(Boolean).join(" · ");
      },
      /** Again and again until the page is left, but not while nobody looks. */
      every: (ms, work) => {
        const turn = setInterval(() => { if (!document.hidden) work(); }, ms);
        signal.addEventListener("abort", () => clearInterval(turn));
      },
    };
  }

  /**
   * A part of a page that is asked for: says that it loads, what went wrong, and, where something was shown before, how old
   * that is. `draw(said)` gives its elements. `again` asks something new, so that an answer on its way is of no use; `look` asks the
   * same once more, for which it will do: whoever looks more often than the server answers would else never see anything.
   */
  function part(at, ask, draw) {
    const box = h("div", { class: "part" }), about = h("div"), content = h("div", null, h("p", { class: "fine loading" }, t("loading")));
    let asking = false, anew = false, had_ms = 0;
    box.append(about, content);
    async function again() {
      // Something else is asked for by now: what is on its way is not shown.
      if (asking) { anew = true; return; }
      asking = true;
      box.setAttribute("aria-busy", "true");
      try {
        const said = await ask();
        if (!anew) {
          had_ms = Date.now();
          about.replaceChildren();
          const parts = [draw(said)].flat(Infinity).filter(Boolean), back = focus_kept(content);
          content.replaceChildren(...parts);
          back();
        }
      } catch (error) {
        if (error.code === "aborted") return;
        if (!(error instanceof AdminSession.Refusal)) throw error;
        if (!had_ms) content.replaceChildren();
        about.replaceChildren(notice(explained(error), true, had_ms ? h("p", null, t("stale", { ago: ago(had_ms) })) : null, h("p", null, button(t("again"), look))));
      } finally {
        asking = false;
        box.removeAttribute("aria-busy");
      }
      if (anew) {
        anew = false;
        await again();
      }
    }
    const look = () => { if (!asking) again(); };
    again();
    return { box, again, look };
  }

  /** Whoever is at a button of what is drawn anew finds themselves at the same place afterwards. */
  function focus_kept(box) {
    const all = () => [...box.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]")], place = all().indexOf(document.activeElement);
    return () => { if (place >= 0 && !box.contains(document.activeElement)) (all()[place] ?? main.querySelector("h1"))?.focus({ preventScroll: true }); };
  }

  const explained = (error) => (error.status === 403 ? t("forbidden") : error.detail);

  async function route() {
    if (location.hash && !location.hash.startsWith("#/")) return;
    leaving?.abort();
    leaving = new AbortController();
    document.querySelectorAll("dialog[open]").forEach((one) => one.close());
    const { signal } = leaving, at = parse();
    if (AdminSign.linked()) { frame({}, []); AdminSign.reset(main, title); return; }
    if (location.hash === "#/forgot") { frame({}, []); AdminSign.forgot(main, title); return; }
    if (!AdminSession.now) { frame({}, []); AdminSign.show(main, title, route); return; }
    // Nothing but their own account is open to somebody whose rank needs a second factor, until they have one.
    if (AdminSession.now.second_factor_needed) {
      const own = { page: pages.get("account"), params: new URLSearchParams() };
      frame(own, []);
      $("pages").hidden = true;
      own.page.show(place(own, [], signal));
      return;
    }
    let list = [];
    try {
      list = await known();
    } catch (error) {
      if (signal.aborted || !AdminSession.now) return;
      main.replaceChildren(notice(error.detail, true, h("p", null, button(t("again"), route))));
      return;
    }
    if (signal.aborted) return;
    frame(at, list);
    const here = place(at, list, signal);
    if (at.code && here.exhibition) last(at.code);
    if (!at.page || (at.page.of && !here.exhibition)) here.root.append(h("h1", { tabindex: "-1" }, t("no_page")), h("p", null, h("a", { href: "#/" }, t("to_start"))));
    else if (!AdminSession.may(at.page.least)) { here.heading(t("forbidden_title")); here.root.append(h("p", null, t("forbidden"))); }
    else at.page.show(here);
    // Whoever has gone somewhere is told where they are.
    if (!first) { scrollTo(0, 0); if (!here.root.contains(document.activeElement)) main.querySelector("h1")?.focus({ preventScroll: true }); }
    first = false;
  }

  /** Where a card says how its exhibition does today. */
  function card(figures, code) {
    const box = h("dl", { class: "today", "data-of": code });
    figures.set(code, box);
    return box;
  }

  /** Orders, revenue and entrances of today on the cards, and all together above them. */
  function today(at, figures) {
    const { number, won } = AdminUi;
    const show = (one) => [["dash.today_orders", number(one.today_orders)], ["dash.today_revenue", won(one.today_revenue)], ["start.today_entrances", number(one.today_entrances)]]
      .map(([name, value]) => h("div", null, h("dt", null, t(name)), h("dd", null, value)));
    const all = part(at, () => at.get("/api/admin/dashboard"), (said) => {
      for (const one of said.exhibitions) figures.get(one.code)?.replaceChildren(...show(one));
      const sum = said.exhibitions.reduce((entrances, one) => entrances + one.today_entrances, 0);
      return said.exhibitions.length > 1 && h("section", { class: "all-of-them", "aria-label": t("start.all") }, h("p", { class: "fine" }, t("start.all")), h("dl", { class: "today" }, show({ ...said, today_entrances: sum })));
    });
    at.root.querySelector(".heading").after(all.box);
    at.every(15000, all.again);
  }

  page({ id: "start", least: "staff", nav: false, show(at) {
    at.heading(t("start.title"));
    const dashboard = AdminSession.may("support"), figures = new Map();
    if (!exhibitions.length) at.root.append(h("p", null, t("start.none")));
    at.root.append(h("ul", { class: "cards" }, exhibitions.map((one) => h("li", null,
      one.stage && one.stage !== "published" && badge(word("stage", one.stage)),
      h("h2", null, dashboard ? h("a", { href: `#/${one.code}` }, named(one)) : named(one)),
      h("p", { class: "fine" }, one.starts_on ? `${one.code} · ${AdminUi.date(one.starts_on)} – ${AdminUi.date(one.ends_on)}` : one.code),
      dashboard && card(figures, one.code)))));
    if (!dashboard) at.root.append(h("p", { class: "notice" }, t("start.staff")));
    else today(at, figures);
  } });

  $("exhibition").addEventListener("change", function () {
    const at = parse();
    if (this.value) go(`#/${[this.value, at.page?.of && at.page.id].filter(Boolean).join("/")}`);
  });
  $("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  $("out").addEventListener("click", () => AdminSession.sign_out().catch((error) => say(error.detail)));
  AdminSession.onchange((why) => {
    exhibitions = null;
    if (why === "expired" || why === "out") AdminSign.why = t(`sign.${why}`);
    route();
  });
  addEventListener("hashchange", route);

  async function begin() {
    main.replaceChildren(h("p", { class: "fine loading" }, t("loading")));
    try {
      await AdminSession.resume();
    } catch (error) {
      main.replaceChildren(notice(error.detail, true, h("p", null, button(t("again"), begin))));
      return;
    }
    route();
  }
  addEventListener("DOMContentLoaded", begin);

  globalThis.Admin = { page, part, go, route, href, explained, pages, parse, forget: () => { exhibitions = null; }, get exhibitions() { return exhibitions || []; } };
})();
