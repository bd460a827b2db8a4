// Signing in: name and password, then the code of the second factor where there is one.
(function () {
  "use strict";
  const { h, t, notice } = AdminUi;
  const { form } = AdminForms;
  const sign = { why: "", show };

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
        fields: [{ name: "code", label: t("sign.code"), hint: t("sign.code_hint"), autocomplete: "one-time-code", inputmode: "numeric", maxlength: 6, required: true, class: "digits" }],
        submit: t("sign.go_on"),
        send: (values) => attempt({ username, password, code: values.code }, done),
        cancel: h("button", { type: "button", class: "quiet small", onclick: () => { code.replaceWith(first); first.named.password.input.focus(); } }, t("sign.back")),
      });
      about.replaceChildren();
      first.replaceWith(code);
      code.named.code.input.focus();
    }
    box.append(first);
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
