// Looks again whether what this page waits for has come, and shows it when it has.
(function () {
  "use strict";
  var page = document.querySelector("[data-again]");
  if (!page) return;
  var every = Number(page.dataset.again) * 1000, pause = every;
  function look() {
    if (document.hidden) return void setTimeout(look, every);
    fetch(location.pathname, { credentials: "same-origin" }).then(function (reply) {
      if (!reply.ok) throw reply.status;
      return reply.text();
    }).then(function (body) {
      // Still waiting: nothing moves under the reader's eyes.
      if (body.indexOf('data-again="') < 0) return location.reload();
      pause = every;
      setTimeout(look, pause);
    }).catch(function () {
      pause = Math.min(60000, pause * 2);
      setTimeout(look, pause);
    });
  }
  setTimeout(look, pause);
})();
