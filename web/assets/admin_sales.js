// The switches that pause what is sold: everything, a super admin's; one exhibition, its admins'. Never by accident, and never without
// a reason for visitors.
(function () {
  "use strict";
  const { h, t, panel, badge, button, say, language } = AdminUi;
  const { confirm } = AdminForms;
  const PATH = "/api/admin/sales";
  /** Another admin's switching is seen so soon. [ms] */
  const LOOK_MS = 15000;
  const reason = (name, lang, value) => ({ name, label: t(`room.reason_${lang}`), type: "textarea", rows: 2, maxlength: 300, lang, value, wide: true });

  function controls(at) {
    const part = Admin.part(at, () => at.get(PATH), (sales) => {
      const set = (values) => at.call("PUT", PATH, values, { if_match: sales.revision }).catch((error) => {
        // Somebody was faster: what they did is shown behind the dialog.
        if (error.code === "request.changed_meanwhile") part.again();
        throw error;
      });
      async function ask(options) { if (await confirm(options)) { say(t("saved")); part.again(); } }
      const pause = () => ask({ title: t("sales.pause"), lines: [t("sales.pause_will"), t("sales.reason_lead")], act: t("sales.pause"), fields: [reason("reason_ko", "ko", sales.reason_ko), reason("reason_en", "en", sales.reason_en)], send: (values) => set({ paused: true, ...values }) });
      const resume = () => ask({ title: t("sales.resume"), lines: t("sales.resume_will"), act: t("sales.resume"), danger: false, send: () => set({ paused: false }) });
      return [h("p", null, badge(sales.paused ? t("sales.paused") : t("sales.on"), sales.paused ? "bad" : "open")),
        sales.paused ? button(t("sales.resume"), resume) : button(t("sales.pause"), pause, { class: "quiet small danger", "data-sales": "pause" })];
    });
    return { box: panel(t("sales.title"), part.box) };
  }

  /** What visitors read while an exhibition is paused. */
  function why(now) {
    const text = language === "ko" ? now.pause_reason_ko : now.pause_reason_en;
    return now.paused && text && h("p", { class: "quote" }, text);
  }

  /** One exhibition's switch. `now`: as it was last seen; `save(changes)` changes that; `done()` follows; `again()` has it seen anew. */
  function own({ now, save, done, again }) {
    async function ask(options) { if (await confirm({ again, ...options })) { say(t("saved")); done(); } }
    if (now.paused) return button(t("sales.resume_own"), () => ask({ title: t("sales.resume_own"), lines: t("sales.resume_own_will"), act: t("sales.resume_own"), danger: false, send: () => save({ paused: false }) }), { "data-sales": "resume-own" });
    return button(t("sales.pause_own"), () => ask({
      title: t("sales.pause_own"), lines: [t("sales.pause_own_will"), t("sales.reason_lead")], act: t("sales.pause_own"),
      fields: [reason("pause_reason_ko", "ko", now.pause_reason_ko), reason("pause_reason_en", "en", now.pause_reason_en)], send: (values) => save({ paused: true, ...values }),
    }), { class: "quiet small danger", "data-sales": "pause-own" });
  }

  /** The same beside the live board. */
  function of(at) {
    const path = `/api/admin/exhibitions/${encodeURIComponent(at.code)}`;
    const part = Admin.part(at, () => at.get(path), (now) => [h("p", null, badge(t(now.paused ? "sales.paused" : "sales.not_paused"), now.paused ? "bad" : "open")), why(now), now.stage !== "archived" && own({ now, save: (changes) => at.change("PUT", path, now.revision, changes), done: part.again, again: part.again })]);
    at.every(LOOK_MS, part.again);
    return { box: panel(t("sales.own"), part.box) };
  }

  globalThis.AdminSales = { controls, of, own, why };
})();
