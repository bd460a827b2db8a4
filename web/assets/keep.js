// Asks for the worker that keeps this page for where there is no network, and says so once it has.
(function () {
  "use strict";
  if (!("serviceWorker" in navigator)) return;
  navigator.serviceWorker.register("/sw.js").then(function () {
    return navigator.serviceWorker.ready;
  }).then(function (registration) {
    // The first visit went past the worker: it fetches the page itself.
    var channel = new MessageChannel();
    channel.port1.onmessage = function (said) {
      var kept = document.getElementById("kept");
      if (kept && said.data === "kept") kept.hidden = false;
    };
    registration.active.postMessage({ keep: location.pathname }, [channel.port2]);
  }).catch(function () { /* The page is good without it. */ });
})();
// A link for a companion goes through the phone's own way of sharing, where it has one.
document.querySelectorAll("[data-share]").forEach(function (link) {
  if (!navigator.share) return;
  link.addEventListener("click", function (event) {
    event.preventDefault();
    navigator.share({ url: link.href, title: document.title }).catch(function () { /* Thought better of it. */ });
  });
});
// A screen that goes dark in the queue at the door holds everybody up.
(function () {
  "use strict";
  if (!("wakeLock" in navigator) || !document.querySelector(".qr")) return;
  function stay() {
    if (!document.hidden) navigator.wakeLock.request("screen").catch(function () { /* The battery comes first. */ });
  }
  document.addEventListener("visibilitychange", stay);
  stay();
})();
