// The phones at the gates: a new one is enrolled by a QR that is shown once, and one that is lost is taken back.
(function () {
  "use strict";
  const { h, t, word, table, panel, moment, ago, badge, button, number, say } = AdminUi;
  const { form, confirm, show } = AdminForms;
  const KINDS = { enrolled: "open", revoked: "", lapsed: "", waiting: "soon" };
  const LOOK_MS = 3000;

  /** What the phone's camera reads; gone once it has, or when it is closed. */
  function enrolment(at, made, gate, again) {
    const state = h("p", { role: "status" }, t("devices.wait"));
    const box = show(t("devices.qr_title"), h("p", null, t("devices.qr_lead", { gate })),
      h("img", { class: "qr-picture", alt: t("devices.qr"), src: `data:image/svg+xml,${encodeURIComponent(made.enrol_svg)}` }),
      h("p", { class: "fine" }, t("devices.qr_until", { at: moment(made.enrol_until) })),
      h("details", null, h("summary", null, t("devices.link")), h("p", null, h("code", null, made.enrol_url))), state);
    const turn = setInterval(async () => {
      if (!box.open) return clearInterval(turn);
      const said = await at.of("GET", "devices").catch(() => null);
      if (said?.devices.find((one) => one.id === made.id)?.state !== "enrolled") return;
      clearInterval(turn);
      box.querySelector("img").remove();
      state.textContent = t("devices.done");
    }, LOOK_MS);
    box.addEventListener("close", () => { clearInterval(turn); again(); });
    at.signal.addEventListener("abort", () => box.close());
  }

  AdminGates.tabs.devices = function (at) {
    const revoke = (one) => button(t("devices.revoke"), async () => {
      if (await confirm({ title: t("devices.revoke_title", { name: one.name }), lines: t("devices.revoke_lead"), act: t("devices.revoke"), send: () => at.of("POST", `devices/${one.id}/revoke`) })) { say(t("saved")); list.again(); }
    }, { class: "quiet small danger" });
    const row = (one) => [one.name, one.gate, badge(word("devices.state", one.state), KINDS[one.state]), one.staff ?? "–", one.seen_at ? ago(one.seen_at) : "–", number(one.waiting),
      one.revoked_at ? t("devices.revoked", { at: moment(one.revoked_at) }) : revoke(one)];
    const head = [t("gates.device"), t("gates.gate"), t("devices.state"), t("gates.staff"), t("gates.heard"), { text: t("gates.waiting"), num: true }, { text: t("does"), hide: true }];
    const list = Admin.part(at, () => at.of("GET", "devices"), ({ devices }) => {
      const [good, gone] = [devices.filter((one) => !one.revoked_at), devices.filter((one) => one.revoked_at)];
      return [table({ caption: t("gates.devices"), empty: t("gates.no_device"), head, rows: good.map(row) }),
        gone.length > 0 && h("details", { class: "numbers" }, h("summary", null, t("devices.gone", { n: number(gone.length) })), table({ caption: t("devices.gone", { n: number(gone.length) }), head, rows: gone.map(row) }))];
    });
    const add = form({
      fields: [{ name: "gate", label: t("devices.at_gate"), hint: t("devices.at_gate_hint"), maxlength: 40, required: true }, { name: "name", label: t("devices.name"), hint: t("devices.name_hint"), maxlength: 40, required: true }],
      submit: t("devices.add"),
      send: async (values) => {
        const made = await at.of("POST", "devices", values);
        add.named.name.input.value = "";
        list.again();
        enrolment(at, made, values.gate, list.again);
      },
    });
    at.root.append(panel(t("devices.add"), add), panel(t("gates.devices"), list.box));
  };
})();
