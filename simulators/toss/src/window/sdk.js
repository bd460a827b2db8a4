// Stands in for https://js.tosspayments.com/v2/standard: same calls, a simulated window.
(function () {
  "use strict";
  var script = document.currentScript || document.querySelector('script[src*="/v2/standard"]');
  var origin = new URL(script.src, location.href).origin;
  var ANONYMOUS = "@@ANONYMOUS";
  var METHODS = ["CARD", "TRANSFER", "VIRTUAL_ACCOUNT", "MOBILE_PHONE", "CULTURE_GIFT_CERTIFICATE",
    "BOOK_GIFT_CERTIFICATE", "GAME_GIFT_CERTIFICATE", "FOREIGN_EASY_PAY"];
  var busy = false;

  function failure(code, message) {
    var error = new Error(message);
    error.code = code;
    return error;
  }

  function absolute(url) {
    try { return /^https?:$/.test(new URL(url).protocol); } catch (_) { return false; }
  }

  function mobile() {
    return /Android|iPhone|iPad|iPod|Mobile/i.test(navigator.userAgent);
  }

  // Throws the error that a wrong call deserves, before anything is opened.
  function check(ask) {
    if (!ask || typeof ask !== "object") throw failure("INVALID_PARAMETERS", "결제 정보가 필요합니다.");
    if (METHODS.indexOf(ask.method) < 0) throw failure("NOT_SUPPORTED_METHOD", "지원되지 않는 결제 수단입니다.");
    var amount = ask.amount;
    if (!amount || typeof amount.value !== "number" || !isFinite(amount.value)) throw failure("INVALID_AMOUNT", "amount.value는 숫자여야 합니다.");
    if (amount.value <= 0) throw failure("BELOW_ZERO_AMOUNT", "금액은 0보다 커야 합니다.");
    if (amount.currency !== "KRW") throw failure("INVALID_CURRENCY", "시뮬레이터는 KRW만 지원합니다.");
    if (!/^[A-Za-z0-9_=-]{6,64}$/.test(ask.orderId || "")) throw failure("INVALID_ORDER_ID", "orderId는 6자 이상 64자 이하의 영문, 숫자, -, _, = 입니다.");
    if (typeof ask.orderName !== "string" || !ask.orderName || ask.orderName.length > 100) throw failure("INVALID_ORDER_NAME", "orderName은 1자 이상 100자 이하입니다.");
    if (ask.customerMobilePhone != null && !/^\d{8,15}$/.test(ask.customerMobilePhone)) throw failure("INVALID_CUSTOMER_MOBILE_PHONE", "전화번호는 숫자 8~15자리입니다.");
    var redirect = ask.successUrl != null || ask.failUrl != null;
    if (redirect && !absolute(ask.successUrl)) throw failure("INCORRECT_SUCCESS_URL_FORMAT", "successUrl은 오리진을 포함해야 합니다.");
    if (redirect && !absolute(ask.failUrl)) throw failure("INCORRECT_FAIL_URL_FORMAT", "failUrl은 오리진을 포함해야 합니다.");
    if (!redirect && mobile()) throw failure("NOT_SUPPORTED_PROMISE", "모바일에서는 successUrl과 failUrl이 필요합니다.");
    if (ask.metadata != null && (typeof ask.metadata !== "object" || Object.keys(ask.metadata).length > 5)) throw failure("INVALID_METADATA", "metadata는 최대 5쌍입니다.");
    return redirect;
  }

  function address(clientKey, customerKey, ask, redirect) {
    var options = ask.card || ask.transfer || ask.virtualAccount || {};
    var query = new URLSearchParams();
    var put = function (name, value) { if (value != null && value !== "") query.set(name, String(value)); };
    put("clientKey", clientKey);
    put("customerKey", customerKey);
    put("method", ask.method);
    put("amount", ask.amount.value);
    put("currency", ask.amount.currency);
    ["orderId", "orderName", "successUrl", "failUrl", "customerEmail", "customerName", "taxFreeAmount"].forEach(function (name) { put(name, ask[name]); });
    if (ask.metadata) put("metadata", JSON.stringify(ask.metadata));
    if (options.useEscrow) put("useEscrow", "true");
    if (options.isCulturalExpenses) put("cultureExpense", "true");
    put("validHours", options.validHours);
    if (options.cashReceipt) put("cashReceiptType", options.cashReceipt.type);
    if (!redirect) put("opener", location.origin);
    return origin + "/_sim/window?" + query;
  }

  function request(clientKey, customerKey, ask) {
    return new Promise(function (resolve, reject) {
      if (busy) return reject(failure("DUPLICATED_REQUEST", "다른 결제가 진행 중입니다."));
      var redirect;
      try { redirect = check(ask); } catch (error) { return reject(error); }
      var url = address(clientKey, customerKey, ask, redirect);
      busy = true;
      // The page is left: like the original, this promise is never settled.
      if (redirect) return location.assign(url);
      frame(url, resolve, reject);
    });
  }

  // Coming back with the back button revives the page as it was, busy flag and all.
  window.addEventListener("pageshow", function () { busy = false; });

  // The window of the promise mode: a frame over the page, closed by a result or by the buyer.
  function frame(url, resolve, reject) {
    var veil = document.createElement("div");
    veil.style.cssText = "position:fixed;inset:0;z-index:2147483647;background:rgba(0,0,0,.5);display:flex;flex-direction:column;align-items:center;justify-content:center";
    var close = document.createElement("button");
    close.type = "button";
    close.id = "toss-simulator-close";
    close.textContent = "닫기 · Close";
    close.style.cssText = "margin:8px;padding:10px 16px;font:inherit;cursor:pointer";
    var view = document.createElement("iframe");
    view.title = "결제 · Payment";
    view.src = url;
    view.style.cssText = "width:min(480px,100%);height:min(720px,85%);border:0;border-radius:12px;background:#fff";
    function finish(settle, value) {
      busy = false;
      window.removeEventListener("message", heard);
      veil.remove();
      settle(value);
    }
    function heard(event) {
      var data = event.origin === origin && event.source === view.contentWindow && event.data && event.data.tossSimulator;
      if (!data) return;
      if (data.result) finish(resolve, data.result);
      else finish(reject, failure(data.error.code, data.error.message));
    }
    close.onclick = function () { finish(reject, failure("USER_CANCEL", "사용자가 결제창을 닫았습니다.")); };
    window.addEventListener("message", heard);
    veil.append(close, view);
    document.body.append(veil);
    close.focus();
  }

  function customer(options) {
    var key = options && options.customerKey;
    if (key !== ANONYMOUS && !/^[A-Za-z0-9\-_=.@]{2,300}$/.test(key || "")) {
      throw failure("INVALID_CUSTOMER_KEY", "customerKey는 2자 이상의 영문, 숫자, -_=.@ 입니다.");
    }
    return key === ANONYMOUS ? null : key;
  }

  function place(options) {
    var target = options && typeof options.selector === "string" && document.querySelector(options.selector);
    if (!target) throw failure("INVALID_SELECTOR", "selector에 해당하는 요소가 없습니다.");
    if (target.dataset.tossSimulator) throw failure("ALREADY_RENDERED", "이미 렌더링되었습니다.");
    target.dataset.tossSimulator = "1";
    return target;
  }

  function choice(type, name, value, label, checked) {
    var line = document.createElement("label");
    line.style.cssText = "display:flex;gap:8px;align-items:center;min-height:44px";
    var input = document.createElement("input");
    input.type = type;
    input.name = name;
    input.value = value;
    input.checked = checked;
    line.append(input, document.createTextNode(label));
    return { line: line, input: input };
  }

  function emitter() {
    var heard = {};
    return {
      on: function (name, call) { (heard[name] = heard[name] || []).push(call); },
      emit: function (name, value) { (heard[name] || []).forEach(function (call) { call(value); }); }
    };
  }

  function widgets(clientKey, customerKey) {
    var amount = null, method = null, terms = null;
    return {
      setAmount: async function (value) { amount = value; },
      renderPaymentMethods: async function (options) {
        if (!amount) throw failure("NOT_SETUP_AMOUNT", "setAmount를 먼저 호출해주세요.");
        var target = place(options), events = emitter();
        method = "CARD";
        [["CARD", "카드 · Card"], ["TRANSFER", "계좌이체 · Transfer"], ["VIRTUAL_ACCOUNT", "가상계좌 · Virtual account"]].forEach(function (row, n) {
          var made = choice("radio", "toss-simulator-method", row[0], row[1], n === 0);
          made.input.onchange = function () { method = row[0]; events.emit("paymentMethodSelect", { code: method }); };
          target.append(made.line);
        });
        return {
          on: events.on,
          getSelectedPaymentMethod: async function () { return { code: method }; },
          destroy: async function () { target.replaceChildren(); delete target.dataset.tossSimulator; method = null; }
        };
      },
      renderAgreement: async function (options) {
        var target = place(options), events = emitter();
        var made = choice("checkbox", "toss-simulator-terms", "agreed", "[필수] 결제 서비스 이용 약관 동의 · I agree to the terms", true);
        terms = made.input;
        terms.onchange = function () { events.emit("agreementStatusChange", { agreedRequiredTerms: made.input.checked }); };
        target.append(made.line);
        return { on: events.on, destroy: async function () { target.replaceChildren(); delete target.dataset.tossSimulator; terms = null; } };
      },
      requestPayment: async function (ask) {
        if (!amount) throw failure("NOT_SETUP_AMOUNT", "setAmount를 먼저 호출해주세요.");
        if (!method) throw failure("NOT_SELECTED_PAYMENT_METHOD", "결제 수단을 선택해주세요.");
        if (!terms || !terms.checked) throw failure("NEED_AGREEMENT_WITH_REQUIRED_TERMS", "필수 약관에 동의해주세요.");
        return request(clientKey, customerKey, Object.assign({}, ask, { method: method, amount: amount }));
      }
    };
  }

  function TossPayments(clientKey) {
    var kind = /^(test|live)_(g?)ck_/.exec(clientKey || "");
    if (!kind) throw failure("INVALID_CLIENT_KEY", "클라이언트 키가 올바르지 않습니다.");
    return {
      payment: function (options) {
        if (kind[2]) throw failure("INVALID_CLIENT_KEY", "API 개별 연동 키의 클라이언트 키를 사용해주세요.");
        var key = customer(options);
        return { requestPayment: function (ask) { return request(clientKey, key, ask); } };
      },
      widgets: function (options) {
        if (!kind[2]) throw failure("INVALID_CLIENT_KEY", "결제위젯 연동 키의 클라이언트 키를 사용해주세요.");
        return widgets(clientKey, customer(options));
      }
    };
  }

  TossPayments.ANONYMOUS = ANONYMOUS;
  window.TossPayments = TossPayments;
})();
