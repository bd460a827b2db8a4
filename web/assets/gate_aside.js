// Beside the scanning: how fresh the phone's knowledge is, looking for a ticket, and the counts of the whole exhibition.
(function () {
  "use strict";
  var $ = function (id) { return document.getElementById(id); };
  var STALE_MS = 600000, COUNTS_MS = 5000;
  var words = null, on = null, polling = 0, asked = 0;

  function fill(text, values) {
    return Object.keys(values).reduce(function (so_far, name) { return so_far.replace("{" + name + "}", values[name]); }, text);
  }

  /** Only what is new: these are read aloud. */
  function say(id, text) {
    if ($(id).textContent !== text) $(id).textContent = text;
    $(id).hidden = !text;
  }

  function ago(ms) {
    var s = Math.max(0, Math.round(ms / 1000));
    if (s < 60) return fill(words.ago_s, { n: s });
    return s < 3600 ? fill(words.ago_min, { n: Math.floor(s / 60) }) : fill(words.ago_h, { n: Math.floor(s / 3600) });
  }

  function state() {
    var meta = GateStore.meta, table = GateStore.table, waiting = GateStore.queue.filter(function (one) { return !one.stuck; }).length, stuck = GateStore.queue.length - waiting;
    var parts = [GateSync.online ? words.net_on : words.net_off];
    if (waiting) parts.push(fill(words.waiting, { n: waiting.toLocaleString(words.language) }));
    if (stuck) parts.push(fill(words.stuck, { n: stuck }));
    say("net", parts.join(" · "));
    $("net").dataset.online = GateSync.online;
    var age = meta.synced_ms ? GateSync.now() - meta.synced_ms : 0, ready = table && meta.complete;
    $("known").textContent = ready ? fill(words.known, { n: table.count.toLocaleString(words.language), age: ago(age) })
      : fill(words.known_not_yet, { n: (table ? table.count : 0).toLocaleString(words.language) });
    say("stale", GateSync.jumped() ? words.stale_clock : ready && age > STALE_MS ? words.stale_old : "");
  }

  function foundItem(one) {
    var item = document.createElement("li"), button = document.createElement("button"), why = document.createElement("span");
    var when = [one.slot_date, one.start_time && one.start_time.slice(0, 5)].filter(Boolean).join(" ");
    button.type = "button";
    button.className = "quiet";
    [one.number, [one.customer_name, one.product, fill(words.of, { n: one.ticket_no, of: one.of })].filter(Boolean).join(", "), one.order_number, when].filter(Boolean).forEach(function (text, n) {
      var line = document.createElement(n ? "span" : "strong");
      line.textContent = text;
      button.append(line);
    });
    why.className = one.reason === "ok" ? "good" : "bad";
    why.textContent = (one.reason === "ok" ? "✓ " : "✕ ") + (words["why." + one.reason] || one.reason);
    button.append(why);
    button.addEventListener("click", function () { on.scan(one.number); });
    item.append(button);
    return item;
  }

  async function search() {
    var sought = $("sought").value.trim(), mine = asked += 1;
    if (sought.length < 4) return;
    say("found-note", words.seeking);
    try {
      var said = await on.search(sought);
      if (mine !== asked) return;
      $("found").replaceChildren(...said.found.map(foundItem));
      say("found-note", said.found.length ? fill(words.found, { n: said.found.length }) : words.found_none);
    } catch (error) {
      if (mine !== asked) return;
      $("found").replaceChildren();
      say("found-note", error.status ? error.detail : words.needs_network);
    }
  }

  $("search-form").addEventListener("submit", function (event) { event.preventDefault(); search(); });
  var pause = 0;
  $("sought").addEventListener("input", function () { clearTimeout(pause); pause = setTimeout(search, 400); });

  function cells(row) {
    return row.map(function (value, n) {
      var cell = document.createElement(n ? "td" : "th");
      if (!n) cell.scope = "row";
      cell.textContent = typeof value === "number" ? value.toLocaleString(words.language, { maximumFractionDigits: 1 }) : value;
      return cell;
    });
  }

  async function counts() {
    clearTimeout(polling);
    if (!$("whole").open || $("scan").hidden) return;
    try {
      var said = await on.counts();
      $("whole-sum").textContent = fill(words.whole_sum, { inside: said.inside.toLocaleString(words.language), in: said.admitted_today.toLocaleString(words.language), out: said.refused_today.toLocaleString(words.language) });
      $("gates").replaceChildren(...said.gates.map(function (one) {
        var row = document.createElement("tr");
        row.append(...cells([one.gate, one.admitted, one.left, one.refused, one.per_minute]));
        return row;
      }));
      $("whole-wide").hidden = !said.gates.length;
    } catch (error) {
      if (!error.status) $("whole-sum").textContent = words.needs_network;
    }
    clearTimeout(polling);
    if (!document.hidden) polling = setTimeout(counts, COUNTS_MS);
  }
  $("whole").addEventListener("toggle", counts);
  document.addEventListener("visibilitychange", function () { if (!document.hidden && on) counts(); });

  globalThis.GateAside = {
    fill: fill,
    state: state,
    /** Nothing of a person stays on the screen after the shift. */
    clear: function () {
      $("found").replaceChildren();
      $("sought").value = $("found-note").textContent = "";
      $("search").open = $("whole").open = false;
    },
    /** `handlers`: scan(text), search(text), counts(). */
    begin: function (texts, handlers) {
      words = texts;
      on = handlers;
      setInterval(function () { if (!$("scan").hidden) state(); }, 1000);
    },
  };
})();
