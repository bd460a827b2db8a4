// The stock's audit: what rows, orders and Redis say of every product and slot, why they differ, and what was repaired.
(function () {
  "use strict";
  const { h, t, word, number, table, panel, facts, moment_s, ago, age, badge, button, notice, named, slot } = AdminUi;
  const num = (text) => ({ text, num: true });
  const BAD = ["unexplained", "rows_differ", "redis_away"], REDIS = { ready: "open", rebuilding: "soon", away: "bad" };
  const signed = (n) => (n > 0 ? `+${number(n)}` : number(n));

  const called = (one) => (one.product_id ? named(one) : one.slot_id ? slot(one) : t("stock.gone", { n: one.stock_id }));
  /** What orders add up to is said where it is another number. */
  const counted = (row, sum) => [number(row), sum !== null && sum !== row && h("span", { class: "fine under" }, t("stock.counted", { n: number(sum) }))];
  const why = (one) => (one.explained.length ? h("ul", { class: "causes" }, one.explained.map(({ cause, places }) => h("li", null, badge(word("stock.cause", cause), BAD.includes(cause) ? "bad" : "soon"), " ", places !== 0 && number(Math.abs(places)), h("span", { class: "fine under" }, t(`stock.cause_is.${cause}`))))) : badge(t("stock.agree"), "open"));
  const row = (one) => [called(one), number(one.total), number(one.offered), counted(one.held, one.counted_held), counted(one.sold, one.counted_sold), number(one.free), number(one.redis_free), number(one.in_flight), one.difference === null ? "–" : signed(one.difference), why(one)];

  function stocks(said) {
    const head = [t("live.stock"), num(t("products.total")), num(t("products.offered")), num(t("live.held")), num(t("live.sold")), num(t("stock.free")), num(t("stock.redis")), num(t("stock.in_flight")), num(t("stock.difference")), t("stock.why")];
    const [differ, agree] = [said.stocks.filter((one) => one.explained.length), said.stocks.filter((one) => !one.explained.length)];
    return [
      panel(t("stock.differ", { n: number(differ.length) }), table({ caption: t("stock.title"), empty: t("stock.no_difference"), head, rows: differ.map(row) })),
      agree.length > 0 && h("details", { class: "numbers", open: differ.length === 0 && agree.length <= 20 }, h("summary", null, t("stock.all_agree", { n: number(agree.length) })), table({ caption: t("stock.all_agree", { n: number(agree.length) }), head, rows: agree.map(row) })),
    ];
  }

  function repairs(said) {
    const names = new Map(said.stocks.map((one) => [one.stock_id, called(one)]));
    const found = (one) => (one.found.length ? one.found.map(({ stock_id, places }) => `${names.get(stock_id) ?? t("stock.gone", { n: stock_id })}: ${one.done === "rebuilt" ? signed(places) : number(places)}`).join(", ") : "–");
    return panel(t("stock.repairs"), h("p", { class: "fine" }, t("stock.repairs_lead")), table({ caption: t("stock.repairs"), empty: t("stock.no_repair"), head: [t("log.at"), t("stock.done"), t("stock.reason"), t("stock.found"), num(t("stock.takes"))],
      rows: said.repairs.map((one) => [moment_s(one.at), word("stock.done", one.done), word("stock.reason", one.cause), found(one), one.takes ? number(one.takes) : "–"]) }));
  }

  AdminOperations.tabs.stock = function (at) {
    const part = Admin.part(at, () => at.of("GET", "stock"), (said) => [
      !said.recounted && notice(t("stock.not_counted"), false),
      facts([[t("stock.redis_is"), badge(word("stock.redis_state", said.redis), REDIS[said.redis])], [t("stock.audited"), said.audited_at ? ago(said.audited_at) : t("stock.no_audit")],
        [t("stock.epoch"), said.redis_epoch === null || said.redis_epoch === said.epoch ? number(said.epoch) : t("stock.epochs", { redis: number(said.redis_epoch), postgres: number(said.epoch) })],
        [t("stock.in_flight"), said.takes_in_flight ? t("stock.oldest", { n: number(said.takes_in_flight), age: age(said.oldest_take_ms) }) : number(0)], [t("stock.as_of"), moment_s(said.as_of)]]),
      stocks(said), repairs(said),
    ]);
    at.root.append(h("p", { class: "fine" }, t("stock.lead")), h("p", { class: "acts above" }, button(t("stock.again"), part.look)), part.box);
  };
})();
