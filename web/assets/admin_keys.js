// The keyboard: `/` to the search of the page, or else of orders, `g` and a letter to a page, `?` for what there is. Can be switched
// off, since whoever speaks to their computer would set them off.
(function () {
  "use strict";
  const { h, t, table } = AdminUi;
  const OFF = "admit-keys-off";
  let going = 0, shown = null;

  const on = () => { try { return !localStorage.getItem(OFF); } catch { return true; } };
  function set(yes) { try { if (yes) localStorage.removeItem(OFF); else localStorage.setItem(OFF, "1"); } catch { /* Until a reload. */ } }
  const typing = (element) => element.closest("input, select, textarea, [contenteditable]");
  const code = () => Admin.parse().code ?? document.querySelector("#exhibition option:checked")?.value ?? null;

  function reachable() {
    const of = code() || Admin.exhibitions[0]?.code;
    return [...Admin.pages.values()].filter((one) => one.key && AdminSession.may(one.least) && (!one.of || of)).map((one) => ({ id: one.id, key: one.key, name: t(`nav.${one.of ? "of." : ""}${one.id || "dashboard"}`), to: Admin.href(one, of) }));
  }

  function toggle() {
    const box = h("input", { type: "checkbox", checked: on(), onchange: () => set(box.checked) });
    return h("label", { class: "check" }, box, h("span", null, t("keys.on")));
  }

  function help() {
    if (shown?.open) return;
    const key = (text) => h("kbd", null, text);
    const orders = reachable().some((one) => one.id === "orders");
    const rows = [[key("/"), t(orders ? "keys.search_orders" : "keys.search")], ...(orders ? [[t("keys.number"), t("keys.number_does")]] : []), [key("?"), t("keys.help")], ...reachable().map((one) => [[key("g"), " ", key(one.key)], one.name])];
    shown = AdminForms.show(t("keys.title"), table({ caption: t("keys.title"), head: [t("keys.key"), t("keys.does")], rows }), toggle());
  }

  addEventListener("keydown", (event) => {
    if (!AdminSession.now || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
    if (document.querySelector("dialog[open]") || !on()) return;
    const went = going && Date.now() - going < 1500;
    going = 0;
    if (went) {
      // By its place, so that it works while Korean is typed.
      const letter = event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : event.key;
      const to = reachable().find((one) => one.key === letter);
      if (to) { event.preventDefault(); Admin.go(to.to); }
    } else if (event.code === "KeyG") going = Date.now();
    else if (event.key === "?") { event.preventDefault(); help(); }
    else if (event.key === "/") {
      const search = document.querySelector("main input[type=search]"), orders = reachable().find((one) => one.id === "orders");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
      else if (orders) { event.preventDefault(); Admin.go(`${orders.to}?find`); }
    }
  });

  globalThis.AdminKeys = { toggle, help };
})();
