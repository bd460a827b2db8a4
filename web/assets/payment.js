// Opens the provider's window for a new attempt, shows the time that is left, gives the places back on request.
(function () {
  "use strict";
  var pay = document.getElementById("pay"), cancel = document.getElementById("cancel");
  var clock = document.getElementById("clock"), problem = document.getElementById("problem");
  if (!pay) return;
  var text = pay.textContent, order = pay.dataset.order;
  // Stripe's form, once it is shown: the next press goes on with it.
  var goOn = null;
  // Seconds since this page was sent, by a clock that nobody turns.
  var leftAtStart = Number(clock.dataset.until) - Number(clock.dataset.now), started = performance.now();

  pay.hidden = cancel.hidden = false;

  // The places are gone: nothing on this page holds any more but the way to new ones.
  function over(words) {
    pay.hidden = cancel.hidden = true;
    ["left", "kept", "methods", "ways"].forEach(function (id) {
      var part = document.getElementById(id);
      if (part) part.hidden = true;
    });
    document.getElementById("again").hidden = false;
    tell(words);
  }

  function tell(words) {
    problem.textContent = words || "";
    problem.hidden = !words;
  }

  function busy(is) {
    pay.disabled = cancel.disabled = is;
    pay.textContent = is ? pay.dataset.busy : text;
  }

  function tick() {
    var left = Math.max(0, Math.ceil((leftAtStart - (performance.now() - started)) / 1000));
    clock.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
    clock.classList.toggle("soon", left <= 60);
    if (left > 0) return void setTimeout(tick, 500);
    over(pay.dataset.lapsed);
  }

  function call(path, body, key) {
    var headers = { "Content-Type": "application/json", "Accept-Language": document.documentElement.lang };
    if (key) headers["Idempotency-Key"] = key;
    return fetch(path, { method: "POST", headers: headers, body: JSON.stringify(body) }).then(function (reply) {
      return reply.json().then(function (said) {
        if (!reply.ok) throw { detail: said.detail, gone: reply.status === 410 };
        return said;
      });
    });
  }

  function method() {
    var chosen = document.querySelector("#methods input:checked");
    return chosen ? chosen.value : "CARD";
  }

  // What only some methods ask for is shown with them.
  function showMethod() {
    document.querySelectorAll("#methods [data-for]").forEach(function (part) {
      part.hidden = part.dataset.for.split(" ").indexOf(method()) < 0;
    });
  }

  function toss(attempt) {
    var wishes = attempt.window || {};
    return TossPayments(attempt.client_key).payment({ customerKey: attempt.customer_key }).requestPayment({
      method: method(),
      transfer: method() === "TRANSFER" ? wishes.transfer : undefined,
      virtualAccount: method() === "VIRTUAL_ACCOUNT" ? wishes.virtualAccount : undefined,
      amount: { currency: "KRW", value: attempt.amount },
      orderId: attempt.order_id,
      orderName: attempt.order_name,
      successUrl: attempt.success_url,
      failUrl: attempt.fail_url,
      windowTarget: "self"
    });
  }

  // Stripe draws its form into this page; what is filled in goes to Stripe alone.
  function stripe(attempt) {
    var sdk = Stripe(attempt.client_key);
    var elements = sdk.elements({ clientSecret: attempt.client_secret, locale: document.documentElement.lang });
    elements.create("payment").mount("#element");
    document.getElementById("ways").hidden = false;
    busy(false);
    goOn = function () {
      busy(true);
      return elements.submit().then(function (checked) {
        if (checked.error) throw checked.error;
        return sdk.confirmPayment({ elements: elements, confirmParams: { return_url: attempt.success_url } });
      }).then(function (ended) { throw ended.error; });
    };
  }

  function failed(error) {
    busy(false);
    if (!error) return tell(pay.dataset.failed);
    if (error.gone) return over(error.detail || pay.dataset.lapsed);
    var closed = error.code === "USER_CANCEL" || error.code === "PAY_PROCESS_CANCELED";
    // Stripe words these for the buyer, in the page's language.
    var said = error.type === "card_error" || error.type === "validation_error" ? error.message : "";
    tell(closed ? pay.dataset.cancelled : error.detail || said || pay.dataset.failed);
  }

  pay.addEventListener("click", function () {
    tell();
    if (goOn) return void goOn().catch(failed);
    // Which of them is wanted is known with the attempt.
    if (typeof TossPayments !== "function" && typeof Stripe !== "function") return tell(pay.dataset.missing);
    busy(true);
    var key = Array.from(crypto.getRandomValues(new Uint8Array(16)), function (b) { return b.toString(16).padStart(2, "0"); }).join("");
    var ask = { order_number: order, amount: Number(pay.dataset.amount) };
    if (method() !== "CARD") ask.cash_receipt = document.getElementById("cash").value;
    call("/api/payments/initialize", ask, key).then(function (attempt) {
      var open = attempt.provider === "stripe" ? stripe : toss;
      if (typeof (attempt.provider === "stripe" ? window.Stripe : window.TossPayments) !== "function") {
        throw { detail: pay.dataset.missing };
      }
      return open(attempt);
    }).catch(failed);
  });

  cancel.addEventListener("click", function () {
    if (!window.confirm(cancel.dataset.sure)) return;
    tell();
    busy(true);
    call("/api/orders/" + encodeURIComponent(order) + "/cancel", {}).then(function () {
      location.assign(cancel.dataset.back);
    }).catch(function (error) {
      busy(false);
      tell((error && error.detail) || pay.dataset.failed);
    });
  });

  var methods = document.getElementById("methods");
  if (methods) {
    methods.addEventListener("change", showMethod);
    // A browser that comes back may have kept another choice.
    showMethod();
  }

  // Coming back from the provider's window revives the page as it was left; time has passed since.
  window.addEventListener("pageshow", function (event) { if (event.persisted) location.reload(); });
  tick();
})();
