// The waiting room's controls: how many and how fast, and its moves, each with what it means for those who wait.
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

  function controls(at) {
    let room = null, seen = "";
    const about = h("div"), moves = h("div"), pace = h("div");
    const part = Admin.part(at, () => at.of("GET", "room"), (said) => { take(said); return [about, moves, pace]; });

    /** Whoever was faster has changed it: what they did is shown, and nothing of ours was done. */
    async function change(method, path, body) {
      try {
        take(await at.of(method, path, body));
        say(t("saved"));
        return true;
      } catch (error) {
        if (error.code === "room.changed_meanwhile" || error.code === "room.illegal_move") at.of("GET", "room").then(take).catch(() => {});
        throw error;
      }
    }

    function move(to) {
      const reason = (language, lang) => ({ name: `reason_${lang}`, label: language, type: "textarea", maxlength: 300, lang, rows: 2, wide: true, value: room[`reason_${lang}`] });
      return confirm({
        title: name_of(room.phase, to), lines: [t(`room.will.${to}`), EXPLAINED.includes(to) && t("room.reason_lead")].filter(Boolean), act: name_of(room.phase, to), danger: !CALM.includes(to),
        fields: EXPLAINED.includes(to) ? [reason(t("room.reason_ko"), "ko"), reason(t("room.reason_en"), "en")] : [],
        send: (values) => change("POST", "room/phase", { to, revision: room.revision, ...values }),
      });
    }

    function take(said) {
      const same_settings = room && JSON.stringify(room.config) === JSON.stringify(said.config);
      room = said;
      seen = said.phase;
      const reason = AdminUi.language === "ko" ? said.reason_ko : said.reason_en;
      about.replaceChildren(
        h("p", { class: "phase" }, badge(word("room.phase", said.phase), said.phase === "open" ? "open" : said.phase === "paused" || said.phase === "stopped" ? "bad" : ""), " ", said.phase !== "idle" && h("span", { class: "fine" }, t("room.since", { age: age(Date.now() - Date.parse(said.phase_since)) }))),
        h("p", { class: "fine" }, word("room.means", said.phase)), ...(reason ? [h("p", { class: "quote" }, reason)] : []),
        ...rehearsing(said.rehearsal));
      const legal = ORDER.filter((to) => said.legal_moves.includes(to));
      moves.replaceChildren(h("div", { class: "moves" }, legal.map((to) =>
        h("button", { type: "button", class: `small ${CALM.includes(to) ? "quiet" : "danger quiet"}`, "data-to": to, onclick: () => move(to) }, name_of(said.phase, to))), before_the_day()));
      // What somebody is typing stays, until somebody else has set it.
      if (!same_settings) pace.replaceChildren(settings(said.config), facts(schedule(said)));
    }

    const rehearsing = (one) => (one?.running ? [notice(t("room.rehearsal", { until: moment(one.ends_at) }), false,
      h("p", { class: "fine" }, t("room.rehearsal_of", { people: number(one.people), by: one.user_name })))] : []);

    /** With simulated visitors, before the day. It ends by itself, or by the move to its end. */
    function rehearse() {
      const asked = (name, value, min, max) => ({ name, label: t(`room.${name}`), type: "number", value, min, max, required: true });
      return confirm({
        title: t("room.rehearse"), lines: [t("room.rehearse_will"), t("room.rehearse_ends")], act: t("room.rehearse"), danger: false,
        fields: [asked("people", 1000, 1, 100000), asked("arrive_s", 60, 10, 3600), asked("abandon_pct", 10, 0, 90), asked("stay_s", 60, 10, 600), { name: "during_sale", label: t("room.during_sale"), type: "checkbox" }],
        send: (values) => change("POST", "room/rehearsal", { revision: room.revision, ...values }),
      });
    }
    const before_the_day = () => ["idle", "bypass", "ended"].includes(room.phase) && h("button", { type: "button", class: "quiet small", onclick: rehearse }, t("room.rehearse"));

    const whole = (name, value, least) => ({ name, label: t(`room.${name}`), type: "number", min: least, required: true, value, hint: t(`room.${name}_hint`) });
    function settings(config) {
      const set = form({
        fields: [whole("rate_per_min", config.rate_per_min, 1), whole("capacity", config.capacity, 1)], submit: t("room.set"), quiet: true,
        send: async (values) => {
          const far = (name) => values[name] !== null && (values[name] < config[name] / 2 || values[name] > config[name] * 2);
          const of = (name) => ({ from: number(config[name]), to: number(values[name]) });
          const lines = [far("rate_per_min") && t("room.set_will", of("rate_per_min")), far("capacity") && t("room.set_will_capacity", of("capacity"))].filter(Boolean);
          const send = () => change("PUT", "room", { revision: room.revision, config: values });
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
      box: panel(t("room.title"), part.box, h("p", { class: "fine" }, h("a", { href: `#/log?exhibition=${at.code}&action=room.` }, t("room.log")))),
      /** What the board says of the room: where that is news, the controls follow. */
      see: (live) => { if (live && seen && live.phase !== seen) { seen = live.phase; part.again(); } },
    };
  }

  globalThis.AdminRoom = { controls };
})();
