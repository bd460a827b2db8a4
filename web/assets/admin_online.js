// Who is there: people who are signed in, and the devices of the gates with whoever is on shift.
(function () {
  "use strict";
  const { h, t, word, number, table, panel, ago, age, badge, button, say, moment } = AdminUi;
  const { confirm } = AdminForms;
  const LOOK_MS = 10000, STALE_S = 30;
  const num = (text) => ({ text, num: true });

  AdminOperations.tabs.online = function (at) {
    async function ask(options) {
      if (await confirm(options)) { say(t("saved")); part.again(); }
    }
    const sign_out = (one) => !one.oneself && button(t("people.end_all"), () => ask({ title: t("people.end_all"), lines: t("people.end_all_will", { name: one.username }), act: t("people.end_all"), send: () => at.call("DELETE", `/api/admin/users/${encodeURIComponent(one.username)}/sign-ins`) }), { class: "quiet small danger", "aria-label": `${t("people.end_all")}: ${one.username}` });
    const revoke = (one) => button(t("devices.revoke"), () => ask({ title: t("devices.revoke_title", { name: one.name }), lines: t("devices.revoke_lead"), act: t("devices.revoke"), send: () => at.call("POST", `/api/admin/exhibitions/${encodeURIComponent(one.exhibition_code)}/devices/${one.id}/revoke`) }), { class: "quiet small danger", "aria-label": `${t("devices.revoke")}: ${one.name}` });
    const name = (one) => (one.oneself ? h("a", { href: "#/account" }, t("online.you", { name: one.username })) : h("a", { href: `#/people/${encodeURIComponent(one.username)}` }, one.username));
    const seen = (one) => (one.seen_at ? badge(ago(one.seen_at), "open") : badge(t("online.quiet")));
    const person = (one) => [name(one), word("role", one.role), one.role === "super_admin" ? t("all") : one.exhibitions.join(", "), seen(one), one.renewed_at ? ago(one.renewed_at) : "–", number(one.sign_ins), sign_out(one) || "–"];
    const heard = (one) => (one.lag_s === null ? "–" : badge(t("ago", { age: age(one.lag_s * 1000) }), one.lag_s < STALE_S ? "open" : "bad"));
    const shift = (one) => (one.staff ? [one.staff, h("span", { class: "fine under" }, t("online.since", { at: moment(one.shift_began_at) }))] : "–");
    const device = (one) => [one.name, one.exhibition_code, one.gate, heard(one), number(one.waiting), shift(one), revoke(one)];
    const part = Admin.part(at, () => at.get("/api/admin/online"), (said) => [
      panel(t("online.people", { n: number(said.people.length) }), h("p", { class: "fine" }, t("online.people_lead")), table({ caption: t("online.people", { n: number(said.people.length) }), head: [t("people.name"), t("people.role"), t("people.exhibitions"), t("online.called"), t("online.renewed"), num(t("online.sign_ins")), { text: t("does"), hide: true }], rows: said.people.map(person) })),
      panel(t("online.devices", { n: number(said.devices.length), shifts: number(said.shifts_open) }), table({ caption: t("gates.devices"), empty: t("gates.no_device"), head: [t("gates.device"), t("exhibition"), t("gates.gate"), t("gates.heard"), num(t("gates.waiting")), t("gates.staff"), { text: t("does"), hide: true }], rows: said.devices.map(device) })),
    ]);
    at.root.append(h("p", { class: "fine" }, t("online.lead")), part.box);
    at.every(LOOK_MS, part.look);
  };
})();
