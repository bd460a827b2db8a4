// Adds up the chosen tickets, and says at once what the server would refuse. The form works without it.
(function () {
  "use strict";
  var form = document.querySelector("form[data-order]");
  if (!form) return;
  var total = form.querySelector("[data-total]");
  var fields = Array.from(form.querySelectorAll("[data-price]"));
  var checked = Array.from(form.querySelectorAll("[data-check]"));
  var tickets = fields[0].closest("fieldset"), ticketsSaid = document.getElementById("items-error");
  var picker = document.getElementById("picker");

  // The rules of src/orders/contact.rs; what is wrong is named by its code.
  var HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;
  var NATIONAL = "(10\\d{8}|1[16-9]\\d{7,8})$";
  var MOBILE = new RegExp("^0" + NATIONAL), MOBILE_ABROAD = new RegExp("^820*" + NATIONAL);
  var ATOM = "[^\\s\"(),.:;<>@[\\\\\\]]+", LABEL = "[a-z0-9\\u0080-\\uffff]([a-z0-9\\u0080-\\uffff-]*[a-z0-9\\u0080-\\uffff])?";
  var ADDRESS = new RegExp("^(" + ATOM + "(\\." + ATOM + ")*|\".+\")@(" + LABEL + "(\\." + LABEL + ")*|\\[.+\\])$", "i");
  var rules = {
    name: function (field) {
      var name = field.value.trim();
      if (!name) return "required";
      if (HIDDEN.test(name)) return "control_characters";
      return Array.from(name).length > field.maxLength ? "too_long" : "";
    },
    phone: function (field) {
      var text = field.value.trim(), digits = text.replace(/\D/g, "");
      if (!text) return "required";
      var fits = /^\+?[0-9 -]{0,20}$/.test(text) && (text[0] === "+" ? MOBILE_ABROAD : MOBILE).test(digits);
      return fits ? "" : "phone";
    },
    email: function (field) {
      var text = field.value.trim();
      return !text || (!HIDDEN.test(text) && ADDRESS.test(text)) ? "" : "email";
    },
    consent: function (field) {
      return field.checked ? "" : "required";
    },
    quantity: function (field) {
      if (field.validity.badInput || !/^\d*$/.test(field.value.trim())) return "malformed";
      return Number(field.value) > Number(field.max) ? "per_order_limit" : "";
    }
  };

  /** Where and as the server says it; an empty text takes it back. */
  function say(field, text) {
    var place = document.getElementById(field.getAttribute("aria-describedby"));
    var words = text || place.dataset.hint || "";
    place.className = text || !place.dataset.hint ? "error" : "fine";
    // Said again only when it has changed.
    if (place.textContent !== words) place.textContent = words;
    if (text) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }

  function isWrong(field) {
    var code = rules[field.dataset.check](field);
    say(field, code && field.dataset[code]);
    return code !== "";
  }

  function count(wanted) {
    return fields.reduce(function (sum, field) {
      return sum + (!field.disabled && wanted(field) && parseInt(field.value, 10) || 0);
    }, 0);
  }

  function ticketsWrong(sending) {
    var limit = Number(form.dataset.limit), needed = form.dataset.needed, text = "";
    var counted = count(function (field) { return "counted" in field.dataset; });
    var none = count(function () { return true; }) === 0;
    if (limit && counted > limit) text = form.dataset.limitSaid.replace("{count}", counted);
    else if (none && (sending || ticketsSaid.textContent === needed)) text = needed;
    tickets.classList.toggle("bad", text !== "");
    if (ticketsSaid.textContent !== text) ticketsSaid.textContent = text;
    return text !== "";
  }

  function dateMissing() {
    var dated = count(function (field) { return "dated" in field.dataset; }) > 0;
    var chosen = picker && picker.querySelector("input:checked");
    return Boolean(picker) && dated && !(chosen && chosen.value);
  }

  /** What to look at in the picker: never something folded away. */
  function pickerFocus() {
    var seen = Array.from(picker.querySelectorAll("input:enabled")).filter(function (radio) {
      return !radio.closest("details:not([open])");
    });
    return seen.find(function (radio) { return radio.checked; }) || seen[0] || picker.querySelector("summary");
  }

  function firstWrong() {
    var wrong = checked.filter(isWrong);
    if (dateMissing()) {
      say(picker, picker.dataset.needed);
      wrong.push(pickerFocus());
    }
    if (ticketsWrong(true)) wrong.push(fields.find(function (field) { return !field.disabled; }));
    return wrong.filter(Boolean).sort(function (a, b) {
      return a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1;
    })[0];
  }

  function show() {
    var sum = fields.reduce(function (all, field) {
      return all + (field.disabled ? 0 : parseInt(field.value, 10) || 0) * Number(field.dataset.price);
    }, 0);
    total.hidden = count(function () { return true; }) === 0;
    total.querySelector("output").textContent =
      sum === 0 ? form.dataset.free : form.dataset.won.replace("{amount}", sum.toLocaleString("en-US"));
  }

  form.addEventListener("input", function (event) {
    var field = event.target;
    if ("price" in field.dataset) {
      show();
      ticketsWrong(false);
    }
    if (field.dataset.check && (field.type === "checkbox" || field.hasAttribute("aria-invalid"))) isWrong(field);
    if (!picker || !picker.hasAttribute("aria-invalid")) return;
    // Another day answers whatever was said of the last one; tickets can only answer that one is needed.
    var needed = document.getElementById("slot-hint").textContent === picker.dataset.needed;
    if (!dateMissing() && (needed || picker.contains(field))) say(picker, "");
  });

  // A field that was left is judged once the press that left it is over: words that appear move what is being pressed.
  var pressing = false, left = [];
  function judgeLeft() {
    left.splice(0).forEach(isWrong);
  }
  document.addEventListener("pointerdown", function () { pressing = true; }, true);
  ["pointerup", "pointercancel"].forEach(function (over) {
    document.addEventListener(over, function () {
      pressing = false;
      setTimeout(judgeLeft, 0);
    }, true);
  });
  form.addEventListener("focusout", function (event) {
    var field = event.target;
    // Still active: the whole window was left.
    if (!field.dataset.check || field.type === "checkbox" || field === document.activeElement) return;
    left.push(field);
    if (!pressing) setTimeout(judgeLeft, 0);
  });

  window.addEventListener("pageshow", function () {
    form.querySelector("button[type=submit]").disabled = false;
    show();
  });
  form.addEventListener("submit", function (event) {
    var wrong = firstWrong();
    if (wrong) {
      event.preventDefault();
      wrong.focus();
      return;
    }
    // After the browser has read the form; pressing twice would be one order anyway.
    setTimeout(function () { form.querySelector("button[type=submit]").disabled = true; }, 0);
  });
  // Its own words are the browser's language, not the page's.
  form.noValidate = true;
  show();
  var refused = form.querySelector("[role=alert]");
  if (refused) refused.focus();
})();
