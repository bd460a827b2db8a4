// Closing the list of orders deletes their tickets from what this browser keeps for where there is no network.
document.getElementById("close").addEventListener("submit", function (event) {
  "use strict";
  if (!window.caches) return;
  event.preventDefault();
  var form = this, kept = Array.from(document.querySelectorAll("[data-kept]"), function (e) { return e.dataset.kept; });
  caches.open("tickets-1").then(function (tickets) {
    return Promise.all(kept.map(function (path) { return tickets.delete(path); }));
  }).catch(function () { /* There was nothing. */ }).then(function () { form.submit(); });
});
