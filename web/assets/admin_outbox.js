// Messages: what waits to be sent and what was given up, which can be sent again or set aside.
(function () {
  "use strict";
  const { h, t, word, number, table, panel, moment, ago, badge, button, notice, say } = AdminUi;
  const { confirm } = AdminForms;
  const STATES = ["dead", "pending", "set_aside", "done"], BADGES = { dead: "bad", pending: "soon", done: "open", set_aside: "" };
  const KINDS = ["order_paid", "deposit_asked", "refund", "money_returned", "resend", "queue_turn", "one_time_code", "password_reset", "account_notice"];

  AdminOperations.tabs[""] = function (at) {
    const asked = { state: at.params.get("state") ?? "dead", kind: "", exhibition: at.code, order_number: at.params.get("order") ?? "" };
    let messages = [], next = null, counts = null;
    const about = h("div"), tiles = h("div", { class: "tiles" });

    const tile = (name, value, since, bad) => AdminOperations.tile(name, value, since && h("span", { class: "fine" }, t("outbox.since", { ago: ago(since) })), bad);
    const count = () => tiles.replaceChildren(tile(word("mail_state", "pending"), counts.pending, counts.oldest_pending_at), tile(word("mail_state", "dead"), counts.dead, counts.oldest_dead_at, counts.dead > 0), tile(word("mail_state", "set_aside"), counts.set_aside));

    function told(key, done, skipped) {
      const text = [t(key, { n: number(done) }), skipped > 0 && t("outbox.skipped", { n: number(skipped) })].filter(Boolean).join(" ");
      about.replaceChildren(notice(text, false));
      say(text);
      afresh();
    }
    const again = (ids) => confirm({ title: t("outbox.replay_title", { n: number(ids.length) }), lines: t("outbox.replay_will"), act: t("outbox.replay"), danger: false, send: () => at.call("POST", "/api/admin/outbox/replay", { ids }) })
      .then((said) => { if (said) told("outbox.replayed", said.replayed.length, said.skipped.length); });
    const aside = (ids) => confirm({ title: t("outbox.aside_title", { n: number(ids.length) }), lines: t("outbox.aside_will"), act: t("outbox.aside"), fields: [{ name: "reason", label: t("refund.reason"), hint: t("refund.reason_hint"), maxlength: 200, autocomplete: "off" }],
      send: ({ reason }) => at.call("POST", "/api/admin/outbox/set-aside", { ids, reason }) }).then((said) => { if (said) told("outbox.asided", said.set_aside.length, said.skipped.length); });
    /** A call takes some hundred of them: as many calls as there are. */
    async function whole() {
      let done = 0, skipped = 0, said = { more: true };
      while (said.more) {
        said = await at.call("POST", "/api/admin/outbox/replay", { exhibition: at.code });
        done += said.replayed.length;
        skipped += said.skipped.length;
      }
      return { done, skipped };
    }
    const everything = () => confirm({ title: t("outbox.replay_all", { n: number(counts.dead) }), lines: t("outbox.replay_will"), act: t("outbox.replay"), danger: false, send: whole }).then((said) => { if (said) told("outbox.replayed", said.done, said.skipped); });

    const named = (key, one) => ({ "aria-label": `${t(key)}: ${word("mail", one.kind)} ${one.order_number ?? ""}` });
    const acts = (one) => [one.can_be_sent_again && button(t("outbox.replay"), () => again([one.id]), named("outbox.replay", one)), one.state === "dead" && button(t("outbox.aside"), () => aside([one.id]), named("outbox.aside", one))].filter(Boolean);
    const why = (one) => [one.outcome ? word("mail_outcome", one.outcome) : "–", one.set_aside_because && h("span", { class: "fine under" }, one.set_aside_because)];
    const when = (one) => [moment(one.created_at), one.next_try_at && h("span", { class: "fine under" }, t("outbox.next", { at: moment(one.next_try_at) })), one.done_at && h("span", { class: "fine under" }, t("history.ended", { at: moment(one.done_at) }))];
    const order = (one) => (one.order_number ? h("a", { class: "number", href: `#/${one.exhibition_code}/orders/${encodeURIComponent(one.order_number)}` }, one.order_number) : one.exhibition_code ?? "–");
    const tries = (one) => (one.replays ? t("outbox.tries", { n: number(one.tries), replays: number(one.replays) }) : number(one.tries));
    const row = (one) => { const does = acts(one); return [word("mail", one.kind), order(one), one.address ?? "–", badge(word("mail_state", one.state), BADGES[one.state]), why(one), tries(one), when(one), does.length ? h("div", { class: "acts" }, does) : "–"]; };

    function together() {
      const dead = messages.filter((one) => one.state === "dead"), good = dead.filter((one) => one.can_be_sent_again).map((one) => one.id);
      if (dead.length < 2) return null;
      return h("p", { class: "acts above" }, good.length > 0 && button(t("outbox.these", { n: number(good.length) }), () => again(good)), button(t("outbox.these_aside", { n: number(dead.length) }), () => aside(dead.map((one) => one.id))),
        next && asked.exhibition && button(t("outbox.replay_all", { n: number(counts.dead) }), everything));
    }
    const part = Admin.part(at, () => at.get(`/api/admin/outbox?${AdminOperations.query(asked, next)}`), (said) => {
      messages = messages.concat(said.messages);
      next = said.next;
      if (said.counts) { ({ counts } = said); count(); }
      return [together(), table({ caption: t("outbox.title"), empty: t(asked.state === "dead" ? "outbox.none_dead" : "outbox.none"), head: [t("inbox.kind"), t("orders.number"), t("outbox.to"), t("orders.state"), t("inbox.outcome"), { text: t("inbox.tries"), num: true }, t("outbox.at"), { text: t("does"), hide: true }], rows: messages.map(row) }), next && button(t("more"), part.again)];
    });
    const afresh = () => { messages = []; next = null; part.again(); };
    at.root.append(tiles, panel(t("outbox.title"), h("p", { class: "fine" }, t("outbox.lead")),
      AdminOperations.filter(at, asked, STATES.map((one) => [one, word("mail_state", one)]), [["kind", t("inbox.kind"), [["", t("all")], ...KINDS.map((one) => [one, word("mail", one)])]]], afresh), about, part.box));
  };
})();
