// Personal data: what people ask for, what would be erased and what must be kept, and everything about one of them as a file.
// A phone number that was typed is sent in a body and stands in no address.
(function () {
  "use strict";
  const { h, t, word, table, panel, facts, badge, button, notice, moment, date, local, number, days_from, today, say } = AdminUi;
  const { form, confirm } = AdminForms;
  const PATH = "/api/admin/privacy/requests", KINDS = ["erase", "export"], VERIFIED = ["phone", "email", "document", "authority"];
  const TONES = { open: "soon", waiting: "soon", done: "open" };
  const FILE_MS = 600000, SOON_DAYS = 3;

  const path = (id, rest = "") => `${PATH}/${encodeURIComponent(id)}${rest}`;
  const state = (one) => badge(word("privacy_state", one.state), TONES[one.state]);
  /** By when it is to be answered; nothing once it was. */
  function due(one) {
    if (!one.due_on) return null;
    if (one.due_on < today()) return badge(t("privacy.overdue", { day: date(one.due_on) }), "bad");
    return one.due_on <= days_from(today(), SOON_DAYS) ? badge(t("privacy.due_soon", { day: date(one.due_on) }), "soon") : date(one.due_on);
  }
  const row = (one) => [h("a", { href: `#/privacy/${one.id}` }, moment(one.asked_at)), due(one) ?? "–", word("privacy_kind", one.kind), state(one), one.asked_by ?? "–", word("privacy_verified", one.verified_by), number(one.orders_erased)];
  const list_of = (names, family) => names.map((one) => [one, word(family, one)]);

  const periods = (keep) => panel(t("privacy.periods"), h("p", { class: "fine" }, t("privacy.periods_lead")), facts([
    [t("privacy.period.contacts"), t("privacy.period.contacts_is", { n: keep.contacts_days })],
    [t("privacy.period.lapsed"), t("privacy.period.lapsed_is", { n: keep.lapsed_days })],
    [t("privacy.period.payments"), t("privacy.period.payments_is", { n: keep.payments_years })],
    [t("privacy.period.sign_ins"), t("privacy.period.days_is", { n: keep.sign_ins_days })],
    [t("privacy.period.audit"), t("privacy.period.years_is", { n: keep.audit_years })],
    [t("privacy.period.requests"), t("privacy.period.years_is", { n: keep.requests_years })],
  ]), h("p", null, h("a", { href: "#/log?action=privacy.retention" }, t("privacy.periods_log"))));

  function list(at) {
    at.heading(t("privacy.title"));
    const enter = form({
      fields: [
        { name: "kind", label: t("privacy.kind"), type: "select", options: list_of(KINDS, "privacy_kind") },
        { name: "verified_by", label: t("privacy.verified"), type: "select", options: list_of(VERIFIED, "privacy_verified") },
        { name: "phone", label: t("privacy.phone"), type: "tel", autocomplete: "off", maxlength: 20 },
        { name: "order_number", label: t("privacy.number"), hint: t("privacy.number_hint"), autocomplete: "off", spellcheck: "false", maxlength: 22 },
      ],
      submit: t("privacy.enter"),
      send: async (values) => { const made = await at.call("POST", PATH, values); say(t("saved")); Admin.go(`#/privacy/${made.id}`); },
    });
    let requests = [], next = null;
    const keep = h("div");
    const part = Admin.part(at, () => at.get(next ? `${PATH}?before=${encodeURIComponent(next)}` : PATH), (said) => {
      // One that was answered since the page before comes again, among the others.
      const known = new Set(said.requests.map(({ id }) => id));
      requests = requests.filter(({ id }) => !known.has(id)).concat(said.requests);
      next = said.next;
      keep.replaceChildren(periods(said.periods));
      return [table({
        caption: t("privacy.requests"), empty: t("privacy.none"), rows: requests.map(row),
        head: [t("privacy.asked"), t("privacy.due"), t("privacy.kind"), t("privacy.state"), t("privacy.by"), t("privacy.verified"), { text: t("privacy.erased"), num: true }],
      }), next && button(t("more"), part.again)];
    });
    at.root.append(panel(t("privacy.new"), h("p", null, t("privacy.lead")), enter), panel(t("privacy.requests"), part.box), keep);
  }

  /** What becomes of an order's contact: it goes now, or why it is kept and until when. */
  const fate = (one) => (one.kept_for ? [word("privacy_kept", one.kept_for), one.kept_until && ` (${t("privacy.until", { day: date(one.kept_until) })})`] : badge(t("privacy.goes"), "bad"));
  const order_row = (erases, one) => [h("a", { class: "number", href: `#/${one.exhibition_code}/orders/${encodeURIComponent(one.order_number)}` }, one.order_number), AdminOrders.state(one.state), moment(one.placed_at),
    ...(erases ? [h("span", null, fate(one))] : []), one.payment_until ? t("privacy.payment_until", { day: date(one.payment_until) }) : t("privacy.no_payment")];

  const day_of = (instant) => local(instant).slice(0, 10);

  function one_of(at, id) {
    at.heading(t("privacy.title"));
    const about = h("div");
    const part = Admin.part(at, () => at.get(path(id)), (one) => {
      const erases = one.kind === "erase", runs = !one.ended_at, goes = one.orders.filter((order) => !order.kept_for).length;
      async function ask(options, text) { if (await confirm(options)) { about.replaceChildren(notice(text, false)); part.again(); } }
      const erase = () => ask({
        title: t("privacy.erase_title"), act: t("privacy.erase"),
        lines: [t("privacy.erase_will", { now: number(goes) }), one.orders.length > goes && t("privacy.erase_rest", { kept: number(one.orders.length - goes) }), one.more && t("privacy.more")].filter(Boolean),
        send: () => at.call("POST", path(id, "/erase"), {}),
      }, t("privacy.erase_done"));
      const withdraw = () => ask({ title: t("privacy.withdraw"), lines: t("privacy.withdraw_will"), act: t("privacy.withdraw"), send: () => at.call("DELETE", path(id)) }, t("saved"));
      const download = () => ask({
        title: t("privacy.download_title"), lines: t("privacy.download_will"), act: t("privacy.download"), danger: false,
        send: async () => {
          const url = URL.createObjectURL(await at.call("GET", path(id, "/export"), undefined, { as: "blob", patience_ms: FILE_MS }));
          h("a", { href: url, download: `personal-data-${id}.json` }).click();
          setTimeout(() => URL.revokeObjectURL(url), 60000);
        },
      }, t("log.csv_done"));
      const head = [t("privacy.order"), t("privacy.state"), t("privacy.placed"), ...(erases ? [t("privacy.contact")] : []), t("privacy.payment")];
      return [
        facts([[t("privacy.kind"), word("privacy_kind", one.kind)], [t("privacy.state"), state(one)], [t("privacy.asked"), moment(one.asked_at)], one.due_on && [t("privacy.due"), due(one)], [t("privacy.by"), one.asked_by ?? "–"], [t("privacy.verified"), word("privacy_verified", one.verified_by)],
          one.carried_at && [t("privacy.carried"), moment(one.carried_at)], one.ended_at && [t("privacy.ended"), moment(one.ended_at)], erases && [t("privacy.erased"), number(one.orders_erased)]]),
        runs && h("p", { class: "acts" }, erases ? button(t(one.state === "waiting" ? "privacy.again" : "privacy.erase"), erase, { class: "small danger" }) : button(t("privacy.download"), download, { class: "small" }), button(t("privacy.withdraw"), withdraw)),
        runs && !erases && !one.due_on && h("p", { class: "fine" }, t("privacy.download_days", { day: date([days_from(day_of(one.asked_at), 10), day_of(one.carried_at)].sort()[1]) })),
        panel(t(erases ? "privacy.what_now" : "privacy.what_given"), table({ caption: t(erases ? "privacy.what_now" : "privacy.what_given"), empty: t("privacy.nothing_left"), head, rows: one.orders.map((order) => order_row(erases, order)) }), one.more && h("p", { class: "fine" }, t("privacy.more"))),
      ];
    });
    at.root.append(h("p", { class: "over" }, h("a", { href: "#/privacy" }, t("privacy.back"))), about, part.box);
  }

  Admin.page({ id: "privacy", key: "v", least: "super_admin", show(at) {
    if (at.rest[0]) one_of(at, at.rest[0]);
    else list(at);
  } });
})();
