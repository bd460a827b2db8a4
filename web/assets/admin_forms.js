// Forms whose errors stand at their fields, and dialogs that ask before something is done.
(function () {
  "use strict";
  const { h, t, notice, say } = AdminUi;
  let made = 0;

  function control(spec, id) {
    const { type = "text", name, options, hint, label, ...rest } = spec;
    const about = [hint && `${id}-hint`, `${id}-wrong`].filter(Boolean).join(" ");
    const attributes = { id, name, "aria-describedby": about, ...rest, value: null, checked: null };
    if (type === "select") return h("select", attributes, options.map(([value, text]) => h("option", { value, selected: String(value) === String(spec.value) }, text)));
    if (type === "textarea") return h("textarea", { rows: 3, ...attributes, value: spec.value });
    if (type === "checkbox") return h("input", { ...attributes, type, checked: Boolean(spec.value) });
    const plain = type === "password" || spec.autocomplete === "username" ? { autocapitalize: "none", spellcheck: "false" } : {};
    return h("input", { ...attributes, ...plain, type, inputmode: type === "number" ? "numeric" : rest.inputmode, value: spec.value });
  }

  /** Several boxes under one name; the value is the list of those that are ticked, of radios the one that is. */
  function boxes(spec, id) {
    const chosen = new Set([].concat(spec.value ?? [])), type = spec.type === "radios" ? "radio" : "checkbox";
    return h("fieldset", { id, class: "boxes", "aria-describedby": `${id}-wrong`, tabindex: "-1" }, h("legend", null, spec.label), spec.options.map(([value, text]) =>
      h("label", { class: "check" }, h("input", { type, name: spec.name, value, checked: chosen.has(value) }), h("span", null, text))));
  }

  function field({ hidden, ...spec }) {
    const id = `f${(made += 1)}-${spec.name.replaceAll(/[^a-z0-9_]/gi, "-")}`;
    const wrong = h("p", { class: "error", id: `${id}-wrong`, hidden: true });
    const hint = spec.hint && h("p", { class: "fine", id: `${id}-hint` }, spec.hint);
    const group = ["boxes", "radios"].includes(spec.type), input = group ? boxes(spec, id) : control(spec, id);
    const label = spec.type === "checkbox" ? h("label", { class: "check", for: id }, input, h("span", null, spec.label)) : h("label", { for: id }, spec.label);
    const parts = group ? [input, hint, wrong] : spec.type === "checkbox" ? [label, hint, wrong] : [label, input, hint, wrong];
    const value = () => {
      if (spec.type === "boxes") return [...input.querySelectorAll(":checked")].map((one) => one.value);
      if (spec.type === "radios") return input.querySelector(":checked")?.value ?? "";
      if (spec.type === "checkbox") return input.checked;
      if (spec.type === "number") return input.value === "" ? null : Number(input.value);
      return spec.type === "password" ? input.value : input.value.trim();
    };
    const say_wrong = (text) => {
      wrong.textContent = text || "";
      wrong.hidden = !text;
      // A group of boxes has no such state of its own.
      if (text && !group) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    };
    return { name: spec.name, row: h("div", { class: `field ${spec.wide ? "wide-field" : ""}`, hidden }, parts), input, value, wrong: say_wrong };
  }

  /** The field that a path of a problem document names: `config.capacity` is `capacity` where there is no such name. */
  const meant = (fields, path) => fields.find((one) => one.name === path) ?? fields.find((one) => path.split(/[.[]/).includes(one.name));

  /**
   * `fields`: specs of what is asked for; `send(values)`: what happens then. What is refused is said at its fields, else
   * above them. What somebody else has changed meanwhile is not overwritten: `again` loads it. `form.named` are the fields. Nothing is
   * sent while `form.ready`, where there is one, says no.
   */
  function form({ fields: specs, submit, send, done, danger, quiet, cancel, inline, again }) {
    const fields = specs.map(field), trouble = h("div", { class: "trouble" }), told = h("span", { class: "fine told" });
    const go = h("button", { type: "submit", class: [danger && "danger", quiet && "quiet", "small"].filter(Boolean).join(" ") }, submit);
    const values = () => Object.fromEntries(fields.map((one) => [one.name, one.value()]));
    const element = h("form", { class: inline ? "inline" : "stack", novalidate: true, onsubmit }, trouble, h("div", { class: "fields" }, fields.map((one) => one.row)), h("p", { class: "acts" }, go, cancel, told));
    const tell = (text) => { told.textContent = text; say(text); };
    async function onsubmit(event) {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      element.setAttribute("aria-busy", "true");
      fields.forEach((one) => one.wrong());
      trouble.replaceChildren();
      told.textContent = "";
      try {
        const said = await send(values());
        if (done) tell(done);
        return said;
      } catch (error) {
        refuse(error);
      } finally {
        go.disabled = !element.ready();
        element.removeAttribute("aria-busy");
      }
    }
    function refuse(error) {
      if (error.code === "aborted") return;
      if (error.status === 412) {
        trouble.replaceChildren(again ? notice(t("changed"), true, h("p", null, AdminUi.button(t("load_again"), again))) : notice(error.detail ?? t("changed")));
        return;
      }
      const unplaced = [];
      let first = null;
      for (const one of error.errors || []) {
        const at = meant(fields, one.field);
        if (at) { at.wrong(one.detail); first = first ?? at; }
        else unplaced.push(`${one.field}: ${one.detail}`);
      }
      if (!first || unplaced.length) trouble.replaceChildren(notice([first ? "" : error.detail ?? String(error), ...unplaced].filter(Boolean).join(" ")));
      if (first) first.input.focus();
    }
    return Object.assign(element, { ready: () => true, refuse, values, tell, named: Object.fromEntries(fields.map((one) => [one.name, one])) });
  }

  /** A dialog with a heading; closed by Escape, its button, or `close()`. Gone from the page afterwards. */
  function dialog(title, ...children) {
    const id = `d${(made += 1)}`;
    const element = h("dialog", { class: "dialog", "aria-labelledby": id }, h("h2", { id, tabindex: "-1" }, title), children);
    element.addEventListener("close", () => element.remove());
    document.body.append(element);
    element.showModal();
    return element;
  }

  /** Shows something with a button that closes it. */
  function show(title, ...children) {
    const element = dialog(title, children, h("p", { class: "acts" }, h("button", { type: "button", class: "small", onclick: () => element.close() }, t("close"))));
    return element;
  }

  /**
   * Asks before something is done: `lines` say what will happen, `act` is the button. Resolves to what `send` came to,
   * or to undefined where somebody thought better of it. A refusal is shown in the dialog, which stays. `more(form)` adds to it.
   */
  function confirm({ title, lines, act, fields = [], danger = true, send, again, wide, more }) {
    return new Promise((resolve) => {
      let element = null, came_to;
      const cancel = h("button", { type: "button", class: "quiet small", onclick: () => element.close() }, t("cancel"));
      const afresh = again && (() => { element.close(); again(); });
      const asked = form({ fields, submit: act, danger, cancel, again: afresh, send: async (values) => { came_to = await send(values) ?? true; element.close(); } });
      element = dialog(title, [].concat(lines || []).map((line) => h("p", null, line)), asked);
      if (wide) element.classList.add("wide");
      more?.(asked, element);
      element.addEventListener("close", () => resolve(came_to));
      if (!fields.length) cancel.focus();
    });
  }

  /**
   * Sends what must not happen twice: under one name until somebody has answered, also after a reload. A second try after
   * silence is then the first one over again. `send(key)`.
   */
  async function once(what, send) {
    const at = `admit-once-${what}`;
    let key = null;
    try { key = sessionStorage.getItem(at); } catch { /* Then it is good until the page is left. */ }
    key ??= names.get(at) ?? crypto.randomUUID();
    const keep = (kept) => { if (kept) names.set(at, key); else names.delete(at); try { if (kept) sessionStorage.setItem(at, key); else sessionStorage.removeItem(at); } catch { /* As above. */ } };
    keep(true);
    try {
      const said = await send(key);
      keep(false);
      return said;
    } catch (error) {
      // A refusal is an answer; silence and trouble are not.
      if (error.status >= 400 && error.status < 500 && error.status !== 401) keep(false);
      throw error;
    }
  }
  const names = new Map();

  /** What the server would say of an empty field that it needs. */
  function expect(values, ...names_of) {
    const errors = names_of.filter((name) => values[name] === "" || values[name] === null || values[name] === undefined).map((field) => ({ field, detail: t("required") }));
    if (errors.length) throw new AdminSession.Refusal(422, { code: "request.invalid", errors });
  }
  /** The same refusal with its fields under other names. */
  function renamed(error, name) {
    return error.errors?.length ? Object.assign(error, { errors: error.errors.map((one) => ({ ...one, field: name(one.field) ?? one.field })) }) : error;
  }

  globalThis.AdminForms = { once, expect, renamed, field, form, dialog, show, confirm };
})();
