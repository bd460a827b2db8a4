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

  function show(said) {
    var free = 0;
    (said.products || []).forEach(function (product) {
      var line = live.querySelector('[data-product="' + product.id + '"]');
      if (!line) return;
      line.querySelector(".left").textContent = words(product.state, product.available_quantity);
      line.dataset.state = product.state;
      if (product.state === "on_sale") free += product.available_quantity;
    });
    (said.slots || []).forEach(function (slot) {
      var option = live.querySelector('option[data-slot="' + slot.id + '"]');
      if (!option) return;
      option.textContent = option.dataset.day + " · " + words(slot.state, slot.available_quantity);
      option.disabled = slot.state !== "on_sale" && !option.selected;
    });
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
