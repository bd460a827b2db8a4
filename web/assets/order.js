// Adds up the chosen tickets. The form works without it.
(function () {
  "use strict";
  var form = document.querySelector("form[data-order]");
  if (!form) return;
  var total = form.querySelector("[data-total]");
  var fields = form.querySelectorAll("[data-price]");

  function show() {
    var sum = 0, count = 0;
    fields.forEach(function (field) {
      var n = parseInt(field.value, 10) || 0;
      count += n;
      sum += n * Number(field.dataset.price);
    });
    total.hidden = count === 0;
    total.querySelector("output").textContent =
      sum === 0 ? form.dataset.free : form.dataset.won.replace("{amount}", sum.toLocaleString("en-US"));
  }

  form.addEventListener("input", show);
  window.addEventListener("pageshow", function () {
    form.querySelector("button[type=submit]").disabled = false;
    show();
  });
  form.addEventListener("submit", function () {
    // After the browser has read the form; pressing twice would be one order anyway.
    setTimeout(function () { form.querySelector("button[type=submit]").disabled = true; }, 0);
  });
  show();
  var refused = form.querySelector("[role=alert]");
  if (refused) refused.focus();
})();
