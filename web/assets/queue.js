// Keeps the waiting page up to date. A change of state brings the page's own HTML, so that every sentence is written
// once, in the template; in between only figures move. Without this the page reloads itself.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id), witness = $("witness");
  let room = $("room"), timer, clock, busy, sending, failures = 0, asked = 0, spoken = 0;
  const { code, language } = (room || witness).dataset, page = `/${code}/queue`, api = `/api/exhibitions${page}/`;
  const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const show = (element, text) => { put(element, text || ""); element.hidden = !text; };
  const trouble = (text) => show($("trouble"), text), excuse = () => $("trouble").dataset.text;
  const aloud = (text) => { spoken = Date.now(); put($("say"), text); };
  const again = (ms) => { clearTimeout(timer); timer = setTimeout(poll, ms); };
  // Longer each time, and never all at the same moment.
  const pause = (error) =>
    Math.max(error.after * 1000 || 0, Math.min(60000, 1000 * 2 ** ++failures)) * (0.75 + Math.random() / 2);

  async function call(path, body) {
    const stop = new AbortController(), limit = setTimeout(() => stop.abort(), 15000);
    const options = { cache: "no-store", signal: stop.signal, headers: { "Accept-Language": language } };
    if (path === page) options.headers.Accept = "text/html";
    if (body) {
      options.method = "POST";
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    try {
      const reply = await fetch(path, options);
      if (path === page && reply.ok) return reply;
      const said = await reply.json();
      if (reply.ok) return said;
      throw { status: reply.status, detail: said.detail, after: reply.headers.get("Retry-After") };
    } finally {
      clearTimeout(limit);
    }
  }

  // Minutes, or half hours; src/orders/pages/queue_view.rs says the same.
  function band(words, eta) {
    if (!eta) return words.unknown;
    let from = Math.floor(eta.from_s / 60), to = Math.ceil(Math.max(1, eta.to_s) / 60), text = words.minutes;
    if (from >= 60) [text, from, to] = [words.hours, Math.floor(from / 30) / 2, Math.ceil(to / 30) / 2];
    else if (from < 1 || from >= to) text = words.within;
    return text.replace("{from}", from).replace("{to}", to);
  }

  function figures(status) {
    const ahead = $("ahead"), eta = $("eta"), why = status.ahead_because;
    $("stale").hidden = !status.stale;
    if (ahead) {
      const words = ahead.dataset, bar = $("progress");
      const n = why ? status.ahead : Math.min(status.ahead, words.shown), first = Math.max(n, words.first);
      [words.shown, words.first] = [n, first];
      put(ahead, n > 1 ? words.some.replace("{count}", n.toLocaleString("en-US")) : n ? words.one : words.next);
      show($("because"), $("because").dataset[why]);
      bar.max = first || 1;
      bar.value = n ? first - n : bar.max;
      document.cookie = `admit_w_${code}=${words.rank}.${first}.${n};path=${page};max-age=86400;samesite=lax`;
    }
    if (eta) {
      put(eta, band(eta.dataset, status.eta));
      show($("eta-because"), $("eta-because").dataset[status.eta?.because]);
      // Now and then, not with every figure.
      if (Date.now() - spoken > 60000) aloud(`${ahead.textContent}. ${eta.textContent}`);
    }
    for (const id of ["stock", "chance"]) if (status[id]) put($(id), $(id)?.dataset[status[id]]);
    if (status.reason) put($("reason"), status.reason);
    if (status.claim_left_ms) wind(status.claim_left_ms);
  }

  // What the room says to everybody. A root that came before the draw is kept; the page of the draw compares it.
  async function everybody() {
    const early = room.dataset.state === "prequeue";
    if (!early && !$("products")?.open) return;
    const { products, draw, run, phase } = await call(api + "state");
    for (const one of products) put($(`p${one.product_id}`), $("products").dataset[one.left]);
    if (early && draw.root && !draw.seed) localStorage.setItem(`admit_draw_${code}_${run}`, draw.root);
    if (early && phase !== room.dataset.phase) await swap();
  }

  // What is open stays open, what is typed stays typed.
  async function swap() {
    const reply = await call(page);
    if (reply.redirected) return location.assign(reply.url);
    const next = new DOMParser().parseFromString(await reply.text(), "text/html"), old = room;
    room = next.getElementById("room");
    for (const part of old.querySelectorAll("details[open]")) room.querySelector(`#${part.id}`)?.setAttribute("open", "");
    const email = room.querySelector("#email"), held = old.contains(document.activeElement) && document.activeElement.id;
    if (email && $("email")) email.value = $("email").value;
    // Not from under a finger.
    while (old.querySelector("button:active")) await new Promise((go) => setTimeout(go, 50));
    old.replaceWith(room);
    document.title = next.title;
    if (held !== false) ($(held) || room.querySelector("h1")).focus();
    if (room.dataset.state !== old.dataset.state) {
      aloud(room.querySelector("h1").textContent);
      if (room.dataset.state === "your_turn") navigator.vibrate?.([200, 100, 200]);
    }
    start();
  }

  async function poll() {
    if (document.hidden || busy || sending) return;
    let wait;
    busy = true;
    asked = Date.now();
    try {
      const status = await call(`${api}status`);
      // As src/orders/pages/queue_view.rs writes it.
      const key = [status.state, !!status.extendable, status.ahead !== undefined, status.stock === "none"].join();
      if (sending) return;
      if (key !== room.dataset.key) await swap();
      else figures(status);
      await everybody().catch(() => {});
      failures = 0;
      trouble();
      wait = status.poll_after_ms;
    } catch (error) {
      trouble(excuse());
      wait = pause(error);
    } finally {
      busy = false;
    }
    again(wait);
  }

  // Counts by a clock that nobody turns.
  function wind(left) {
    const face = $("clock"), end = performance.now() + left, two = (n) => String(n).padStart(2, "0");
    clearTimeout(clock);
    face.parentNode.hidden = false;
    (function tick() {
      const s = Math.max(0, Math.ceil((end - performance.now()) / 1000)), h = Math.floor(s / 3600);
      const minutes = Math.floor(s / 60) % 60, rest = `${h ? `${h}:${two(minutes)}` : minutes}:${two(s % 60)}`;
      put(face, s ? rest : face.dataset.over || rest);
      if (s === 60 && face.dataset.soon) aloud(face.dataset.soon);
      if (s && face.isConnected) clock = setTimeout(tick, 500);
    })();
  }

  // A press is carried out once, however often the network makes us say it.
  async function send(form, name) {
    const body = name === "extend" ? { extend: true } : Object.fromEntries(new FormData(form));
    const button = form.querySelector("button");
    sending = button.disabled = true;
    for (let tries = 0; sending; tries++) {
      try {
        const status = await call(api + (name === "extend" ? "claim" : name), body);
        if (status.state === "admitted") return location.assign(`/${code}/order`);
        if (status.state === "over") return location.assign(`/${code}/queue?told=over`);
        await swap();
        trouble();
        if (form.dataset.done) show($("told"), form.dataset.done);
        sending = false;
      } catch (error) {
        trouble(error.detail || excuse());
        if (name === "park" || tries > 5 || (error.status < 500 && error.status !== 429)) sending = button.disabled = false;
        else await new Promise((go) => setTimeout(go, pause(error)));
      }
    }
    again(2000);
  }

  function start() {
    $("manual").hidden = true;
    if ($("clock")?.dataset.left) wind(Number($("clock").dataset.left));
    if ($("products")) $("products").ontoggle = () => everybody().catch(() => {});
  }

  if (witness) {
    const root = localStorage.getItem(witness.dataset.key);
    if (root) show(witness, root === witness.dataset.root ? witness.dataset.same : witness.dataset.other);
    return;
  }
  document.addEventListener("submit", (event) => {
    const name = event.target.dataset.call;
    // Only this button leaves: whoever closes the page keeps waiting.
    if (!name || (name === "leave" && !navigator.sendBeacon?.(`${api}leave`))) return;
    event.preventDefault();
    if (name === "leave") location.assign("/");
    else if (!sending) send(event.target, name);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else again(Math.max(0, 1000 - (Date.now() - asked)));
  });
  addEventListener("pageshow", (event) => event.persisted && poll());
  start();
  again(Number(room.dataset.poll));
})();
