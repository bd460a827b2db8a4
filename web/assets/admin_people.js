// Accounts: who may sign in, as what, for which exhibitions. One sees those that one may run.
(function () {
  "use strict";
  const { h, t, word, number, moment, table, panel, badge, button, say, notice, named, facts } = AdminUi;
  const { form, confirm } = AdminForms;

  const roles = () => (AdminSession.now.role === "super_admin" ? ["super_admin", "admin", "support", "staff"] : ["support", "staff"]);
  const role_field = (value) => ({ name: "role", label: t("people.role"), type: "select", value, options: roles().map((role) => [role, word("role", role)]) });
  const exhibition_field = (value) => ({ name: "exhibitions", label: t("people.exhibitions"), type: "boxes", value, wide: true, options: Admin.exhibitions.map((one) => [one.code, `${named(one)} (${one.code})`]) });
  const password_field = () => ({ name: "password", label: t("people.password"), hint: t("people.password_hint"), type: "password", autocomplete: "new-password", maxlength: 256 });
  /** A super admin's are all, so none is named. */
  const belongs = (values) => ({ ...values, exhibitions: values.role === "super_admin" ? [] : values.exhibitions });
  const RANKS = ["super_admin", "admin", "support", "staff"], rises = (from, to) => RANKS.indexOf(to) < RANKS.indexOf(from);
  function follow(made) {
    const role = made.named.role.input, fit = () => { made.named.exhibitions.row.hidden = role.value === "super_admin"; };
    role.addEventListener("change", fit);
    fit();
    return made;
  }
  const path = (name, rest = "") => `/api/admin/users/${encodeURIComponent(name)}${rest}`;
  /** Somebody mistypes now and then; so many wrong tries in unknown browsers are no mistakes. */
  const ATTACK = 10;
  const attacked = (one) => Boolean(one.tries) && (one.tries.failed >= ATTACK || one.tries.codes > 0 || Boolean(one.tries.locked_until));
  const state = (one) => [one.disabled ? badge(t("people.disabled"), "bad") : badge(t("people.active"), "open"), attacked(one) && [" ", badge(t("people.attacked"), "bad")]];
  const attack = ({ tries }) => [t("people.attack_since", { since: moment(tries.since), n: number(tries.failed) }), tries.codes > 0 && t("people.attack_codes", { n: number(tries.codes) }),
    tries.locked_until && t("people.attack_locked", { until: moment(tries.locked_until) })].filter(Boolean);

  function list(at) {
    at.heading(t("people.title"), h("a", { class: "button quiet small", href: "#/people/+" }, t("people.new")));
    const search = h("input", { type: "search", id: "people-search", autocomplete: "off", spellcheck: "false", placeholder: t("people.search_hint"), oninput: () => draw() });
    const box = h("div");
    let users = [];
    function draw() {
      const sought = search.value.trim().toLowerCase();
      const found = users.filter((one) => [one.username, word("role", one.role), ...one.exhibitions].some((text) => text.toLowerCase().includes(sought)));
      box.replaceChildren(table({
        caption: t("people.title"), empty: t("people.none"), head: [t("people.name"), t("people.role"), t("people.exhibitions"), t("people.state"), t("people.factor")],
        rows: found.map((one) => [h("a", { href: `#/people/${encodeURIComponent(one.username)}` }, one.username), word("role", one.role), one.role === "super_admin" ? t("all") : one.exhibitions.join(", "), state(one), one.second_factor ? t("yes") : t("no")]),
      }));
    }
    const part = Admin.part(at, () => at.get("/api/admin/users"), (said) => { users = said.users; draw(); return box; });
    at.root.append(h("p", { class: "field seek" }, h("label", { for: "people-search" }, t("people.search")), search), part.box);
    if (AdminSession.may("super_admin")) at.root.append(panel(t("people.rules"), h("p", null, t("people.rules_lead")), rules(at)));
  }

  function rules(at) {
    const part = Admin.part(at, () => at.call("GET", "/api/admin/account-rules", undefined, { as: "tagged" }), ({ tag, body }) => form({
      inline: true, quiet: true, submit: t("save"), done: t("saved"), again: () => part.again(),
      fields: [{ name: "second_factor_from", label: t("people.rules_from"), type: "select", value: body.second_factor_from ?? "",
        options: [["", t("people.rules_nobody")], ...["super_admin", "admin", "support"].map((role) => [role, role === "super_admin" ? word("role", role) : t("people.rules_above", { role: word("role", role) })])] }],
      send: async (values) => { await at.change("PUT", "/api/admin/account-rules", tag, { second_factor_from: values.second_factor_from || null }); await part.again(); },
    }));
    return part.box;
  }

  function create(at) {
    at.heading(t("people.new"));
    const set = follow(form({
      fields: [{ name: "username", label: t("people.name"), hint: t("people.name_hint"), autocomplete: "off", spellcheck: "false", autocapitalize: "none", maxlength: 32 }, password_field(), role_field("staff"), exhibition_field(Admin.exhibitions.length === 1 ? [Admin.exhibitions[0].code] : [])],
      submit: t("people.create"),
      send: async (values) => { const made = await at.call("POST", "/api/admin/users", belongs(values)); say(t("saved")); Admin.go(`#/people/${encodeURIComponent(made.username)}`); },
    }));
    at.root.append(back(), set);
  }

  const back = () => h("p", { class: "over" }, h("a", { href: "#/people" }, t("people.back")));

  function one_of(at, name) {
    at.heading(name);
    const about = h("div"), box = h("div");
    const part = Admin.part(at, async () => {
      // The list is what one may run: there is no call for one alone.
      const found = (await at.get("/api/admin/users")).users.find((one) => one.username === name);
      return { found };
    }, ({ found }) => { if (found) draw(found); else box.replaceChildren(h("p", null, t("people.unknown"))); return box; });

    const done = (text) => { about.replaceChildren(notice(text, false)); part.again(); };
    async function ask(options, text) { if (await confirm(options)) done(text); }

    function draw(user) {
      const set = follow(form({
        fields: [role_field(user.role), { name: "disabled", label: t("people.disable"), hint: t("people.disable_hint"), type: "checkbox", value: user.disabled, wide: true }, exhibition_field(user.exhibitions)],
        submit: t("save"),
        send: async (values) => {
          const send = () => at.change("PUT", path(name), user.revision, belongs(values));
          const ends = values.disabled && !user.disabled;
          if (!(await confirm({ title: ends ? t("people.disable_title", { name }) : t("people.change_title", { name }), lines: ends ? t("people.disable_will") : [t("people.change_will"), ...(user.email && rises(user.role, values.role) ? [t("people.rise_will")] : [])], act: ends ? t("people.disable_do") : t("save"), danger: ends, again: part.again, send: () => sent(send) }))) return;
          if (trouble) { const error = trouble; trouble = null; throw error; }
          done(t("saved"));
        },
      }));
      // What is refused stands at its fields, which are in the form behind the dialog.
      let trouble = null;
      const sent = async (send) => { try { await send(); } catch (error) { if (error.errors?.length) { trouble = error; return; } throw error; } };
      const sign_ins = Admin.part(at, () => at.get(path(name, "/sign-ins")), (said) => [table({ caption: t("account.sign_ins"), empty: t("people.no_sign_in"), head: AdminAccount.sign_in_head, rows: AdminAccount.sign_in_rows(said.sign_ins) }),
        said.sign_ins.length > 0 && button(t("people.end_all"), () => ask({ title: t("people.end_all"), lines: t("people.end_all_will", { name }), act: t("people.end_all"), send: () => at.call("DELETE", path(name, "/sign-ins")) }, t("saved")), { class: "quiet small danger" })]);
      box.replaceChildren(...[
        user.tries && h("div", { class: attacked(user) ? "notice bad" : "notice" }, attack(user).map((line) => h("p", null, line)), h("p", null,
          button(t("people.unlock"), () => ask({ title: t("people.unlock"), lines: t("people.unlock_will"), act: t("people.unlock"), send: () => at.call("POST", path(name, "/unlock")) }, t("saved"))))),
        facts([[t("people.state"), state(user)], [t("people.factor"), user.second_factor ? t("yes") : t("no")], [t("people.email"), user.email ?? t("people.email_none")]]),
        panel(t("people.may"), set),
        panel(t("people.access"), h("p", { class: "acts" },
          button(t("people.password_set"), () => ask({ title: t("people.password_set"), lines: t("people.password_will", { name }), act: t("people.password_set"), fields: [password_field(), ...(user.email ? [{ name: "forget_email", label: t("people.forget_email"), hint: t("people.forget_email_hint"), type: "checkbox", wide: true }] : [])], send: (values) => at.call("POST", path(name, "/password"), values) }, t("saved"))),
          button(t("people.email_set"), () => ask({ title: t("people.email_set"), lines: t("people.email_will", { name }), act: t("save"), danger: false, fields: [{ name: "email", label: t("people.email"), hint: t("account.email_hint"), type: "email", autocomplete: "off", maxlength: 254 }], send: (values) => at.call("PUT", path(name, "/email"), { email: values.email || null }) }, t("saved"))),
          user.second_factor && button(t("people.factor_end"), () => ask({ title: t("people.factor_end"), lines: t("people.factor_will", { name }), act: t("people.factor_end"), send: () => at.call("DELETE", path(name, "/second-factor")) }, t("saved")))), sign_ins.box)].filter(Boolean));
    }
    at.root.append(back(), about, part.box);
  }

  Admin.page({ id: "people", key: "p", least: "admin", show(at) {
    if (!at.rest[0]) list(at);
    else if (at.rest[0] === "+") create(at);
    else one_of(at, at.rest[0]);
  } });
})();
