// The draw of a waiting room: what was announced, closed and drawn, where everybody can check it, and the beacon, whose value two
// admins enter where it comes from a public event.
(function () {
  "use strict";
  const { h, t, word, panel, badge, notice, moment_s, number } = AdminUi;
  const { form, confirm, expect } = AdminForms;
  /** A manual value is wanted from the named second on, until two have entered the same. */
  const wanted = (room) => room.config.beacon === "manual" && room.closed_at && !room.drawn_at && room.beacon_entries < 2 && Date.parse(room.beacon_at) <= Date.now();

  const hash = (name, value) => value && h("p", { class: "fine" }, t(`draw.${name}`), ": ", h("code", null, value));
  const step = (name, done, at, ...more) => h("li", { class: done ? "entry event" : "entry" },
    h("p", null, h("strong", null, t(`draw.step.${name}`)), " ", badge(t(done ? "draw.done" : "draw.to_come"), done ? "open" : "")),
    at && h("p", { class: "fine" }, moment_s(at)), h("p", { class: "fine" }, t(`draw.step.${name}_means`)), more);

  function steps(room) {
    const { draw, config } = room;
    return h("ol", { class: "timeline" },
      step("announced", draw.seed_hash, null, hash("seed_hash", draw.seed_hash), draw.seed_hash && h("p", { class: "fine" }, t(`draw.round.${config.beacon}`, { round: number(draw.round), at: moment_s(room.beacon_at) }))),
      step("closed", room.closed_at, room.closed_at ?? room.freeze_at, room.closed_at && h("p", { class: "fine" }, t("draw.people", { n: number(draw.m) })), hash("root", draw.root)),
      step("beacon", draw.beacon_value || room.beacon_entries === 2, room.beacon_at, hash("beacon_value", draw.beacon_value)),
      step("drawn", room.drawn_at, room.drawn_at, draw.weak && notice(t("draw.weak")), hash("server_seed", draw.server_seed), hash("seed", draw.seed)));
  }

  /** Where the value is entered; made once, so that what is typed stays while the page looks again. */
  function entering(of) {
    const set = form({
      fields: [{ name: "value", label: t("draw.value"), hint: t("draw.value_hint"), wide: true, maxlength: 200, autocomplete: "off", spellcheck: "false" }],
      submit: t("draw.enter"), quiet: true,
      send: async (values) => {
        expect(values, "value");
        const lines = [t("draw.enter_will", { value: values.value }), t(of.now.beacon_entries ? "draw.enter_second" : "draw.enter_first")];
        if (!(await confirm({ title: t("draw.enter"), lines, act: t("draw.enter"), danger: false, send: async () => true }))) return;
        await of.change("POST", "room/beacon", values);
        set.tell(t("draw.entered"));
      },
    });
    return set;
  }

  function beacon(room, entry) {
    const { config } = room, manual = config.beacon === "manual";
    const until = () => (room.drawn_at ? t("draw.is_drawn") : room.beacon_entries === 2 ? t("draw.agreed") : room.beacon_at ? t("draw.wanted_from", { at: moment_s(room.beacon_at) }) : t("draw.wanted_later"));
    return [h("p", { class: "phase" }, badge(word("beacon", config.beacon)), " ", badge(t(room.beacon_verified ? "draw.verified" : "draw.unverified"), room.beacon_verified ? "open" : "soon")),
      h("p", { class: "fine" }, t(`draw.about.${config.beacon}`)),
      manual && h("p", null, t("draw.entries", { n: room.beacon_entries })),
      manual && (wanted(room) ? entry : h("p", { class: "fine" }, until()))];
  }

  AdminWaiting.tabs.draw = function (at) {
    const course = h("div"), source = h("div"), about = h("div");
    const whole = h("div", { class: "halves" }, panel(t("draw.course"), course), h("div", null, panel(t("draw.beacon"), source), panel(t("draw.public"), h("p", { class: "fine" }, t("draw.public_lead")), about)));
    let entry = null, wants = null, draws = null;
    function show_beacon(of) {
      wants = `${wanted(of.now)} ${of.now.beacon_entries}`;
      const at_field = document.activeElement;
      source.replaceChildren(...beacon(of.now, (entry ??= entering(of))).flat(Infinity).filter(Boolean));
      if (entry.contains(at_field)) at_field.focus();
    }
    const of = AdminWaiting.looked_at(at, (room_of, room) => {
      const does = Boolean(room.config.draw || room.draw.seed_hash);
      if (draws !== null && draws !== does) { Admin.route(); return null; }
      draws = does;
      if (!does) {
        return [h("p", null, t("draw.none")), h("p", null, h("a", { href: `#/${at.code}/room` }, t("waiting.to_settings")))];
      }
      course.replaceChildren(steps(room));
      show_beacon(room_of);
      const data = `/api/exhibitions/${at.code}/queue`;
      about.replaceChildren(at.exhibition.stage === "draft" ? h("p", { class: "fine" }, t("waiting.draft")) : h("p", { class: "links" },
        AdminWaiting.link(`/${at.code}/queue/draw`, "waiting.draw_page"), AdminWaiting.link(`${data}/draw`, "draw.data"), AdminWaiting.link(`${data}/log`, "draw.log")));
      return whole;
    });
    // The named second comes without anything having changed.
    at.every(1000, () => { if (of.now && wants !== null && wants !== `${wanted(of.now)} ${of.now.beacon_entries}`) show_beacon(of); });
  };
})();
