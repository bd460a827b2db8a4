// Counts that move, the countdown to the sale, and the word when a place is free again. The pages work without it.
(function () {
  "use strict";
  var live = document.querySelector("[data-live]"), opens = document.getElementById("opens");
  var watch = document.getElementById("watch"), freed = document.getElementById("freed");
  var EVERY = 5000, LATEST = 60000;
  var pause = EVERY, title = document.title;

  function words(state, free) {
    if (state !== "on_sale") return live.dataset[state] || "";
    if (free > 100) return live.dataset.many;
    return live.dataset[free > 10 ? "some" : "few"].replace("{count}", free.toLocaleString("en-US"));
  }

  function short(state, free) {
    if (state !== "on_sale") return live.dataset["short_" + state] || "";
    return free > 100 ? live.dataset.short_many : String(free);
  }

  function put(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }

  function showSlot(slot) {
    var radio = document.querySelector('#picker input[value="' + slot.id + '"]');
    if (!radio) return;
    var label = radio.closest("label"), left = words(slot.state, slot.available_quantity);
    label.dataset.state = slot.state;
    put(label.querySelector(".short"), short(slot.state, slot.available_quantity));
    put(label.querySelector(".much"), left);
    radio.setAttribute("aria-label", radio.dataset.name + " · " + left);
    // Never under the visitor's hands: what is chosen or has the focus is judged when it is sent.
    radio.disabled = slot.state !== "on_sale" && !radio.checked && radio !== document.activeElement;
  }

  /** Of a month its days, of a day its times: how many have places. */
  function showSum(fold) {
    var picker = document.getElementById("picker"), month = "month" in fold.dataset;
    var parts = Array.from(fold.querySelectorAll(month ? "[data-day]" : "label"));
    var free = parts.filter(function (part) {
      return part.dataset.state === "on_sale" || part.querySelector("[data-state=on_sale]");
    });
    var text = month ? picker.dataset.days : picker.dataset.times;
    put(fold.querySelector(".left"), text.replace("{free}", free.length).replace("{total}", parts.length));
  }

  function show(said) {
    var free = 0;
    (said.products || []).forEach(function (product) {
      var line = live.querySelector('[data-product="' + product.id + '"]');
      if (!line) return;
      line.querySelector(".left").textContent = words(product.state, product.available_quantity);
      line.dataset.state = product.state;
      if (product.state === "on_sale") free += product.available_quantity;
    });
    (said.slots || []).forEach(showSlot);
    if (said.slots) document.querySelectorAll("#picker details, #picker [data-month]").forEach(showSum);
    if (watch && watch.checked && free > 0 && freed.hidden) {
      freed.hidden = false;
      document.title = "● " + title;
      if (navigator.vibrate) navigator.vibrate(300);
    }
  }

  function look() {
    if (document.hidden && !(watch && watch.checked)) return void setTimeout(look, pause);
    var urls = live.tagName === "FORM" ? [live.dataset.live, live.dataset.live + "/products"] : [live.dataset.live];
    Promise.all(urls.map(function (url) {
      return fetch(url).then(function (reply) {
        if (!reply.ok) throw reply.status;
        return reply.json();
      });
    })).then(function (all) {
      all.forEach(show);
      pause = EVERY;
    }).catch(function () {
      // A server in trouble is asked less and less often.
      pause = Math.min(LATEST, pause * 2);
    }).then(function () {
      setTimeout(look, pause * (0.8 + 0.4 * Math.random()));
    });
  }

  function countdown() {
    // Seconds since this page was made, by a clock that nobody turns.
    var leftAtStart = Number(opens.dataset.until) - Number(opens.dataset.now), started = performance.now();
    (function tick() {
      var s = Math.ceil((leftAtStart - (performance.now() - started)) / 1000);
      // Not all in the same second.
      if (s <= 0) return void setTimeout(function () { location.reload(); }, 500 + 2500 * Math.random());
      var days = Math.floor(s / 86400), hours = Math.floor(s / 3600) % 24;
      var clock = [hours, Math.floor(s / 60) % 60, s % 60].map(function (n) { return String(n).padStart(2, "0"); }).join(":");
      opens.textContent = (days ? days + (document.documentElement.lang === "ko" ? "일 " : days === 1 ? " day " : " days ") : "") + clock;
      setTimeout(tick, 250);
    })();
  }

  if (watch) watch.closest("p").hidden = false;
  if (live) setTimeout(look, EVERY * Math.random());
  if (opens) countdown();
})();
