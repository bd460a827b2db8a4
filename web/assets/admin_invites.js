// Invitations into a waiting room: made some hundred at a time, shown this once, and on record by their number and for whom.
(function () {
  "use strict";
  const { h, t, number, panel, table, badge, button, notice, moment, facts } = AdminUi;
  const { form, confirm, expect } = AdminForms;
  const MOST = 500;

  function download(code, run, links) {
    const url = URL.createObjectURL(new Blob([`${links.join("\n")}\n`], { type: "text/plain" }));
    h("a", { href: url, download: `invites-${code}-run-${run}.txt` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  /** The links, this once: whoever has neither copied nor saved them is asked before they are gone. */
  function shown_once(code, { run, links }) {
    let kept = false, warned = false, element = null;
    const told = h("div", { class: "fine", role: "status" }), text = h("textarea", { id: "invite-links", readonly: true, rows: 8, value: links.join("\n"), onfocus: () => text.select(), oncopy: () => { kept = true; } });
    const keep = (key) => { kept = true; told.textContent = t(key); };
    const copy = button(t("invites.copy"), async () => {
      try {
        await navigator.clipboard.writeText(links.join("\n"));
        keep("invites.copied");
      } catch {
        text.focus();
        told.textContent = t("invites.copy_by_hand");
      }
    });
    const save = button(t("invites.download"), () => { download(code, run, links); keep("invites.downloaded"); });
    const leave = () => {
      if (kept || warned) { element.close(); return; }
      warned = true;
      told.replaceChildren(notice(t("invites.not_kept")));
    };
    element = AdminForms.dialog(t("invites.made", { n: number(links.length) }), h("p", null, t("invites.once")), h("p", { class: "field" }, h("label", { for: "invite-links" }, t("invites.links")), text),
      h("p", { class: "acts" }, copy, save), told, h("p", { class: "acts" }, h("button", { type: "button", class: "small", onclick: leave }, t("close"))));
    element.classList.add("wide");
    // Escape is a slip of the hand the first time.
    element.addEventListener("cancel", (event) => { if (!kept && !warned) { event.preventDefault(); leave(); } });
    return element;
  }

  function making(at, of, made) {
    const set = form({
      fields: [{ name: "count", label: t("invites.count"), hint: t("setup.between", { min: number(1), max: number(MOST) }), type: "number", min: 1, max: MOST },
        { name: "note", label: t("invites.note"), hint: t("invites.note_hint"), maxlength: 100, autocomplete: "off" }],
      submit: t("invites.make"),
      send: async (values) => {
        expect(values, "count");
        const { run } = of.now;
        if (values.count >= 1 && values.count <= MOST && !(await confirm({ title: t("invites.make_title", { n: number(values.count) }), lines: [t("invites.make_will", { run: number(run) }), t("invites.once")], act: t("invites.make"), danger: false, send: async () => true }))) return;
        const said = await at.of("POST", "room/invites", values);
        set.named.count.input.value = "";
        set.named.note.input.value = "";
        shown_once(at.code, said);
        made();
      },
    });
    return set;
  }

  AdminWaiting.tabs.invites = function (at) {
    const about = h("div"), place = h("div"), whole = panel(t("invites.make_heading"), h("p", { class: "fine" }, t("invites.lead")), h("p", { class: "fine" }, t("invites.runs")), about, place);
    let set = null, run = null, entries = [], next = null;
    const list = Admin.part(at, async () => ({ room: await at.of("GET", "room"), page: await at.get(`/api/admin/audit?${new URLSearchParams({ exhibition: at.code, action: "room.invites", ...(next ? { before: next } : {}) })}`) }), ({ room, page }) => {
      entries = entries.concat(page.entries);
      next = page.next;
      const good = (one) => (one.after.run === room.run && room.phase !== "ended" ? badge(t("invites.good"), "open") : badge(t("invites.void")));
      return [table({ caption: t("invites.so_far"), empty: t("invites.none"), head: [t("log.at"), t("log.user"), { text: t("invites.count"), num: true }, { text: t("waiting.run"), num: true }, t("orders.state"), t("invites.note")],
        rows: entries.map((one) => [moment(one.at), one.user, number(one.after.count), number(one.after.run), good(one), one.after.note || "–"]) }), next && button(t("more"), list.again)];
    });
    const afresh = () => { entries = []; next = null; list.again(); };
    AdminWaiting.looked_at(at, (of, room) => {
      const ended = room.phase === "ended", share = room.config.invited_share_pct;
      about.replaceChildren(...[facts([[t("waiting.run"), number(room.run)], [t("waiting.invited_share_pct"), number(share)]]),
        share === 0 && notice(t("invites.no_share"), true, h("p", null, h("a", { href: `#/${at.code}/room` }, t("waiting.to_settings")))),
        room.rehearsal?.running && notice(t("invites.rehearsal")), ended && notice(t("invites.ended"))].filter(Boolean));
      set ??= making(at, of, afresh);
      // What somebody is typing stays.
      if (ended === place.contains(set)) place.replaceChildren(...(ended ? [] : [set]));
      // Another run makes others void.
      if (run !== null && run !== `${room.run} ${ended}`) afresh();
      run = `${room.run} ${ended}`;
      return whole;
    });
    at.root.append(panel(t("invites.so_far"), list.box));
  };
})();
