// An exhibition's waiting room, as it is set up on a quiet day: what it is now, what it will do by itself, and every setting with its
// unit and its bounds. Draw, invitations, rehearsal and history are beside it.
(function () {
  "use strict";
  const { h, t, word, panel, notice, number, moment, facts, say, local, from_local } = AdminUi;
  const { form, confirm, expect } = AdminForms;
  /** What the other scripts add, in the order of the tabs. */
  const tabs = { "": whole_room };
  const LOOK_MS = 5000, STATE_MS = 20000;
  /** Those who wait feel what is changed now. */
  const in_use = (room) => ["prequeue", "frozen", "open", "paused", "drain", "stopped"].includes(room.phase);

  /**
   * The room, looked at again every few seconds. `draw(of, room)` gives its elements once, and is told of every look that found something
   * else: then it changes what stands in them. `of.change` sends, and resolves to what the room has become. The figures of a rehearsal
   * change all the time: who wants them says so.
   */
  function looked_at(at, draw, { every_ms = LOOK_MS, figures = false } = {}) {
    const of = { now: null, change };
    let last = "", shown = [];
    function take(said) {
      const text = JSON.stringify(said, (name, value) => (name === "figures" && !figures ? undefined : value));
      of.now = said;
      if (text !== last) shown = draw(of, said);
      last = text;
    }
    async function change(method, path, body, seen) {
      try {
        take(await at.of(method, path, body, { if_match: seen }));
        say(t("saved"));
        return of.now;
      } catch (error) {
        // Whoever was faster: what they did is shown, and nothing of ours was done.
        if ([409, 412].includes(error.status)) at.of("GET", "room").then(take).catch(() => {});
        throw error;
      }
    }
    const part = Admin.part(at, () => at.of("GET", "room"), (said) => { take(said); return shown; });
    // Quietly: what somebody is typing stays, and a look that fails is made up for by the next.
    at.every(every_ms, () => { if (of.now) at.of("GET", "room").then((said) => { if (said.revision >= of.now.revision) take(said); }).catch(() => {}); });
    at.root.append(part.box);
    return of;
  }

  const whole = (name, min, max) => ({ name, label: t(`waiting.${name}`), hint: `${t(`waiting.${name}_hint`)} ${t("setup.between", { min: number(min), max: number(max) })}`, type: "number", min, max });
  const when = (name) => ({ name, label: t(`waiting.${name}`), hint: t(`waiting.${name}_hint`), type: "datetime-local" });
  const PARTS = {
    schedule: () => [when("prequeue_at"), when("opens_at"),
      { name: "draw", label: t("waiting.draw"), hint: t("waiting.draw_hint"), type: "checkbox", wide: true },
      { name: "beacon", label: t("waiting.beacon"), hint: t("waiting.beacon_hint"), type: "select", options: ["drand", "manual", "local"].map((one) => [one, word("beacon", one)]) },
      whole("freeze_lead_s", 20, 3600)],
    pace: () => [whole("capacity", 1, 1000000), whole("rate_per_min", 1, 6000000), whole("slack", 0, 100000), whole("claim_window_s", 45, 3600), whole("idle_s", 60, 3600), whole("hard_s", 120, 14400)],
    shares: () => [whole("invited_share_pct", 0, 90), whole("late_share_pct", 5, 50), whole("stock_factor_pct", 10, 1000)],
    net: () => [whole("safety_on_per_s", 0, 1000000), whole("safety_off_after_s", 10, 86400)],
    brake: () => [whole("brake_p99_ms", 50, 60000), whole("brake_error_pct", 1, 100)],
  };
  const TIMES = ["prequeue_at", "opens_at"];
  /** What a draw was announced with; the schedule as well while a rehearsal has one of its own. */
  const ANNOUNCED = ["draw", "beacon", "opens_at", "freeze_lead_s"];
  const fixed = (room) => (["idle", "bypass"].includes(room.phase) ? [] : room.rehearsal?.running ? [...ANNOUNCED, "prequeue_at"] : ANNOUNCED);
  const shown = (name, value) => (TIMES.includes(name) ? local(value) : value);
  const meant = (name, value) => (TIMES.includes(name) ? from_local(value) : value);
  const told = (name, value) => {
    if (TIMES.includes(name)) return value ? moment(value) : t("waiting.not_set");
    if (name === "beacon") return word("beacon", value);
    return typeof value === "boolean" ? t(value ? "yes" : "no") : number(value);
  };

  /** One part of the settings. `seen.config` and `seen.revision` are of when they were drawn. */
  function part_form(of, seen, specs) {
    const first = Object.fromEntries(specs.map(({ name }) => [name, shown(name, seen.config[name])])), closed = fixed(seen);
    const set = form({
      fields: specs.map((spec) => ({ ...spec, value: first[spec.name], disabled: closed.includes(spec.name) })), submit: t("save"), again: Admin.route,
      send: async (values) => {
        expect(values, ...specs.filter(({ type }) => type === "number").map(({ name }) => name));
        const changed = Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== first[name]).map(([name, value]) => [name, meant(name, value)]));
        // What counts at once is told before thousands feel it.
        const lines = Object.entries(changed).map(([name, value]) => t("waiting.from_to", { what: t(`waiting.${name}`), from: told(name, seen.config[name]), to: told(name, value) }));
        if (in_use(of.now) && lines.length && !(await confirm({ title: t("waiting.set_title"), lines: [t("waiting.set_will"), ...lines], act: t("save"), danger: false, send: async () => true }))) return;
        const now = await of.change("PUT", "room", { config: changed }, seen.revision);
        Object.assign(seen, { config: now.config, revision: now.revision });
        Object.assign(first, Object.fromEntries(specs.map(({ name }) => [name, shown(name, now.config[name])])));
        set.tell(t("saved"));
      },
    });
    return set;
  }

  /** What whoever sets up a sale should know before the day. */
  function advice({ config, revision, phase }, { sale_start }) {
    const before = ["idle", "bypass"].includes(phase), first = config.prequeue_at ?? config.opens_at;
    return [
      revision === 1 && t("waiting.none_yet"),
      before && !config.opens_at && t("waiting.no_opening"),
      before && config.opens_at && Date.parse(config.opens_at) < Date.now() && t("waiting.opening_over"),
      before && config.opens_at && config.draw && !config.prequeue_at && t("waiting.no_gathering"),
      before && first && Date.parse(first) > Date.parse(sale_start) && t("waiting.sale_first", { sale: moment(sale_start) }),
      before && config.opens_at && Date.parse(config.opens_at) < Date.parse(sale_start) && t("waiting.sale_later", { sale: moment(sale_start) }),
      before && config.draw && config.beacon === "local" && t("waiting.beacon_is_local"),
    ].filter(Boolean);
  }

  const link = (href, key) => h("a", { href, target: "_blank", rel: "noopener" }, t(key));
  function links(at, room) {
    // A draft is nobody's but its admins': there is nothing to look at yet.
    if (at.exhibition.stage === "draft") return h("p", { class: "fine" }, t("waiting.draft"));
    const path = `/${at.code}/queue`;
    return h("p", { class: "links" }, link(path, "waiting.page"), (room.config.draw || room.draw.seed_hash) && link(`${path}/draw`, "waiting.draw_page"), h("a", { href: `#/${at.code}/live` }, t("waiting.live")));
  }

  function whole_room(at) {
    const state = h("div"), sets = h("div"), fine = h("div");
    let seen = null, closed = "";
    function draw_state(room) {
      const { config, draw } = room, missing = advice(room, at.exhibition);
      state.replaceChildren(panel(t("waiting.state"), AdminRoom.state(room), missing.length > 0 && h("ul", { class: "advice" }, missing.map((one) => h("li", null, one))), facts([
        [t("waiting.prequeue_at"), told("prequeue_at", config.prequeue_at)], config.draw && [t("waiting.freeze_at"), moment(room.closed_at ?? room.freeze_at)], [t("waiting.opens_at"), told("opens_at", config.opens_at)],
        [t("room.draw"), config.draw ? [t(draw.seed ? "waiting.is_drawn" : draw.root ? "waiting.is_closed" : draw.seed_hash ? "waiting.is_announced" : "waiting.is_planned"), " ", h("a", { href: `#/${at.code}/room/draw` }, t("waiting.more"))] : t("no")],
        [t("waiting.run"), number(room.run)]]), AdminRoom.moves(of), links(at, room)));
    }
    const of = looked_at(at, (_, room) => {
      const { config } = room;
      draw_state(room);
      // A move, say, changes no setting: whoever is typing goes on. What somebody else has set is not overwritten: the call refuses it.
      const same = seen && JSON.stringify(seen.config) === JSON.stringify(config);
      if (same) seen.revision = room.revision;
      if (!seen || closed !== fixed(room).join()) {
        seen = { ...room };
        closed = fixed(room).join();
        fine.replaceChildren(...(closed ? [notice(t(room.rehearsal?.running ? "waiting.fixed_rehearsal" : "waiting.fixed"), false)] : []));
        sets.replaceChildren(...Object.entries(PARTS).map(([name, specs]) => h("section", { class: "panel" }, h("h2", null, t(`waiting.part.${name}`)), h("p", { class: "fine" }, t(`waiting.part.${name}_lead`)), name === "schedule" && fine, part_form(of, seen, specs()))));
      }
      return [state, sets];
    });
    // Since when, and what is over by now, changes by itself.
    at.every(STATE_MS, () => { if (of.now && !state.contains(document.activeElement)) draw_state(of.now); });
  }

  Admin.page({ id: "room", key: "q", least: "admin", of: true, show(at) {
    const here = at.rest[0] || "";
    at.heading(t(here ? `waiting.tab.${here}` : "waiting.title"));
    at.root.append(h("nav", { class: "tabs", "aria-label": t("waiting.title") }, ["", "draw", "invites", "rehearsal", "history"].map((id) =>
      h("a", { href: `#/${at.code}/room${id && `/${id}`}`, "aria-current": id === here ? "page" : null }, t(id ? `waiting.tab.${id}` : "waiting.tab")))));
    if (tabs[here]) tabs[here](at);
    else at.root.append(h("p", null, t("no_page")));
  } });

  globalThis.AdminWaiting = { tabs, looked_at, in_use, link };
})();
