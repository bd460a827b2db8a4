// The live board: what happens in the shop this second, pushed by the server as it hears of it, with the room's controls beside it.
(function () {
  "use strict";
  const { h, t, word, number, percent, ms, panel, table, named, slot, age, clock_s, badge, notice, say } = AdminUi;
  const { spark, stack, numbers } = AdminCharts;
  const KEPT = 120, SLOTS = 30, STALE_MS = 3000, SILENT_MS = 10000, LASTS_MS = 300000, WAIT_MS = 500, WAIT_MAX_MS = 15000;
  const per_s = (value) => number(value, 1);
  /** What the board shows big, in this order. `bad`: from when on it is a warning. */
  const FIGURES = [
    { id: "placed", of: (b) => b.placed_per_s, as: per_s }, { id: "paid", of: (b) => b.paid_per_s, as: per_s },
    { id: "declined", of: (b) => b.declined_per_s, as: per_s }, { id: "failed", of: (b) => b.failed_per_s, as: per_s, bad: (v) => v > 0 },
    { id: "doubted", of: (b) => b.doubted_per_s, as: per_s, bad: (v) => v > 0 },
    // What is promised (`TARGETS` of the dashboard).
    { id: "payment", of: (b) => b.payment_success, as: (v) => percent(v, 1), bad: (v) => v < 0.98 },
    { id: "errors", of: (b) => b.error_rate, as: (v) => percent(v, 2), bad: (v) => v >= 0.01 },
    { id: "p50", of: (b) => b.p50_ms, as: ms }, { id: "p95", of: (b) => b.p95_ms, as: ms, bad: (v) => v >= 1000 },
    { id: "waiting", of: (b) => b.room?.waiting ?? null, as: number, room: true }, { id: "active", of: (b) => b.room?.active ?? null, as: number, room: true },
    { id: "capacity", of: (b) => b.room?.capacity ?? null, as: number, room: true },
    { id: "admitted", of: (b) => b.room?.admitted_per_s ?? null, as: per_s, room: true },
    { id: "rate", of: (b) => b.room?.rate_per_s ?? null, as: per_s, room: true, warn: (b) => Boolean(b.room && b.room.brake < 1) },
  ];

  /** Events of a stream, one after the other, until it ends or is silent for too long. */
  async function events(reply, on_event, signal) {
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "", silence = 0;
    const listen = () => { clearTimeout(silence); silence = setTimeout(() => reader.cancel().catch(() => {}), SILENT_MS); };
    signal.addEventListener("abort", () => reader.cancel().catch(() => {}));
    try {
      for (listen(); ;) {
        const { value, done } = await reader.read();
        if (done) return;
        listen();
        text += value.replaceAll("\r\n", "\n");
        const whole = text.split("\n\n");
        text = whole.pop();
        for (const one of whole) {
          const lines = one.split("\n"), at = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart()).join("\n");
          if (at("data")) on_event(at("event") || "message", at("data"));
        }
      }
    } finally {
      clearTimeout(silence);
    }
  }

  /** Reads the board for as long as the page is open, and comes back after every break. */
  async function follow(at, on_board, on_trouble) {
    let wait_ms = WAIT_MS;
    while (!at.signal.aborted) {
      try {
        const reply = await AdminSession.call("GET", at.under("live"), undefined, { signal: at.signal, as: "stream" });
        await events(reply, (event, data) => { if (event === "board") { wait_ms = WAIT_MS; on_board(JSON.parse(data)); } }, at.signal);
        on_trouble(null);
      } catch (error) {
        if (at.signal.aborted) return;
        on_trouble(error);
        // What will not get better by waiting is not asked for again.
        if (error.status === 403 || error.status === 404 || error.status === 401) return;
      }
      // Not all screens at once after an outage.
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait_ms * (0.75 + Math.random() / 2));
        at.signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
      });
      wait_ms = Math.min(wait_ms * 2, WAIT_MAX_MS);
    }
  }

  /** Figures that need a word, below them all. */
  const ABOUT = ["doubted", "payment", "rate"];
  function figure({ id, as, bad, warn, room }) {
    const value = h("strong", { id: `live-${id}` }, "–"), line = spark(KEPT);
    const box = h("div", { class: "tile", hidden: room }, h("span", { class: "name" }, t(`live.${id}`)), value, line.element);
    return { box, set(now, past, board) {
      value.textContent = as(now);
      box.classList.toggle("bad", Boolean((bad && now !== null && bad(now)) || warn?.(board)));
      line.set(past);
    } };
  }

  function stock_table(caption, list) {
    return table({
      caption, empty: t("live.no_stock"),
      head: [t("live.stock"), { text: t("live.sold"), num: true }, { text: t("live.held"), num: true }, { text: t("live.free"), num: true }, { text: t("live.offered"), num: true }, t("live.share")],
      rows: list.map((one) => {
        const of = one.offered || one.total || 1;
        return [[[named(one), slot(one)].filter(Boolean).join(" · "), one.paused && [" ", badge(t("live.product_paused"), "bad")], one.closed && [" ", badge(t("live.slot_closed"), "bad")]], number(one.sold), number(one.held), number(one.free), one.offered === one.total ? number(one.offered) : t("live.of_total", { n: number(one.offered), of: number(one.total) }),
          stack([{ kind: "first", share: one.sold / of }, { kind: "second", share: one.held / of }], t("live.share_is", { sold: percent(one.sold / of, 0), held: percent(one.held / of, 0) }))];
      }),
    });
  }

  /**
   * Products and the next slots; hundreds of cards would stand between a phone and what is below. The fold is made once, since somebody may
   * be reading it when the next picture comes.
   */
  function stocks() {
    const first = h("div"), summary = h("summary"), more = h("div"), fold = h("details", { class: "numbers", id: "live-slots", hidden: true }, summary, more);
    let rest = [];
    const unfold = () => more.replaceChildren(...(fold.open && rest.length ? [stock_table(summary.textContent, rest)] : []));
    fold.addEventListener("toggle", unfold);
    return { box: h("div", null, first, fold), set(list) {
      const slots = list.filter((one) => one.slot_id), products = list.filter((one) => !one.slot_id);
      rest = slots.slice(SLOTS);
      first.replaceChildren(stock_table(t("live.stocks"), [...products, ...slots.slice(0, SLOTS)]));
      fold.hidden = !rest.length;
      summary.textContent = t("live.all_slots", { n: number(slots.length) });
      unfold();
    } };
  }

  // Busy is no trouble until it lasts: no round should take minutes.
  const lasts = (one) => one.outcome === "busy" && one.took_ms >= LASTS_MS, silent = (one) => one.outcome === "silent" || lasts(one);
  /** Workers of which nothing is heard, by name; when nothing is heard of anybody, that is said and not of each. */
  function silence(board) {
    const names = board.heard_age_ms > SILENT_MS ? [] : board.workers.filter(silent).map((one) => word("worker", one.name));
    if (names.length && names.length === board.workers.length) return t("live.workers_none");
    return names.length > 0 && t("live.workers_silent", { names: names.join(", ") });
  }

  function system(board) {
    const fine = (good, text) => badge(text, good ? "open" : "bad");
    const outcome = (one) => badge(word("live.outcome", one.outcome), ["idle", "worked"].includes(one.outcome) ? "open" : one.outcome === "busy" && !lasts(one) ? "soon" : "bad");
    return [
      table({ caption: t("live.providers"), head: [t("live.provider"), t("live.state")], rows: board.providers.map((one) => [word("provider", one.name), badge(word("live.breaker", one.state), { closed: "open", half_open: "soon", open: "bad" }[one.state])]) }),
      table({ caption: t("live.instances"), head: [t("live.instance"), t("live.heard"), { text: t("live.writer"), num: true }], rows: board.instances.map((one) => [one.name, fine(one.age_ms < 5000, age(one.age_ms)), number(one.writer_waiting)]) }),
      table({ caption: t("live.workers"), head: [t("live.worker"), t("live.outcome"), t("live.heard"), { text: t("live.took"), num: true }],
        rows: board.workers.map((one) => [word("worker", one.name), outcome(one), one.age_ms === null ? t("live.never") : age(one.age_ms), ms(one.took_ms)]) }),
    ];
  }

  /** Messages as the workers counted them last: made once, since somebody may be at its link when the next picture comes. */
  function messages(at) {
    const about = h("p", { class: "fine", id: "live-counted" });
    const tiles = [["pending"], ["failing", true], ["dead", true], ["set_aside"]].map(([name, bad]) => {
      const value = h("strong", { id: `live-messages-${name}` }, "–");
      return { name, bad, value, box: h("div", { class: "tile" }, h("span", { class: "name" }, t(`live.messages.${name}`)), value) };
    });
    const box = h("div", null, h("h3", null, t("live.messages")), h("div", { class: "tiles counts" }, tiles.map((one) => one.box)), about,
      AdminSession.may("admin") && h("p", null, h("a", { href: `#/${at.code}/operations` }, t("live.messages_see"))));
    return { box, set(now) {
      for (const { name, bad, value, box: tile } of tiles) {
        value.textContent = number(now?.[name]);
        tile.classList.toggle("bad", Boolean(bad && now?.[name] > 0));
      }
      about.textContent = now ? t("live.counted", { age: age(now.age_ms) }) : t("live.uncounted");
    } };
  }

  function past_table(past) {
    const shown = past.filter((_, n) => (past.length - 1 - n) % 10 === 0).reverse(), room = past.some((one) => one.room);
    const figures = FIGURES.filter((one) => room || !one.room);
    return numbers({ caption: t("live.past"), head: [t("live.at"), ...figures.map((one) => ({ text: t(`live.${one.id}`), num: true }))], rows: shown.map((one) => [clock_s(one.at), ...figures.map((f) => f.as(f.of(one)))]) });
  }

  /** Who has paused the sale, and why, as far as anybody has said so. */
  function paused(board) {
    const why = named({ name_ko: board.pause_reason_ko, name_en: board.pause_reason_en });
    return board.paused_by.map((by, n) => [t(`live.paused_by.${by}`), n === 0 && why].filter(Boolean).join(" "));
  }

  function show(at) {
    const freshness = h("p", { class: "fresh", id: "freshness" }, t("live.connecting")), about = h("div"), halted = h("div");
    at.heading(t("live.title"), freshness);
    const figures = FIGURES.map(figure), stock = stocks(), system_box = h("div"), past_box = h("div"), mails = messages(at);
    const may = AdminSession.may("admin"), room = may && AdminRoom.controls(at), own = may && AdminSales.of(at), sales = AdminSession.may("super_admin") && AdminSales.controls(at);
    at.root.append(about, halted, h("div", { class: "beside" },
      h("div", null, h("div", { class: "tiles" }, figures.map((one) => one.box)), ABOUT.map((id) => h("p", { class: "fine" }, `${t(`live.${id}`)}: ${t(`live.${id}_is`)}`)), past_box),
      // On a phone right below the figures: what one sees and what one can do about it.
      may && h("div", { class: "aside" }, room.box, own.box, sales && sales.box),
      h("div", null, panel(t("live.stocks"), stock.box), panel(t("live.system"), mails.box, system_box))));
    let past = [], heard_ms = 0, behind_ms = 0, state = "", folded = null, folded_at = 0, last_counted = "";

    function on_board(board) {
      heard_ms = Date.now();
      // What has come just now may tell of what was heard long ago.
      behind_ms = Math.max(0, board.heard_age_ms, board.stocks_age_ms);
      // One for each second is remembered, the last of it.
      const second = (one) => Math.floor(one.at / 1000), again = past.length > 0 && second(past.at(-1)) === second(board);
      past = [...(again ? past.slice(0, -1) : past), board].slice(-KEPT);
      about.replaceChildren();
      FIGURES.forEach((one, n) => {
        if (one.room) figures[n].box.hidden = !board.room;
        figures[n].set(one.of(board), past.map(one.of), board);
      });
      const share = board.room && board.room.capacity ? board.room.active / board.room.capacity : null;
      figures[FIGURES.findIndex((one) => one.id === "active")].box.title = share === null ? "" : t("live.active_of", { n: number(board.room.active), of: number(board.room.capacity) });
      const troubles = [...paused(board), board.heard_age_ms > SILENT_MS && t("live.unheard", { age: age(board.heard_age_ms) }), board.stocks_age_ms > SILENT_MS && t("live.stocks_old", { age: age(board.stocks_age_ms) }), board.room?.stale && t("live.room_stale"), silence(board)].filter(Boolean).join(" ");
      if (halted.textContent !== troubles) halted.replaceChildren(...(troubles ? [notice(troubles)] : []));
      const counted = JSON.stringify(board.stocks);
      if (counted !== last_counted) stock.set(board.stocks);
      last_counted = counted;
      system_box.replaceChildren(...system(board));
      mails.set(board.messages);
      // Open, it is being read: then it is made anew every ten seconds.
      if (!folded || !folded.open || board.at - folded_at >= 10000) {
        const open = folded?.open;
        folded = past_table(past);
        folded.open = Boolean(open);
        folded_at = board.at;
        past_box.replaceChildren(folded);
      }
      if (room) room.see(board.room);
      look();
    }

    function look() {
      const came_ms = heard_ms ? Date.now() - heard_ms : null, old_ms = heard_ms ? came_ms + behind_ms : null;
      const now = old_ms === null ? "none" : old_ms > STALE_MS ? "stale" : "fresh";
      at.root.classList.toggle("stale", now === "stale");
      freshness.dataset.state = now;
      freshness.textContent = now === "none" ? t("live.connecting") : now === "stale" ? t(came_ms > STALE_MS ? "live.stale" : "live.old", { age: age(old_ms) }) : t("live.fresh", { age: age(old_ms) });
      if (now !== state && (now === "stale" || state === "stale")) say(freshness.textContent);
      state = now;
    }

    const turn = setInterval(look, 500);
    at.signal.addEventListener("abort", () => clearInterval(turn));
    follow(at, on_board, (error) => { if (error) about.replaceChildren(notice(Admin.explained(error))); });
  }

  Admin.page({ id: "live", key: "l", least: "support", of: true, show });
})();
