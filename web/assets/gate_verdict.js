// The verdict over the whole screen: colour, sign, words, sound and vibration; and what may still be done about it.
(function () {
  "use strict";
  var $ = function (id) { return document.getElementById(id); };
  /** How long an admission is shown. [ms] */
  var SHOWN = 1600;
  var result = $("result"), form = $("force-form"), people = $("people"), on = null, hide = 0, sound = null, before = null;

  function part(name, text) { result.querySelector("." + name).textContent = text || ""; }

  function behind(inert) { document.querySelectorAll("body > header, body > main").forEach(function (one) { one.inert = inert; }); }

  /** `it`: kind (allowed, refused, unjudged, choose), sign, head, why, who, alone, undo, force, free. */
  function present(it) {
    var allowed = it.kind === "allowed";
    result.dataset.verdict = it.kind;
    part("sign", it.sign); part("verdict", it.head); part("why", it.why); part("who", it.who); part("alone", it.alone);
    $("undo").hidden = !it.undo;
    $("force").hidden = !it.force;
    unfold(false);
    people.hidden = it.kind !== "choose";
    if (result.hidden) before = document.activeElement;
    result.hidden = false;
    clearTimeout(hide);
    // Who is let in goes by while somebody already types or points at the next one.
    behind(!allowed);
    if (allowed) hide = setTimeout(close, SHOWN);
    else if (it.kind === "choose") {
      people.people.max = people.people.value = it.free;
      $("let-in").focus();
      return;
    } else $("next").focus();
    beep(allowed);
    if (navigator.vibrate) navigator.vibrate(allowed ? 80 : [200, 100, 200]);
  }

  function close() {
    clearTimeout(hide);
    var inside = result.contains(document.activeElement);
    result.hidden = true;
    behind(false);
    if (inside && before && before.isConnected) before.focus();
    before = null;
  }

  function unfold(open) {
    form.hidden = !open;
    form.reset();
    $("force-wrong").textContent = "";
    $("force").setAttribute("aria-expanded", open);
    if (open) form.username.focus();
  }

  function beep(good) {
    if (!sound) return;
    var tone = sound.createOscillator(), volume = sound.createGain();
    tone.frequency.value = good ? 1046 : 196;
    volume.gain.value = .2;
    tone.connect(volume).connect(sound.destination);
    tone.start();
    tone.stop(sound.currentTime + (good ? .12 : .45));
  }

  [["fewer", -1], ["more-people", 1]].forEach(function (one) {
    $(one[0]).addEventListener("click", function () {
      var now = Number(people.people.value) + one[1];
      people.people.value = Math.min(Math.max(now, 1), Number(people.people.max));
    });
  });
  people.addEventListener("submit", function (event) {
    event.preventDefault();
    on.people(Number(people.people.value));
  });
  $("next").addEventListener("click", close);
  result.addEventListener("keydown", function (event) { if (event.key === "Escape") close(); });
  $("undo").addEventListener("click", function () { close(); on.undo(); });
  $("force").addEventListener("click", function () { unfold(form.hidden); });
  form.addEventListener("submit", async function (event) {
    event.preventDefault();
    $("force-wrong").textContent = "";
    var wrong = await on.force({ username: form.username.value.trim(), password: form.password.value, why: form.why.value.trim() });
    form.password.value = "";
    if (!wrong) return;
    $("force-wrong").textContent = wrong;
    form.password.focus();
  });

  globalThis.GateVerdict = {
    present: present,
    close: close,
    /** The camera looks away while somebody reads a refusal. */
    holds: function () { return !result.hidden && result.dataset.verdict !== "allowed"; },
    /** Browsers let a page make sounds only after it was touched. */
    touched: function () { if (!sound && window.AudioContext) sound = new AudioContext(); },
    begin: function (handlers) { on = handlers; },
  };
})();
