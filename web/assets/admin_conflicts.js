// Admissions that happened and should not have: somebody says what each was, once.
(function () {
  "use strict";
  const { h, t, word, moment, badge, button, say } = AdminUi;
  const { confirm } = AdminForms;
  const DECISIONS = ["honest", "mistake", "fraud"];

  const place = (name, one) => one && h("p", null, h("strong", null, name), " ", moment(one.at), " · ", [one.gate, one.device, one.staff].filter(Boolean).join(" · "),
    one.device_at && h("span", { class: "fine" }, " ", t("conflicts.device_at", { at: moment(one.device_at) })));

  function decide(at, one, again) {
    return DECISIONS.map((decision) => button(word("conflicts.decision", decision), async () => {
      const done = await confirm({
        title: word("conflicts.decision", decision), lines: [t(`conflicts.will.${decision}`), t("conflicts.once")], act: t("conflicts.decide"), danger: decision === "fraud",
        fields: [{ name: "note", label: t("conflicts.note"), type: "textarea", maxlength: 500, wide: true }],
        send: ({ note }) => at.of("POST", `entry-conflicts/${one.id}/decide`, { decision, note: note || null }),
      });
      if (done) { say(t("saved")); again(); }
    }));
  }

  const shown = (at, one, again) => h("li", { class: "conflict" },
    h("h2", null, word("conflicts.kind", one.kind)),
    h("p", { class: "fine" }, [one.order_number, one.ticket_no && t("conflicts.ticket", { n: one.ticket_no, of: one.of }), moment(one.created_at)].filter(Boolean).join(" · ")),
    place(t("conflicts.scan"), one.scan), place(t("conflicts.other"), one.other),
    one.decision ? h("p", null, badge(word("conflicts.decision", one.decision)), " ", h("span", { class: "fine" }, t("conflicts.by", { by: one.decided_by ?? "–", at: moment(one.decided_at) })), one.note && h("span", null, ` ${one.note}`))
      : h("p", { class: "acts" }, decide(at, one, again)));

  AdminGates.tabs.conflicts = function (at) {
    const decided = h("input", { type: "checkbox", onchange: () => list.again() }), more = h("div");
    const path = (after) => `entry-conflicts?decided=${decided.checked}${after ? `&after=${after}` : ""}`;
    const items = (said) => said.conflicts.map((one) => shown(at, one, () => list.again()));
    const list = Admin.part(at, () => at.of("GET", path()), (said) => {
      const all = h("ul", { class: "cards" }, items(said));
      let next = said.next;
      const further = button(t("more"), async () => {
        const page = await at.of("GET", path(next)).catch((error) => { more.replaceChildren(AdminUi.notice(error.detail)); return null; });
        if (!page) return;
        all.append(...items(page));
        next = page.next;
        further.hidden = !next;
      });
      further.hidden = !next;
      return said.conflicts.length ? [all, further, more] : h("p", { class: "fine empty" }, t("conflicts.none"));
    });
    at.root.append(h("p", null, t("conflicts.lead")), h("label", { class: "check" }, decided, h("span", null, t("conflicts.decided"))), list.box);
  };
})();
