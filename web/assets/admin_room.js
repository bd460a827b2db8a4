// The waiting room's controls: how many and how fast, and its moves, each with what it means for those who wait. The board has them
// beside it, and the room's own page has its state and its moves from here.
(function () {
  "use strict";
  const { h, t, word, panel, badge, age, moment, number, facts, say, notice } = AdminUi;
  const { form, confirm } = AdminForms;
  const ORDER = ["open", "paused", "drain", "stopped", "prequeue", "frozen", "bypass", "ended", "idle"];
  /** Another admin's changes are seen so soon; the board itself tells of a move at once. [ms] */
  const LOOK_MS = 15000;
  const CALM = ["open", "prequeue", "frozen", "idle"], EXPLAINED = ["paused", "stopped"];
  /** A move that undoes another has a name of its own. */
  const name_of = (from, to) => (to === "open" && ["paused", "stopped", "drain"].includes(from) ? t("room.resume") : word("room.to", to));

  /** What the room is. */
  function state(room) {
    const reason = AdminUi.language === "ko" ? room.reason_ko : room.reason_en;
    return [
      h("p", { class: "phase" }, badge(word("room.phase", room.phase), room.phase === "open" ? "open" : EXPLAINED.includes(room.phase) ? "bad" : ""), " ", room.phase !== "idle" && h("span", { class: "fine" }, t("room.since", { age: age(Date.now() - Date.parse(room.phase_since)) }))),
      h("p", { class: "fine" }, word("room.means", room.phase)), reason && h("p", { class: "quote" }, reason), rehearsing(room.rehearsal)].flat().filter(Boolean);
  }
  const rehearsing = (one) => one?.running && notice(t("room.rehearsal", { until: moment(one.ends_at) }), false,
    h("p", { class: "fine" }, t("room.rehearsal_of", { people: number(one.people), by: one.user_name })));

  /** Where it may go: `of.now` is the room, `of.change` does it. `more` stands beside the moves. */
  function moves(of, more) {
    const room = of.now;
    return h("div", { class: "moves" }, ORDER.filter((to) => room.legal_moves.includes(to)).map((to) =>
      h("button", { type: "button", class: `small ${CALM.includes(to) ? "quiet" : "danger quiet"}`, "data-to": to, onclick: () => move(of, to) }, name_of(room.phase, to))), more);
  }

  function move(of, to) {
    // What was asked is about the room as it is now. Whoever was faster is told of first; a second try knows of it.
    let seen = of.now.revision;
    async function send(values) {
      try {
        return await of.change("POST", "room/phase", { to, ...values }, seen ?? of.now.revision);
      } catch (error) {
        if ([409, 412].includes(error.status)) seen = null;
        throw error;
      }
    }
    const room = of.now, reason = (language, lang) => ({ name: `reason_${lang}`, label: language, type: "textarea", maxlength: 300, lang, rows: 2, wide: true, value: room[`reason_${lang}`] });
    return confirm({
      title: name_of(room.phase, to), lines: [t(`room.will.${to}`), EXPLAINED.includes(to) && t("room.reason_lead")].filter(Boolean), act: name_of(room.phase, to), danger: !CALM.includes(to),
      fields: EXPLAINED.includes(to) ? [reason(t("room.reason_ko"), "ko"), reason(t("room.reason_en"), "en")] : [],
      send,
    });
  }

  const asked = (name, value, min, max) => ({ name, label: t(`room.${name}`), hint: t("setup.between", { min: number(min), max: number(max) }), type: "number", value, min, max, required: true });
  /** What a rehearsal is asked with. */
  const rehearsal_fields = () => [asked("people", 1000, 1, 100000), asked("arrive_s", 60, 10, 3600), asked("abandon_pct", 10, 0, 90), asked("stay_s", 60, 10, 600), { name: "during_sale", label: t("room.during_sale"), type: "checkbox", wide: true }];
  const may_rehearse = (room) => ["idle", "bypass", "ended"].includes(room.phase);

  /** With simulated visitors, before the day. It ends by itself, or by the move to its end. */
  const rehearse = (of) => confirm({
    title: t("room.rehearse"), lines: [t("room.rehearse_will"), t("room.rehearse_ends")], act: t("room.rehearse"), danger: false, fields: rehearsal_fields(),
    send: (values) => of.change("POST", "room/rehearsal", values, of.now.revision),
  });

  function controls(at) {
    let seen = "";
    const of = { now: null, change };
    const about = h("div"), move_box = h("div"), missed = h("div"), pace = h("div");
    const part = Admin.part(at, () => at.of("GET", "room"), (said) => { take(said); return [about, move_box, missed, pace]; });

    /** Whoever was faster has changed it: what they did is shown, and nothing of ours was done. */
    async function change(method, path, body, seen) {
      try {
        take(await at.of(method, path, body, { if_match: seen }));
        say(t("saved"));
        return true;
      } catch (error) {
        if (error.status === 412 || error.code === "room.illegal_move") at.of("GET", "room").then(take).catch(() => {});
        throw error;
      }
    }

    function take(said) {
      const same_settings = of.now && JSON.stringify(of.now.config) === JSON.stringify(said.config);
      of.now = said;
      seen = said.phase;
      about.replaceChildren(...state(said));
      move_box.replaceChildren(moves(of, may_rehearse(said) && h("button", { type: "button", class: "quiet small", onclick: () => rehearse(of) }, t("room.rehearse"))));
      // What somebody is typing stays, until somebody else has set it.
      if (!same_settings) pace.replaceChildren(settings(said.config), facts(schedule(said)));
    }

    const whole = (name, value, least) => ({ name, label: t(`room.${name}`), type: "number", min: least, required: true, value, hint: t(`room.${name}_hint`) });
    function settings(config) {
      const set = form({
        fields: [whole("rate_per_min", config.rate_per_min, 1), whole("capacity", config.capacity, 1)], submit: t("room.set"), quiet: true,
        send: async (values) => {
          // What is refused anyway is not asked about.
          const far = (name) => values[name] >= 1 && (values[name] < config[name] / 2 || values[name] > config[name] * 2);
          const step = (name) => ({ from: number(config[name]), to: number(values[name]) });
          const lines = [far("rate_per_min") && t("room.set_will", step("rate_per_min")), far("capacity") && t("room.set_will_capacity", step("capacity"))].filter(Boolean);
          missed.replaceChildren();
          // The form is drawn anew with what somebody else has set: why it was stays beside it.
          const send = () => change("PUT", "room", { config: values }, of.now.revision).catch((error) => {
            if (error.status === 412) missed.replaceChildren(notice(error.detail));
            throw error;
          });
          // A digit too few or too many is told before thousands feel it.
          if (!lines.length) return send();
          return confirm({ title: t("room.set"), lines, act: t("room.set"), send });
        },
      });
      return set;
    }
    const schedule = ({ config, draw }) => [
      config.prequeue_at && [t("room.prequeue_at"), moment(config.prequeue_at)], config.opens_at && [t("room.opens_at"), moment(config.opens_at)],
      [t("room.draw"), config.draw ? t("yes") : t("no")], draw?.seed_hash && [t("room.committed"), h("code", null, draw.seed_hash.slice(0, 16))]];

    at.every(LOOK_MS, part.look);
    return {
      box: panel(t("room.title"), part.box, h("p", { class: "fine" }, h("a", { href: `#/${at.code}/room` }, t("waiting.all")))),
      /** What the board says of the room: where that is news, the controls follow. */
      see: (live) => { if (live && seen && live.phase !== seen) { seen = live.phase; part.again(); } },
    };
  }

  globalThis.AdminRoom = { controls, state, moves, rehearsal_fields, may_rehearse };
})();
