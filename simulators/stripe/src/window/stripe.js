// Stands in for https://js.stripe.com/v3/: same calls as far as a shop needs them, a simulated window.
(function () {
  "use strict";
  var script = document.currentScript || document.querySelector('script[src*="/v3"]');
  var origin = new URL(script.src, location.href).origin;

  function failure(message, code) {
    return { error: { type: "invalid_request_error", code: code, message: message } };
  }

  function intentOf(clientSecret) {
    var at = String(clientSecret || "").indexOf("_secret_");
    return at > 0 ? clientSecret.slice(0, at) : null;
  }

  // Draws nothing but a note: cards are chosen in the window.
  function element(type) {
    var handlers = {}, node = null;
    var self = {
      mount: function (target) {
        var parent = typeof target === "string" ? document.querySelector(target) : target;
        if (!parent) throw new Error("The selector you specified (" + target + ") applies to no DOM elements.");
        node = document.createElement("p");
        node.textContent = "결제 수단은 다음 화면에서 고릅니다. You choose how to pay on the next page. (시뮬레이터 · simulator)";
        parent.replaceChildren(node);
        setTimeout(function () {
          (handlers.ready || []).forEach(function (handler) { handler({ elementType: type }); });
          (handlers.change || []).forEach(function (handler) { handler({ elementType: type, complete: true, empty: false }); });
        }, 0);
      },
      on: function (name, handler) { (handlers[name] = handlers[name] || []).push(handler); return self; },
      update: function () {}, focus: function () {}, blur: function () {}, collapse: function () {},
      unmount: function () { if (node) node.remove(); node = null; },
      destroy: function () { self.unmount(); },
    };
    return self;
  }

  function Stripe(key) {
    if (!/^pk_/.test(key || "")) throw new Error("Please call Stripe() with your publishable key. You used \"" + key + "\".");

    function retrieve(clientSecret) {
      var id = intentOf(clientSecret);
      if (!id) return Promise.resolve(failure("Invalid value for the client secret.", "parameter_invalid"));
      var query = new URLSearchParams({ key: key, client_secret: clientSecret });
      return fetch(origin + "/v1/payment_intents/" + encodeURIComponent(id) + "?" + query).then(function (answer) {
        return answer.json().then(function (body) { return answer.ok ? { paymentIntent: body } : { error: body.error }; });
      }).catch(function (error) { return { error: { type: "api_connection_error", message: error.message } }; });
    }

    // Goes to the window and, as with a redirect at Stripe, never resolves unless something is wrong.
    function confirm(ask) {
      var params = (ask && ask.confirmParams) || {};
      var clientSecret = ask && (ask.clientSecret || (ask.elements && ask.elements._clientSecret));
      var id = intentOf(clientSecret);
      if (!id) return Promise.reject(new Error("confirmPayment(): clientSecret is missing."));
      if (!params.return_url) return Promise.reject(new Error("confirmPayment(): confirmParams.return_url is missing."));
      return retrieve(clientSecret).then(function (answer) {
        if (answer.error) return answer;
        var query = new URLSearchParams({ client_secret: clientSecret, return_url: params.return_url });
        location.assign(origin + "/window/" + encodeURIComponent(id) + "?" + query);
        return new Promise(function () {});
      });
    }

    return {
      elements: function (options) {
        var made = {};
        return {
          _clientSecret: options && options.clientSecret,
          create: function (type) { return (made[type] = element(type)); },
          getElement: function (type) { return made[type] || null; },
          submit: function () { return Promise.resolve({}); },
          update: function () {},
        };
      },
      confirmPayment: confirm,
      retrievePaymentIntent: retrieve,
    };
  }

  Stripe.version = 3;
  window.Stripe = Stripe;
})();
