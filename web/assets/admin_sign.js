// Signing in: name and password, then the code of the second factor where there is one. And what helps whoever has forgotten
// their password: a mailed link, whose token stays in this script alone.
(function () {
  "use strict";
  const { h, t, notice } = AdminUi;
  const { form } = AdminForms;
  const sign = { why: "", show, forgot, reset, linked };
  let token = "";

  /** Whether the address is that of a link. Its token goes from there, and so from the history, as soon as it is read. */
  function linked() {
    const found = location.hash.match(/^#\/reset(?:\/(.*))?$/);
    if (found?.[1]) {
      token = found[1];
      history.replaceState(null, "", "#/reset");
    }
    return Boolean(found);
  }
  linked();

  function frame(main, title, heading, ...children) {
    main.replaceChildren(h("div", { class: "page sign" }, h("h1", { tabindex: "-1" }, heading), children));
    document.title = `${heading} · ${title}`;
  }
  const back = () => h("p", { class: "over" }, h("a", { href: "#/" }, t("forgot.back")));

  function forgot(main, title) {
    const said = h("div");
    const asked = form({
      fields: [{ name: "username", label: t("sign.username"), autocomplete: "username", required: true, maxlength: 128 }],
      submit: t("forgot.send"),
      send: async (values) => {
        AdminForms.expect(values, "username");
        const { minutes } = await AdminSession.plainly("POST", "/api/auth/password-reset", values);
        asked.remove();
        said.replaceChildren(notice(t("forgot.sent", { minutes }), false, h("p", null, t("forgot.no_mail"))));
      },
    });
    frame(main, title, t("forgot.title"), h("p", null, t("forgot.lead")), said, asked, back());
    asked.named.username.input.focus();
  }

  function reset(main, title) {
    if (!token) return frame(main, title, t("reset.title"), notice(t("reset.lost")), h("p", null, h("a", { href: "#/forgot" }, t("reset.again"))), back());
    const about = h("div");
    const set = form({
      fields: [{ name: "password", label: t("people.password"), hint: t("people.password_hint"), type: "password", autocomplete: "new-password", required: true, maxlength: 256 }],
      submit: t("reset.submit"),
      send: async (values) => {
        about.replaceChildren();
        try {
          await AdminSession.plainly("POST", "/api/auth/password-reset/complete", { token, password: values.password });
        } catch (error) {
          if (error.code !== "auth.reset_over") throw error;
          token = "";
          set.remove();
          about.replaceChildren(notice(error.detail, true, h("p", null, h("a", { href: "#/forgot" }, t("reset.again")))));
          return;
        }
        token = "";
        if (AdminSession.now) await AdminSession.sign_out();
        sign.why = t("reset.done");
        Admin.go("#/");
      },
    });
    frame(main, title, t("reset.title"), h("p", null, t("reset.lead")), about, set, back());
    set.named.password.input.focus();
  }

  function show(main, title, done) {
    const about = h("div");
    if (sign.why) about.append(notice(sign.why, false));
    sign.why = "";
    const box = h("div", { class: "page sign" }, h("h1", { tabindex: "-1" }, t("sign.title")), about);
    const first = form({
      fields: [
        { name: "username", label: t("sign.username"), autocomplete: "username", required: true, maxlength: 128 },
        { name: "password", label: t("sign.password"), type: "password", autocomplete: "current-password", required: true, maxlength: 256 },
      ],
      submit: t("sign.in"),
      send: (values) => attempt(values, done, () => second(values)),
    });
    /** The password was right; the same is sent again, with the code. */
    function second({ username, password }) {
      const code = form({
        fields: [{ name: "code", label: t("sign.code"), hint: t("sign.code_hint"), autocomplete: "one-time-code", inputmode: "numeric", maxlength: 13, required: true, class: "digits" }],
        submit: t("sign.go_on"),
        send: (values) => attempt({ username, password, code: values.code }, done),
        cancel: h("button", { type: "button", class: "quiet small", onclick: () => { code.replaceWith(first); first.named.password.input.focus(); } }, t("sign.back")),
      });
      about.replaceChildren();
      first.replaceWith(code);
      code.named.code.input.focus();
    }
    box.append(first, h("p", { class: "over" }, h("a", { href: "#/forgot" }, t("sign.forgot"))));
    main.replaceChildren(box);
    document.title = `${t("sign.title")} · ${title}`;
    first.named.username.input.focus();
  }

  async function attempt(ask, done, code_wanted) {
    try {
      await AdminSession.sign_in(ask);
      done();
    } catch (error) {
      if (error.code === "auth.code_required" && code_wanted) return code_wanted();
      if (error.code === "auth.invalid_code") error.errors = [{ field: "code", detail: error.detail }];
      throw error;
    }
  }

  globalThis.AdminSign = sign;
})();
