// The till: sells what is left of today for cash, where the exhibition allows it. Whoever has paid is let in by an ordinary
// scan, and takes the tickets along by a link.
(function () {
  "use strict";
  var $ = function (id) { return document.getElementById(id); }, fill = GateAside.fill;
  var PENDING = "admit-till", LOOK_MS = 5000;
  var words = null, on = null, polling = 0, offered = null, sold = null, selling = false;
  /** A sale whose answer did not come: it may have happened, and only the same key may ask again. */
  var pending = null;

  function won(amount) { return fill(words.till_won, { amount: amount.toLocaleString(words.language) }); }
  function name(product) { return words.language === "ko" ? product.name_ko : product.name_en; }
  function wrong(text) { $("till-wrong").textContent = text || ""; $("till-wrong").hidden = !text; }
  function keep(ask) {
    pending = ask;
    try { if (ask) localStorage.setItem(PENDING, JSON.stringify(ask)); else localStorage.removeItem(PENDING); } catch { /* Until a reload, then. */ }
  }
  function inputs() { return Array.from($("till-products").querySelectorAll("input")); }
  function chosen() { return inputs().map(function (one) { return { product_id: Number(one.name), quantity: Number(one.value) || 0 }; }).filter(function (one) { return one.quantity > 0; }); }
  function price(id) { return offered.products.find(function (one) { return one.id === id; }).price; }
  function total(items) { return items.reduce(function (sum, one) { return sum + one.quantity * price(one.product_id); }, 0); }

  function stepper(product) {
    var block = document.createElement("div"), label = document.createElement("label"), left = document.createElement("span"), row = document.createElement("p"), count = document.createElement("input");
    block.className = "stepper";
    label.htmlFor = count.id = "till-" + product.id;
    label.textContent = name(product) + " · " + won(product.price) + " ";
    left.className = "fine";
    left.dataset.product = product.id;
    label.append(left);
    count.type = "number"; count.inputMode = "numeric"; count.name = product.id; count.value = 0; count.min = 0; count.max = product.per_order_max;
    row.className = "row";
    [-1, 0, 1].forEach(function (by) {
      if (!by) return row.append(count);
      var button = document.createElement("button");
      button.type = "button"; button.className = "quiet"; button.textContent = by < 0 ? "−" : "+";
      button.setAttribute("aria-label", fill(by < 0 ? words.till_less : words.till_more, { name: name(product) }));
      button.addEventListener("click", function () { count.value = Math.min(Math.max((Number(count.value) || 0) + by, 0), product.per_order_max); sum(); });
      row.append(button);
    });
    count.addEventListener("input", sum);
    block.append(label, row);
    return block;
  }

  /** Built anew only where something else is sold: what somebody has typed stays. */
  function draw() {
    var shape = function (offers) { return offers && JSON.stringify([offers.products.map(function (one) { return [one.id, one.price]; }), offers.slots.map(function (one) { return one.id; })]); };
    return function (offers) {
      if (shape(offered) !== shape(offers)) {
        $("till-products").replaceChildren(...offers.products.map(stepper));
        $("till-slot").replaceChildren(...offers.slots.map(function (one) { return new Option("", one.id); }));
      }
      offered = offers;
      offers.products.forEach(function (one) {
        $("till-products").querySelector("[data-product='" + one.id + "']").textContent = fill(words.till_free, { n: one.free.toLocaleString(words.language) });
      });
      offers.slots.forEach(function (one, n) {
        var hours = one.start_time ? one.start_time.slice(0, 5) + "–" + one.end_time.slice(0, 5) : words.till_all_day;
        $("till-slot").options[n].text = hours + " · " + fill(words.till_free, { n: one.free.toLocaleString(words.language) });
      });
      $("till-slots").hidden = offers.slots.length < 2 || !offers.products.some(function (one) { return one.dated; });
      $("till-form").hidden = !offers.products.length;
      $("till-none").hidden = Boolean(offers.products.length);
      $("till-sum").textContent = fill(words.till_sum, { n: offers.till.orders.toLocaleString(words.language), amount: won(offers.till.taken) });
      sum();
    };
  }
  var shown = draw();

  function sum() {
    if (!offered) return;
    var items = chosen(), people = items.reduce(function (sum_so_far, one) { return sum_so_far + one.quantity; }, 0);
    $("till-sell").disabled = selling || (!pending && !people);
    $("till-sell").textContent = pending ? words.till_ask_again : people ? fill(words.till_sell, { n: people, amount: won(total(items)) }) : words.till_choose;
    inputs().concat($("till-slot")).forEach(function (one) { one.disabled = Boolean(pending); });
  }

  async function look() {
    clearTimeout(polling);
    if (!$("till").open || $("till").hidden || $("scan").hidden) return;
    try {
      shown(await on.offers());
      if (!pending) wrong();
    } catch (error) {
      if (on.ended(error)) return;
      wrong(error.status ? error.detail : words.needs_network);
    }
    clearTimeout(polling);
    if (!document.hidden) polling = setTimeout(look, LOOK_MS);
  }

  async function sell() {
    if (selling || !offered) return;
    var items = chosen();
    if (!pending) {
      if (!items.length) return;
      var dated = items.some(function (one) { return offered.products.some(function (product) { return product.id === one.product_id && product.dated; }); });
      keep({ key: crypto.randomUUID(), body: { items: items, amount: total(items), slot_id: dated && $("till-slot").value ? Number($("till-slot").value) : undefined } });
    }
    selling = true;
    wrong();
    sum();
    try {
      done(await on.sell(pending.key, pending.body));
    } catch (error) {
      if (error.status === 0 || error.status >= 500) wrong([words.till_unknown, error.detail].filter(Boolean).join(" "));
      else {
        keep(null);
        if (!on.ended(error)) wrong(error.detail);
      }
    } finally {
      selling = false;
      sum();
      look();
    }
  }

  function done(sale) {
    keep(null);
    sold = sale;
    inputs().forEach(function (one) { one.value = 0; });
    $("till-sold-what").textContent = fill(words.till_sold, { n: sale.tickets, amount: won(sale.amount), number: sale.order_number });
    $("till-let-in").textContent = fill(words.till_let_in, { n: sale.tickets });
    $("till-let-in").hidden = !sale.qr_code;
    $("till-qr").src = "data:image/svg+xml," + encodeURIComponent(sale.tickets_url_svg);
    $("till-sold").hidden = false;
    $("till-let-in").focus();
  }

  function forget() {
    sold = null;
    $("till-sold").hidden = true;
    $("till-qr").removeAttribute("src");
  }

  $("till").addEventListener("toggle", function () { if (!this.open) forget(); look(); });
  document.addEventListener("visibilitychange", function () { if (!document.hidden && on) look(); });
  $("till-form").addEventListener("submit", function (event) { event.preventDefault(); sell(); });
  $("till-let-in").addEventListener("click", function () {
    var sale = sold;
    if (!sale) return;
    this.hidden = true;
    on.let_in(sale.qr_code, sale.tickets);
  });
  $("till-next").addEventListener("click", function () { forget(); look(); });

  globalThis.GateTill = {
    /** Whether this gate sells at all, as its rulebook says. */
    allowed: function (yes) {
      $("till").hidden = !yes && !pending;
      if (!yes && !pending) $("till").open = false;
    },
    /** Another device's keys: asked for under the same name, it would be sold again. */
    wipe: function () { keep(null); this.clear(); },
    clear: function () { forget(); offered = null; $("till-products").replaceChildren(); $("till").open = false; },
    /** `handlers`: offers(), sell(key, body), let_in(text, people), ended(error). */
    begin: function (texts, handlers) {
      words = texts;
      on = handlers;
      try { pending = JSON.parse(localStorage.getItem(PENDING)); } catch { pending = null; }
      if (pending) wrong(words.till_unknown);
    },
  };
})();
