// The gate's page: enrols the phone, signs somebody in, scans, and shows the verdict: the server's, or after a moment without
// an answer the phone's own.
(function () {
  "use strict";
  var $ = function (id) { return document.getElementById(id); };
  var main = $("main"), words = Object.assign(JSON.parse(main.dataset.words), { language: main.dataset.language }), fill = GateAside.fill;
  var DEVICE = "admit-device", SHIFT = "admit-shift", LAST = "admit-last", DIRECTION = "admit-direction";
  /** How long a scan waits for the server; without knowledge of its own the phone can only be patient. [ms] */
  var MOMENT = 1500, PATIENCE = 8000, TRIES = 3;
  /** A sale is asked for until the server's own limit. [ms] */
  var SALE = 15000;
  /** How often the day's counts are asked for while people come in. [ms] */
  var LOOK = 10000;
  /** How long an admission can be taken back. [ms] */
  var UNDO = 15 * 60000;
  /** There is no point in offering what the server refuses to everybody. */
  var FINAL = ["unknown", "bad_signature", "wrong_exhibition", "reissued"];
  var device = load(DEVICE), shift = load(SHIFT), last = load(LAST), refused = null, several = null, unheard = null, busy = false, tally = { in: 0, out: 0 }, looked = 0;

  function load(key) { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } }
  function save(key, value) { if (value) localStorage.setItem(key, JSON.stringify(value)); else localStorage.removeItem(key); }
  function tell(text) { $("trouble").textContent = text || ""; $("trouble").hidden = !text; }
  function direction() { return document.querySelector("[name=direction]:checked").value; }
  function onShift() { return shift && Date.parse(shift.ends_at) > GateSync.now(); }
  function away(error) { return error.status === 0 || error.status === 429 || error.status >= 500; }

  /** Which scans were not sent, so that somebody can tell the organiser. */
  function unsent() {
    var list = GateStore.queue.slice(0, 20).map(function (one) {
      return (one.key ? GateCodes.number(Uint8Array.from(one.key.match(/../g), function (two) { return parseInt(two, 16); })) : "?") + " " + GateSeoul.time(one.scan.at / 1000);
    });
    return list.length ? fill(words.not_sent, { n: GateStore.queue.length, list: list.join(", ") }) : "";
  }

  /** Revoked: nothing stays on this phone. */
  async function wipe(text) {
    var lost = unsent();
    device = shift = last = refused = null;
    await GateStore.wipe();
    GateTill.wipe();
    show([text, lost].filter(Boolean).join(" "));
  }

  /** Revoked, but what happened here must not be lost: the server still takes that. */
  async function leave(text) {
    shift = last = null;
    save(SHIFT); save(LAST);
    if (!GateStore.queue.length) return wipe(text);
    device.revoked = text;
    save(DEVICE, device);
    await GateStore.lock();
    show();
    GateSync.settled().then(GateSync.soon);
  }

  function offShift(text) {
    shift = last = refused = several = unheard = null;
    save(SHIFT); save(LAST); save(DIRECTION);
    GateStore.lock().catch(function () {});
    GateAside.clear();
    GateTill.clear();
    show(text);
  }

  /** What a refusal of the device or its shift means for this page; false: nothing. */
  function ended(error) {
    if (!device) return true;
    if (device.revoked && (error.status === 401 || error.status === 403)) return wipe(device.revoked), true;
    // Restored from a backup of before, say: then what waits here is all that is left of it.
    if (error.code === "device.unknown" && GateStore.queue.length) {
      device.unknown = true;
      save(DEVICE, device);
      return offShift([error.detail, unsent()].join(" ")), true;
    }
    if (error.code === "device.unknown") return wipe(error.detail), true;
    if (error.code === "device.revoked") return leave(error.detail), true;
    if (error.code === "device.off_shift") return look(), offShift(error.detail), true;
    if (error.status === 401 && error.code !== "auth.invalid_credentials") return offShift(error.detail), true;
    return false;
  }

  function show(text) {
    var at = !device ? "none" : device.revoked ? "leaving" : !onShift() ? "sign" : "scan";
    ["none", "leaving", "sign", "scan"].forEach(function (id) { $(id).hidden = id !== at; });
    if (device) $("where").textContent = device.device.gate + " · " + device.device.name;
    else $("where").textContent = document.title;
    if (at !== "scan") { GateCamera.stop(); GateVerdict.close(); }
    tell(text);
    GateCamera.awake(at === "scan");
    changed();
    if (at === "scan") look();
  }

  function changed() {
    if ($("scan").hidden) { if (device && device.revoked) $("leaving-lead").textContent = fill(words.leaving_lead, { n: GateStore.queue.length }); return; }
    GateAside.state();
    GateTill.allowed(Boolean(GateStore.meta.rulebook && GateStore.meta.rulebook.walk_ins));
    var fresh = last && GateSync.now() - last.at_ms < UNDO;
    $("last").hidden = !fresh;
    if (fresh) $("last-what").textContent = fill(words.last, { what: last.what, at: GateSeoul.time(last.at_ms / 1000) });
  }

  function counts() { $("counts").textContent = fill(words.counts, tally); }

  async function look() {
    try {
      looked = Date.now();
      var said = await GateSync.call("GET", "device");
      tally = { in: said.admitted_today, out: said.refused_today };
      counts();
    } catch (error) { ended(error); }
  }

  /** So many more; the server counts a whole day, and is asked now and then. */
  function count(allowed, people) {
    tally[allowed ? "in" : "out"] += people;
    counts();
    if (Date.now() - looked > LOOK) look();
  }

  async function enrol(token) {
    var was = device;
    if (was) await GateSync.soon();
    // They are from another gate, or another exhibition, and nobody else can say them; unless the server has forgotten this
    // phone, and it comes back to where it was.
    var waits = GateStore.queue.filter(function (one) { return !one.stuck; }).length, lost = was && was.unknown;
    if (waits && !lost) return show(fill(words.enrol_waits, { n: waits }));
    // What the server did not take is told before it goes.
    if (!lost && GateStore.queue.length && !confirm(fill(words.enrol_lost, { list: unsent() }))) return show();
    try {
      device = null;
      var fresh = await GateSync.call("POST", "enrol", { body: { token: token } });
      var gone = "";
      shift = last = refused = several = unheard = null;
      if (lost && was.device.exhibition_code === fresh.device.exhibition_code) await GateStore.lock();
      else {
        gone = unsent();
        await GateStore.wipe();
        await GateStore.open();
      }
      device = fresh;
      GateTill.wipe();
      save(DEVICE, device);
      show(gone);
      if ("serviceWorker" in navigator) navigator.serviceWorker.ready.then(function (its) { its.active.postMessage("fill"); });
    } catch (error) {
      device = device || was;
      show(error.detail || String(error));
    }
  }

  $("sign-form").addEventListener("submit", async function (event) {
    event.preventDefault();
    var password = this.password.value, pin = this.pin.value;
    if (Boolean(password) === Boolean(pin)) { tell(words.one_of); (password ? this.pin : this.password).focus(); return; }
    try {
      var said = await GateSync.call("POST", "shift", { body: pin ? { username: this.username.value, pin: pin } : { username: this.username.value, password: password } });
      this.password.value = this.pin.value = "";
      var key = said.data_key && GateCodes.fromBase64url(said.data_key);
      delete said.data_key;
      shift = said;
      save(SHIFT, shift);
      // A browser that keeps nothing still scans with a network.
      if (key) await GateStore.unlock(key).catch(function () {});
      if (navigator.storage && navigator.storage.persist) navigator.storage.persist().catch(function () {});
      GateVerdict.touched();
      show();
      GateSync.settled().then(GateSync.soon);
    } catch (error) { if (!ended(error)) tell(error.detail || String(error)); }
  });

  $("end").addEventListener("click", async function () {
    // Without a network the phone is locked all the same; the server's shift ends by itself.
    try { await GateSync.call("DELETE", "shift", { limit_ms: 3000 }); offShift(); } catch (error) { if (!ended(error)) offShift(); }
  });

  document.querySelectorAll("[name=direction]").forEach(function (one) {
    one.checked = one.value === (load(DIRECTION) || "in");
    one.addEventListener("change", function () { save(DIRECTION, direction()); });
  });

  function scan(text) {
    text = text.trim();
    if (busy || !shift || !text) return;
    if (!onShift()) return offShift();
    // A group whose answer did not come: the same question again, or some would be counted twice.
    if (unheard && unheard.text === text && unheard.direction === direction()) return put(unheard);
    return put({ text: text, direction: direction(), nonce: crypto.randomUUID() });
  }

  function isGroup(text) { var signed = GateCodes.read(text); return Boolean(signed) && signed.kind === "group"; }

  /** One scan to its answer. The same nonce each time: asked twice, it counts once. */
  async function put(ask) {
    busy = true;
    // Before anybody moves: what the server then says is compared with it. A question that is asked again was asked then.
    if (unheard !== ask) {
      Object.assign(ask, { asked: null, asked_ms: 0 });
      ask.guess = decide(ask, GateSync.now());
      ask.guess.catch(function () { /* Only where it is needed. */ });
    }
    try {
      var able = GateStore.table && GateStore.meta.complete, tries = !able ? TRIES : GateSync.online ? 1 : 0;
      for (var said = null, silent = false, lost = false; tries > 0; tries -= 1) {
        // Of how many of a group come in, the server writes nothing down.
        if (ask.people || !isGroup(ask.text)) Object.assign(ask, { asked: ask.nonce, asked_ms: ask.asked_ms || GateSync.now() });
        try { said = await GateSync.call("POST", "scan", { token: shift.shift_token, limit_ms: able ? MOMENT : PATIENCE, body: { qr_code: ask.text, nonce: ask.nonce, direction: ask.direction, people: ask.people } }); }
        catch (error) {
          if (ended(error)) return;
          if (!away(error)) return GateVerdict.present({ kind: "unjudged", sign: "?", head: words.unjudged, why: error.detail });
          silent = error.status === 0;
          lost = true;
        }
        if (said) return await answered(said, ask);
      }
      if (silent) GateSync.failed();
      if (lost && ask.people && unheard !== ask) {
        unheard = ask;
        return GateVerdict.present({ kind: "unjudged", sign: "?", head: words.unjudged, why: words.alone_group_asked });
      }
      await alone(ask);
    } catch (error) {
      GateVerdict.present({ kind: "unjudged", sign: "?", head: words.unjudged, why: String(error.message || error) });
    } finally { busy = false; }
  }

  /**
   * `asked`: the name under which the server was asked, and under which it writes down what was decided here. `others`: the
   * names of a group's other scans.
   */
  function admitted(nonce, what, keys, asked, others) {
    last = { nonce: nonce, asked: asked || nonce, others: others || [], at_ms: GateSync.now(), what: what || "–", keys: keys || [] };
    save(LAST, last);
    changed();
  }

  /** Somebody has to say how many. */
  function choose(ask, why, who, free, alone) {
    several = ask;
    $("how-many-label").textContent = ask.direction === "out" ? words.people_out : words.people;
    $("let-in").textContent = ask.direction === "out" ? words.let_out : words.let_in;
    GateVerdict.present({ kind: "choose", sign: "…", head: words.several, why: why, who: who.filter(Boolean).join("\n"), free: free, alone: alone });
  }

  function settled(ask) {
    several = null;
    if (unheard === ask) unheard = null;
  }

  /** The server's verdict. What it let in is remembered here: the network may be gone before the next page of changes. */
  async function answered(said, ask) {
    if (said.entrance_status === "choose") return choose(ask, said.message, [said.product, said.customer_name], said.group.free);
    settled(ask);
    var allowed = said.entrance_status === "allowed", what = [said.product, said.group ? fill(words.group, { n: said.group.admitted, of: said.group.of }) : said.ticket_no && fill(words.of, { n: said.ticket_no, of: said.of })].filter(Boolean);
    refused = allowed || said.group || FINAL.indexOf(said.reason) >= 0 ? null : ask;
    GateVerdict.present({
      kind: allowed ? "allowed" : "refused", sign: allowed ? "✓" : "✕", head: !allowed ? words.refused : ask.direction === "out" ? words.allowed_out : words.allowed,
      why: said.forced ? words.forced : said.message, who: what.concat(said.customer_name || []).join("\n"), undo: allowed, force: Boolean(refused) && ask.direction === "in",
    });
    if (said.group && said.group.admitted > 1) look(); else count(allowed, 1);
    if (!allowed) return;
    admitted(ask.nonce, what.join(", "));
    try {
      var guess = await ask.guess, went = !said.group ? [guess] : sameGroup(guess, said.group) ? guess.group.free.slice(0, said.group.admitted) : [];
      went = went.filter(function (one) { return one.key; });
      await GateStore.keep(went.map(function (one) {
        return { key: one.key, movement: { direction: ask.direction, counts: one.reason === "ok" ? one.counts : ask.direction === "in", now: Math.floor(GateSync.now() / 1000) }, before: one.presented.past };
      }));
      admitted(ask.nonce, what.join(", "), went.map(function (one) { return one.key; }));
    } catch { /* The next page of changes says it too. */ }
  }

  /** Whom the server let in, it does not say: the first that were free, if it saw the group as this phone did. */
  function sameGroup(guess, group) {
    return Boolean(guess.group) && guess.group.all.length === group.of && guess.group.free.length === group.free + group.admitted;
  }

  function decide(ask, now_ms, first) {
    return GateJudge.decide(GateStore, { text: ask.text, direction: ask.direction, now_ms: now_ms, library: main.dataset.ed25519, first: first, asked_ms: ask.asked_ms });
  }

  /** The phone's own verdict, kept until the server has heard of it. */
  async function alone(ask) {
    var now_ms = GateSync.now(), decided = await decide(ask, now_ms, unheard === ask ? await ask.guess.catch(function () { return null; }) : null), group = decided.group, out = ask.direction === "out";
    if (decided.unjudged) return GateVerdict.present({ kind: "unjudged", sign: "?", head: words.unjudged, why: words[decided.unjudged] });
    var free = group ? group.free.length : 0;
    if (free && !(ask.people <= free)) return choose(ask, fill(out ? words.group_choose_out : words.group_choose, { free: free, of: group.all.length }), [GateSeoul.product(words, decided)], free, words.alone);
    var done = GateJudge.settle(decided, ask, { now_ms: now_ms, device_ms: Date.now(), shift: shift.shift_id || null }), people = done.went.length, allowed = people > 0, lost = "";
    var details = GateSeoul.details(words, decided), what = GateSeoul.what(words, decided);
    if (allowed && group) details = fill(out ? words.group_out : words.group_in, { n: people, free: free - people });
    if (group) what = [GateSeoul.product(words, decided), fill(words.group, { n: people, of: group.all.length })].filter(Boolean);
    // First kept, then said: whoever is let in is on record.
    try { await GateStore.keep(done.kept); } catch { lost = words.not_kept; }
    settled(ask);
    refused = null;
    GateVerdict.present({
      kind: allowed ? "allowed" : "refused", sign: allowed ? "✓" : "✕", head: !allowed ? words.refused : out ? words.allowed_out : words.allowed,
      why: details, who: what.join("\n"), alone: [words.alone, lost].filter(Boolean).join(" "), undo: allowed && !lost,
    });
    if (allowed && !lost) {
      var nonces = done.kept.slice(0, people).map(function (one) { return one.scan.nonce; });
      admitted(nonces[0], what.join(", "), done.went.map(function (one) { return one.key; }), ask.asked, nonces.slice(1));
    }
    count(allowed, people || 1);
    changed();
  }

  async function undo() {
    var mine = last;
    if (!mine) return;
    $("last-undo").disabled = true;
    try {
      // As an earlier release wrote it down, there is but one.
      var nonces = [mine.nonce].concat(mine.others || []), keys = mine.keys || [mine.key];
      if (nonces.some(function (nonce) { return GateSync.flying.has(nonce); })) await GateSync.settled();
      if (!(await GateStore.undo(nonces, GateSync.now()))) {
        await GateSync.call("POST", "undo", { token: shift.shift_token, body: { nonce: mine.nonce, asked: mine.asked, others: mine.others } });
        await GateStore.recount(keys);
        look();
      }
      if (last && last.nonce === mine.nonce) { last = null; save(LAST); }
      $("done").textContent = fill(words.undone, { what: mine.what });
    } catch (error) {
      if (!ended(error)) tell(error.status ? error.detail : words.needs_network);
    } finally {
      $("last-undo").disabled = false;
      changed();
    }
  }
  $("last-undo").addEventListener("click", undo);

  /** Answers what was wrong, or nothing. */
  async function force(by) {
    var ask = refused;
    try {
      var said = await GateSync.call("POST", "force", { token: shift.shift_token, body: Object.assign({ nonce: ask.nonce }, by) });
      await answered(said, ask);
    } catch (error) { return ended(error) ? "" : error.status ? error.detail : words.needs_network; }
  }

  $("typed").addEventListener("submit", function (event) {
    event.preventDefault();
    var code = this.code.value;
    this.code.value = "";
    scan(code);
  });

  async function arrive() {
    var token = location.hash.startsWith("#enrol=") && location.hash.slice(7);
    if (!token) return show();
    // Out of the address before anything else: it is a secret, and good once.
    history.replaceState(null, "", location.pathname);
    await enrol(token);
  }

  GateVerdict.begin({ undo: undo, force: force, people: function (count) { if (!busy && several) put(Object.assign(several, { people: count })); } });
  GateCamera.begin(words, { code: scan, paused: function () { return busy || GateVerdict.holds(); }, touched: GateVerdict.touched, reader: main.dataset.reader, wasm: main.dataset.wasm });
  GateAside.begin(words, {
    scan: scan,
    search: function (text) { return GateSync.call("POST", "search", { token: shift.shift_token, body: { q: text } }); },
    counts: function () { return GateSync.call("GET", "counts"); },
  });
  GateTill.begin(words, {
    offers: function () { return GateSync.call("GET", "walk-ins", { token: shift.shift_token }); },
    sell: function (key, body) { return GateSync.call("POST", "walk-ins", { token: shift.shift_token, headers: { "Idempotency-Key": key }, body: body, limit_ms: SALE }); },
    let_in: function (text, people) {
      if (busy || !onShift()) return;
      put({ text: text, direction: "in", nonce: crypto.randomUUID(), people: people > 1 ? people : undefined });
    },
    ended: ended,
  });
  GateSync.start({
    language: words.language, away: words.away, revoked: words.revoked, changed: changed, ended: ended,
    credential: function () { return device && device.credential; },
    token: function () { return onShift() ? shift.shift_token : null; },
    leaving: function () { return Boolean(device && device.revoked); },
    emptied: function () { return wipe(device.revoked); },
    synced: changed,
  });

  // A shift ends by the clock too, whether or not anybody scans.
  setInterval(function () { if (shift && !onShift()) offShift(); else changed(); }, 30000);

  async function begin() {
    try {
      await GateStore.open();
      // It was the server's mistake, which may be mended.
      GateStore.queue.forEach(function (one) { if (one.stuck === "server.bug") delete one.stuck; });
      if (onShift()) await GateStore.unlock(null);
      else if (shift) await GateStore.lock();
    } catch { /* As above. */ }
    await arrive();
    window.addEventListener("hashchange", arrive);
    GateSync.soon();
    if ("serviceWorker" in navigator) keepPage();
  }

  async function keepPage() {
    try {
      await navigator.serviceWorker.register("/entrance/sw.js", { scope: "/entrance" });
      (await navigator.serviceWorker.ready).active.postMessage(words.language);
    } catch { /* The page is good without it. */ }
  }

  // Two pages of one phone would not know of each other's scans.
  if (!navigator.locks) begin();
  else {
    var waiting = setTimeout(function () { tell(words.twice); }, 500);
    navigator.locks.request("admit-gate", function () {
      clearTimeout(waiting);
      begin();
      return new Promise(function () {});
    });
  }
})();
