// Says the chosen day in words and makes days that unfold easier to use. The picker works without it.
(function () {
  "use strict";
  var picker = document.getElementById("picker"), said = document.getElementById("chosen");
  if (!picker) return;

  function show() {
    var radio = picker.querySelector("input:checked");
    said.textContent = radio && radio.dataset.name ? said.dataset.words.replace("{day}", radio.dataset.name) : "";
  }

  // One day open at a time. Only here: without the help below, a chosen time that is folded away would keep the keyboard
  // from all others, for Tab stops at the chosen radio alone.
  picker.querySelectorAll("details.day").forEach(function (day) { day.setAttribute("name", "day"); });
  picker.addEventListener("keydown", function (event) {
    if (event.key !== "Tab" || event.shiftKey || event.target.tagName !== "SUMMARY") return;
    var fold = event.target.parentNode;
    if (!fold.open || fold.querySelector("details")) return;
    var radio = fold.querySelector("input:checked") || fold.querySelector("input:enabled");
    if (!radio) return;
    event.preventDefault();
    radio.focus();
  });

  picker.addEventListener("change", show);
  // A revived page has its choice back, but no event.
  window.addEventListener("pageshow", show);
  show();
})();
