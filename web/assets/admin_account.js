// One's own account: where one is signed in and written to, the second factor with its recovery codes, the PIN for gates.
(function () {
  "use strict";
  const { h, t, word, table, panel, facts, moment, ago, button, badge, say, notice } = AdminUi;
  const { form, confirm } = AdminForms;
  const password = (hint) => ({ name: "password", label: t("account.password"), hint, type: "password", autocomplete: "current-password", maxlength: 256 });
  /** A refusal of the password stands at the password. */
  const at_field = (work) => async (values) => {
    try {
      return await work(values);
    } catch (error) {
      if (error.code === "auth.invalid_credentials") error.errors = [{ field: "password", detail: error.detail }];
      if (error.code === "auth.invalid_code" || error.code === "auth.code_required") error.errors = [{ field: "code", detail: error.detail }];
      throw error;
    }
  };
  const code_field = (hint) => ({ name: "code", label: t("sign.code"), hint, autocomplete: "one-time-code", inputmode: "numeric", maxlength: 13, class: "digits" });

  /** Which browser, in the few words people know; what it says of itself stays readable behind it. */
  function browser(agent) {
    if (!agent) return t("account.unknown_browser");
    const found = (list) => list.find(([mark]) => agent.includes(mark))?.[1];
    const name = found([["Edg/", "Edge"], ["SamsungBrowser", "Samsung Internet"], ["Whale/", "Whale"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]]);
    const system = found([["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS X", "macOS"], ["Linux", "Linux"]]);
    return h("span", { title: agent }, [name, system].filter(Boolean).join(", ") || agent.slice(0, 40));
  }
  const sign_in_rows = (list, end) => list.map((one) => [browser(one.agent), one.address ?? "–", moment(one.began_at), ago(one.renewed_at), ...(end ? [end(one)] : [])]);
  const sign_in_head = [t("account.browser"), t("account.address"), t("account.began"), t("account.renewed")];

  /** Recovery codes, this once. */
  function shown_once(codes) {
    const copied = h("span", { class: "fine", role: "status" });
    const copy = button(t("account.codes_copy"), async () => { await navigator.clipboard.writeText(codes.join("\n")); copied.textContent = t("account.codes_copied"); });
    return AdminForms.show(t("account.codes_title"), h("p", null, t("account.codes_lead")), h("ul", { class: "recovery" }, codes.map((code) => h("li", null, h("code", null, code)))),
      navigator.clipboard && h("p", null, copy, " ", copied));
  }

  function second_factor(at, mine, again) {
    if (mine.second_factor) {
      const proof = () => [password(), code_field(t("sign.code_hint"))];
      const renew = button(t("account.codes_renew"), async () => {
        const made = await confirm({ title: t("account.codes_renew"), lines: t("account.codes_renew_lead"), act: t("account.codes_renew"), danger: false, fields: proof(),
          send: at_field((values) => at.call("POST", "/api/auth/second-factor/recovery-codes", values)) });
        if (made) { again(); shown_once(made.recovery_codes); }
      });
      const end = button(t("account.factor_end"), async () => {
        if (await confirm({ title: t("account.factor_end"), lines: t("account.factor_end_lead"), act: t("account.factor_end"), fields: proof(),
          send: at_field((values) => at.call("DELETE", "/api/auth/second-factor", values)) })) { AdminSession.changed(false); say(t("saved")); again(); }
      });
      return [h("p", null, badge(t("account.on"), "open"), " ", t("account.factor_on")), h("p", null, t("account.codes_left", { n: mine.recovery_codes_left })), h("p", { class: "acts" }, renew, end)];
    }
    const box = h("div");
    const begin = form({ fields: [password()], submit: t("account.factor_begin"), quiet: true, send: at_field(async (values) => {
      const begun = await at.call("POST", "/api/auth/second-factor", values);
      const put = form({ fields: [code_field()], submit: t("account.factor_confirm"), send: at_field(async (typed) => {
        const { recovery_codes } = await at.call("PUT", "/api/auth/second-factor", typed);
        const needed = AdminSession.now.second_factor_needed;
        AdminSession.changed(true);
        again();
        const codes = shown_once(recovery_codes);
        // With the next token everything is open.
        if (needed) codes.addEventListener("close", async () => { await AdminSession.renew(); Admin.route(); });
      }) });
      box.replaceChildren(h("p", null, t("account.factor_scan")),
        h("img", { class: "qr-picture", alt: t("account.factor_qr"), src: `data:image/svg+xml,${encodeURIComponent(begun.qr_svg)}` }),
        h("p", { class: "fine" }, t("account.factor_secret"), " ", h("code", null, begun.secret)), put);
      put.named.code.input.focus();
    }) });
    box.append(h("p", null, t("account.factor_off")), begin);
    return box;
  }

  function mailbox(at, mine, again) {
    const set = form({ fields: [{ name: "email", label: t("account.email"), hint: t("account.email_hint"), type: "email", autocomplete: "email", maxlength: 254 }, password(), ...(mine.second_factor ? [code_field(t("sign.code_hint"))] : [])],
      submit: t("account.email_set"), quiet: true, send: at_field(async (values) => {
        await at.call("PUT", "/api/auth/email", { password: values.password, email: values.email || null, code: values.code || null });
        say(t("saved"));
        again();
      }) });
    return [h("p", null, t("account.email_lead")), h("p", null, mine.email ? t("account.email_now", { email: mine.email }) : t("account.email_none")), set];
  }

  function pin(at) {
    const made = form({ fields: [{ name: "pin", label: t("account.pin"), hint: t("account.pin_hint"), type: "password", inputmode: "numeric", autocomplete: "off", maxlength: 6, class: "digits" }, password()],
      submit: t("account.pin_set"), quiet: true, send: at_field(async (values) => {
        await at.call("PUT", "/api/auth/pin", { password: values.password, pin: values.pin || null });
        made.reset();
        made.before(notice(values.pin ? t("account.pin_done") : t("account.pin_gone"), false));
      }) });
    return [h("p", null, t("account.pin_lead")), made];
  }

  Admin.page({ id: "account", key: "a", least: "staff", nav: false, show(at) {
    const session = AdminSession.now;
    at.heading(t("account.title"));
    if (session.second_factor_needed) at.root.append(notice(t("account.factor_needed"), false));
    at.root.append(facts([[t("account.name"), session.username], [t("account.role"), word("role", session.role)],
      [t("account.exhibitions"), session.role === "super_admin" ? t("all") : session.exhibitions.join(", ")]]));
    const mine = Admin.part(at, () => at.get("/api/auth/account"), (said) => [panel(t("account.factor"), second_factor(at, said, () => mine.again())), panel(t("account.email_title"), mailbox(at, said, () => mine.again()))]);
    const list = Admin.part(at, () => at.get("/api/auth/sign-ins"), ({ sign_ins }) => table({
      caption: t("account.sign_ins"), head: [...sign_in_head, { text: t("does"), hide: true }],
      rows: sign_in_rows(sign_ins, (one) => button(t("account.end"), async () => {
        if (await confirm({ title: t("account.end_title"), lines: t("account.end_lead"), act: t("account.end"), send: () => at.call("DELETE", `/api/auth/sign-ins/${one.id}`) })) { say(t("saved")); list.again(); }
      })),
    }));
    at.root.append(mine.box, panel(t("account.pin_title"), pin(at)), panel(t("account.sign_ins"), list.box), panel(t("keys.title"), AdminKeys.toggle(), h("p", null, button(t("keys.show"), AdminKeys.help))));
  } });

  globalThis.AdminAccount = { sign_in_rows, sign_in_head };
})();
