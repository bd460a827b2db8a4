// The switch that pauses everything that is sold here: a super admin's, and never by accident.
(function () {
  "use strict";
  const { h, t, panel, badge, button, say } = AdminUi;
  const { confirm } = AdminForms;
  const PATH = "/api/admin/sales";

  function controls(at) {
    const reason = (lang, value) => ({ name: `reason_${lang}`, label: t(`room.reason_${lang}`), type: "textarea", rows: 2, maxlength: 300, lang, value, wide: true });
    const part = Admin.part(at, () => at.get(PATH), (sales) => {
      const set = (values) => at.call("PUT", PATH, values, { if_match: sales.revision }).catch((error) => {
        // Somebody was faster: what they did is shown behind the dialog.
        if (error.code === "request.changed_meanwhile") part.again();
        throw error;
      });
      async function ask(options) { if (await confirm(options)) { say(t("saved")); part.again(); } }
      const pause = () => ask({ title: t("sales.pause"), lines: [t("sales.pause_will"), t("sales.reason_lead")], act: t("sales.pause"), fields: [reason("ko", sales.reason_ko), reason("en", sales.reason_en)], send: (values) => set({ paused: true, ...values }) });
      const resume = () => ask({ title: t("sales.resume"), lines: t("sales.resume_will"), act: t("sales.resume"), danger: false, send: () => set({ paused: false }) });
      return [h("p", null, badge(sales.paused ? t("sales.paused") : t("sales.on"), sales.paused ? "bad" : "open")),
        sales.paused ? button(t("sales.resume"), resume) : button(t("sales.pause"), pause, { class: "quiet small danger", "data-sales": "pause" })];
    });
    return { box: panel(t("sales.title"), part.box) };
  }

  globalThis.AdminSales = { controls };
})();
