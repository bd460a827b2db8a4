// A rehearsal of a waiting room with simulated visitors, and what was done to the room so far.
(function () {
  "use strict";
  const { h, t, word, number, panel, table, facts, button, notice, moment, badge } = AdminUi;
  const { form, confirm } = AdminForms;
  const LOOK_MS = 2000, FIGURES = ["joined", "waiting", "called", "inside", "done", "abandoned"];

  const tiles = ({ figures }) => h("div", { class: "tiles" }, FIGURES.map((name) => h("div", { class: "tile" }, h("span", { class: "name" }, t(`rehearsal.${name}`)), h("strong", { "data-figure": name }, number(figures[name])))));
  const asked_for = (one) => facts([[t("room.people"), number(one.people)], [t("room.arrive_s"), number(one.arrive_s)], [t("room.abandon_pct"), number(one.abandon_pct)], [t("room.stay_s"), number(one.stay_s)],
    [t("rehearsal.began"), `${moment(one.began_at)} · ${one.user_name}`], one.running ? [t("rehearsal.ends"), moment(one.ends_at)] : [t("rehearsal.ended"), moment(one.ended_at)]]);

  AdminWaiting.tabs.rehearsal = function (at) {
    const now = h("div"), last = h("div"), whole = [h("section", { class: "panel" }, h("p", { class: "fine" }, t("rehearsal.lead")), now), panel(t("rehearsal.visitors"), last)];
    let set = null, drawn = "";
    const begin = (of) => {
      const made = form({
        fields: AdminRoom.rehearsal_fields(), submit: t("room.rehearse"),
        send: async (values) => {
          if (!(await confirm({ title: t("room.rehearse"), lines: [t("room.rehearse_will"), t("room.rehearse_ends"), values.during_sale && t("rehearsal.during_sale_will")].filter(Boolean), act: t("room.rehearse"), danger: false, send: async () => true }))) return;
          await of.change("POST", "room/rehearsal", values, of.now.revision);
        },
      });
      return made;
    };
    const end = (of) => button(t("rehearsal.end"), () => confirm({ title: t("rehearsal.end"), lines: t("rehearsal.end_will"), act: t("rehearsal.end"), send: () => of.change("DELETE", "room/rehearsal") }), { class: "small danger quiet" });

    AdminWaiting.looked_at(at, (of, room) => {
      const one = room.rehearsal, state = one?.running ? "running" : AdminRoom.may_rehearse(room) ? "free" : "busy";
      // What somebody is typing stays, and so does the button that somebody is at.
      if (state !== drawn) {
        now.replaceChildren(...(state === "running" ? [h("p", { class: "acts" }, end(of))] : state === "free" ? [(set ??= begin(of))] : [notice(t("rehearsal.busy", { phase: word("room.phase", room.phase) }), false)]));
      }
      drawn = state;
      last.replaceChildren(...(one ? [h("p", { class: "phase" }, badge(t(one.running ? "rehearsal.running" : "rehearsal.over"), one.running ? "soon" : ""), " ", h("span", { class: "fine" }, t("rehearsal.run", { run: number(one.run) }))), tiles(one), asked_for(one)] : [h("p", { class: "fine empty" }, t("rehearsal.none"))]));
      return whole;
    }, { every_ms: LOOK_MS, figures: true });
  };

  AdminWaiting.tabs.history = function (at) {
    let entries = [], next = null;
    // Admit does some of it by itself: by the schedule, say.
    const who = (one) => (one.role === "system" ? t("waiting.by_itself") : one.user_name);
    const part = Admin.part(at, () => at.of("GET", next ? `room/audit?before=${next}` : "room/audit"), (said) => {
      entries = entries.concat(said.entries);
      next = said.next;
      return [table({ caption: t("waiting.tab.history"), empty: t("waiting.no_history"), head: [t("log.at"), t("log.user"), t("log.action"), t("log.change")],
        rows: entries.map((one) => [moment(one.at), who(one), word("action", one.action), AdminLog.difference(one.before, one.after, AdminLog.called(one.action))]) }), next && button(t("more"), part.again)];
    });
    at.root.append(h("p", { class: "fine" }, t("waiting.history_lead"), " ", h("a", { href: `#/log?exhibition=${at.code}&action=room.` }, t("room.log"))), part.box);
  };
})();
