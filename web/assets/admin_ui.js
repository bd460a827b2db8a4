// What every page of the control room is built from: elements, words, numbers and times, tables, notices.
(function () {
  "use strict";
  const main = document.getElementById("main");
  const words = JSON.parse(main.dataset.words), language = main.dataset.language, ko = language === "ko";
  const SEOUL_MS = 9 * 3600000;
  const WEEKDAYS = ko ? [..."일월화수목금토"] : ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  /** `{n}` is a value; `{n|slot|slots}` is the first word for one, and else the second. */
  const fill = (text, values) => text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (whole, name, one, more) => (!values || !(name in values) ? whole : one === undefined ? values[name] : String(values[name]) === "1" ? one : more));
  /** The text under a key with its places filled; the key itself where there is none. */
  const t = (key, values) => fill(words[key] ?? key, values);
  /** The text of one of a family, such as a state; what has none is shown as it is. */
  const word = (family, name) => words[`${family}.${name}`] ?? String(name ?? "");
  const nothing = (value) => value === null || value === undefined || value === false;

  function into(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (nothing(value)) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "value") element.value = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => !nothing(child)));
    return element;
  }
  /** `h("p", { class: "fine", onclick }, "text", child)`: null and false leave an attribute or a child out. */
  const h = (tag, attributes, ...children) => into(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) => into(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

  const number = (value, digits = 0) => (nothing(value) ? "–" : Number(value).toLocaleString(language, { maximumFractionDigits: digits }));
  const won = (amount) => (nothing(amount) ? "–" : t("won", { amount: number(amount) }));
  const percent = (share, digits = 1) => (nothing(share) ? "–" : `${number(share * 100, digits)}%`);
  const ms = (value) => (nothing(value) ? "–" : t("ms", { n: number(value) }));

  const two = (value) => String(value).padStart(2, "0");
  /** The clock on the wall in Seoul, to be read with the getters of UTC. */
  const wall = (at) => new Date((typeof at === "number" ? at : Date.parse(at)) + SEOUL_MS);
  const clock = (at) => `${two(wall(at).getUTCHours())}:${two(wall(at).getUTCMinutes())}`;
  const clock_s = (at) => `${clock(at)}:${two(wall(at).getUTCSeconds())}`;
  function dated(day, year) {
    const [d, m, w] = [day.getUTCDate(), day.getUTCMonth(), WEEKDAYS[day.getUTCDay()]];
    if (ko) return `${year ? `${day.getUTCFullYear()}년 ` : ""}${m + 1}월 ${d}일 (${w})`;
    return `${w} ${d} ${MONTHS[m]}${year ? ` ${day.getUTCFullYear()}` : ""}`;
  }
  const other_year = (day) => day.getUTCFullYear() !== wall(Date.now()).getUTCFullYear();
  /** `2026-12-03` in words, with the year where it is not this one. */
  const date = (text) => { const day = new Date(`${text}T00:00:00Z`); return dated(day, other_year(day)); };
  const moment = (at) => (nothing(at) ? "–" : `${dated(wall(at), other_year(wall(at)))} ${clock(at)}`);
  const moment_s = (at) => (nothing(at) ? "–" : `${dated(wall(at), other_year(wall(at)))} ${clock_s(at)}`);
  const today = () => wall(Date.now()).toISOString().slice(0, 10);
  const days_from = (text, days) => new Date(Date.parse(`${text}T00:00:00Z`) + days * 86400000).toISOString().slice(0, 10);
  /** A moment as a field of the kind `datetime-local` has it, in Seoul, and back. */
  const local = (at) => (nothing(at) ? "" : wall(at).toISOString().slice(0, 16));
  const from_local = (text) => (text ? `${text}${text.length === 16 ? ":00" : ""}+09:00` : null);
  /** A slot's day and hours. */
  const slot = (one) => [one.date && date(one.date), one.start_time && `${one.start_time.slice(0, 5)}–${one.end_time.slice(0, 5)}`].filter(Boolean).join(" ");
  const named = (one) => (ko ? one.name_ko ?? one.name : one.name_en ?? one.name) ?? "";

  function age(of_ms) {
    const s = Math.max(0, Math.round(of_ms / 1000));
    if (s < 60) return t("age_s", { n: s });
    if (s < 3600) return t("age_min", { n: Math.floor(s / 60) });
    return s < 86400 ? t("age_h", { n: Math.floor(s / 3600) }) : t("age_d", { n: Math.floor(s / 86400) });
  }
  const ago = (at) => t("ago", { age: age(Date.now() - (typeof at === "number" ? at : Date.parse(at))) });

  const notice = (text, bad = true, ...more) => h("div", { class: bad ? "notice bad" : "notice", role: bad ? "alert" : "status" }, h("p", null, text), more);
  const button = (text, onclick, attributes) => h("button", { type: "button", class: "quiet small", onclick, ...attributes }, text);
  const badge = (text, kind) => h("span", { class: `state ${kind || ""}` }, text);
  const bar = (share, label) => h("progress", { max: 1, value: Math.min(1, Math.max(0, share || 0)), "aria-label": label });

  /**
   * A table that is a list of cards on a phone. `head`: texts, or `{ text, num }`; cells: texts or elements; the first
   * of a row names it. The roles are said because a phone's layout would take them away.
   */
  function table({ caption, head, rows, empty, foot }) {
    if (!rows.length) return h("p", { class: "fine empty" }, empty ?? t("none"));
    const heads = head.map((one) => (typeof one === "string" ? { text: one } : one));
    const cell = (value, n, tag) => {
      const { text, num } = heads[n];
      const first = n === 0;
      return h(first ? "th" : "td", { role: first ? "rowheader" : "cell", scope: first ? "row" : null, class: num ? "num" : null, "data-label": first || tag ? null : text }, value);
    };
    const row = (cells) => h("tr", { role: "row" }, cells.map((value, n) => cell(value, n)));
    return h("table", { class: "cards-on-phone", role: "table" },
      h("caption", { class: "hidden" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map(({ text, num, hide }) =>
        h("th", { role: "columnheader", scope: "col", class: num ? "num" : null }, hide ? h("span", { class: "hidden" }, text) : text)))),
      h("tbody", { role: "rowgroup" }, rows.map(row)),
      foot && h("tfoot", { role: "rowgroup" }, row(foot)));
  }

  /** Said to whoever does not see the screen. */
  const say = (text) => { document.getElementById("said").textContent = text; };
  const panel = (title, ...children) => h("section", { class: "panel" }, h("h2", null, title), children);
  const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));

  globalThis.AdminUi = {
    language, t, word, h, svg, number, won, percent, ms, clock, clock_s, date, moment, moment_s, local, from_local, today, days_from, slot, named, age, ago,
    notice, button, badge, bar, table, say, panel, facts,
  };
})();
