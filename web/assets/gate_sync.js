// Keeps the phone and the server of one mind while there is a network: what was decided here goes up, rules and tickets come
// down. Whoever uses it learns only whether there is a network and that something changed.
(function () {
  "use strict";
  var EVERY_MS = 3000, BACKOFF_MAX_MS = 30000, CALL_MS = 8000, PAGE_MS = 20000, UPLOAD_MS = 30000;
  /** Two measurements of the same clock differ by so much. */
  var SLACK_MS = 2000;
  /** A hundred scans are 45 KB at most: well below what a request may weigh (64 KB). */
  var BATCH = 100;
  var timer = 0, running = null, failures = 0, refusals = 0, upload_at = 0, on = null;
  /** `flying`: nonces that are on their way, so nobody can say whether they have arrived. */
  var sync = { online: true, flying: new Set() };

  /** A call of the gate; `on.credential()` says who asks. Rejects with { status, code, detail }; status 0: no answer. */
  sync.call = async function (method, path, options) {
    options = options || {};
    var headers = Object.assign({ "Accept-Language": on.language }, options.headers);
    if (options.body) headers["Content-Type"] = "application/json";
    if (options.token) headers.Authorization = "Bearer " + options.token;
    else if (on.credential()) headers["X-Admit-Device"] = on.credential();
    var stop = new AbortController(), limit = setTimeout(function () { stop.abort(); }, options.limit_ms || CALL_MS);
    try {
      var reply = await fetch("/api/entrance/" + path, { method: method, headers: headers, body: options.body && JSON.stringify(options.body), cache: "no-store", signal: stop.signal });
      if (options.raw && (reply.ok || reply.status === 304)) return { status: reply.status, etag: reply.headers.get("ETag"), body: reply.status === 304 ? null : await reply.arrayBuffer() };
      if (reply.status === 204) return null;
      var said = await reply.json();
      if (reply.ok) return said;
      throw { status: reply.status, code: said.code, detail: said.detail };
    } catch (error) {
      throw error.code && error.status ? error : { status: 0, code: "away", detail: on.away };
    } finally {
      clearTimeout(limit);
    }
  };

  /** The server's time as well as it is known here, and never earlier than it has been. */
  sync.now = function () { return Math.max(Date.now() + (GateStore.meta.offset_ms || 0), GateStore.meta.server_ms || 0); };

  /** The phone's clock was set back, or its battery was out. */
  sync.jumped = function () { return Boolean(GateStore.meta.server_ms) && Date.now() + GateStore.meta.offset_ms + SLACK_MS < GateStore.meta.server_ms; };

  function state(online) {
    var changed = sync.online !== online;
    sync.online = online;
    if (changed) on.changed();
  }

  sync.failed = function () { state(false); };

  /** Until nothing waits; whether there was anything to send. The server takes a scan once, however often it is sent. */
  async function upload() {
    var size = BATCH, wipe = false, sent = false;
    for (;;) {
      var batch = GateStore.queue.filter(function (one) { return !one.stuck; }).slice(0, size), said;
      if (!batch.length) break;
      sync.flying = new Set(batch.map(function (one) { return one.scan.nonce; }));
      try { said = await sync.call("POST", "uploads", { limit_ms: UPLOAD_MS, body: { scans: batch.map(function (one) { return one.scan; }) } }); }
      catch (error) {
        if (error.status !== 400 && error.status !== 422) throw error;
        // One of them is not understood. Alone it is set aside, so that it does not stand in the way of the others.
        if (size === 1) {
          batch[0].stuck = error.code;
          await GateStore.settle([], batch);
        }
        size = 1;
        continue;
      }
      sent = true;
      var answers = new Map(said.results.map(function (one) { return [one.nonce, one]; })), gone = [], stuck = [];
      batch.forEach(function (one) {
        var answer = answers.get(one.scan.nonce);
        if (!answer) return;
        // What the server could not write down stays here, for somebody to look at.
        if (answer.outcome === "rejected") { one.stuck = answer.code || "rejected"; stuck.push(one); } else gone.push(one);
      });
      await GateStore.settle(gone, stuck);
      sync.flying = new Set();
      wipe = wipe || said.wipe;
      on.changed();
      if (!gone.length && !stuck.length) throw { status: 0, code: "away", detail: on.away };
    }
    if (wipe && !on.leaving()) throw { status: 403, code: "device.revoked", detail: on.revoked };
    return sent;
  }

  async function rulebook() {
    var meta = GateStore.meta;
    var reply = await sync.call("GET", "rulebook", { raw: true, token: on.token(), headers: meta.etag ? { "If-None-Match": meta.etag } : {} });
    if (reply.status === 304) return;
    await GateStore.save({ rulebook: JSON.parse(new TextDecoder().decode(reply.body)), etag: reply.etag });
  }

  async function tickets() {
    var best = null;
    for (;;) {
      var cursor = GateStore.meta.cursor, asked_at = Date.now();
      var reply = await sync.call("GET", "tickets?waiting=" + Math.min(GateStore.queue.length, 65535) + (cursor ? "&after=" + encodeURIComponent(cursor) : ""), { raw: true, token: on.token(), limit_ms: PAGE_MS });
      var heard_at = Date.now(), page = await GateRecords.page(new Uint8Array(reply.body));
      // Cut off or changed on its way: asked for again from where we are.
      if (!page) throw { status: 0, code: "away", detail: on.away };
      await GateStore.take(page);
      // The quickest answer says most exactly how far the clocks are apart.
      if (!best || heard_at - asked_at < best.trip_ms) best = { trip_ms: heard_at - asked_at, offset_ms: Math.round(page.server_ms - (asked_at + heard_at) / 2) };
      if (page.more) { on.changed(); continue; }
      await GateStore.save({ offset_ms: best.offset_ms, server_ms: page.server_ms, synced_ms: page.server_ms });
      return;
    }
  }

  /**
   * Each by itself: a server that does not take what was decided here may still tell what has changed. Online is whoever
   * hears an answer, whatever it says.
   */
  async function cycle() {
    var heard = false, wrong = false, steps = [upload, rulebook, tickets];
    for (var n = 0; n < steps.length; n += 1) {
      var step = steps[n];
      if (step === upload ? Date.now() < upload_at && !on.leaving() : !GateStore.table || !on.token()) continue;
      try {
        var said = await step();
        // Nothing to send is nothing heard.
        heard = heard || step !== upload || said;
        if (step !== upload) continue;
        refusals = 0;
        if (on.leaving()) return on.emptied();
      } catch (error) {
        sync.flying = new Set();
        // Something else than the network, a full disk say: the server is still there to be asked.
        heard = heard || error.status !== 0;
        if (on.ended(error)) return;
        wrong = true;
        if (step === upload) {
          refusals += 1;
          upload_at = Date.now() + Math.min(EVERY_MS * Math.pow(2, refusals), BACKOFF_MAX_MS);
        } else if (error.status === 0) break;
      }
    }
    // Off shift, and with nothing to send, nobody was asked.
    if (!heard && !wrong) return;
    failures = heard ? 0 : failures + 1;
    state(heard);
    if (!wrong) on.synced();
  }

  function plan() {
    clearTimeout(timer);
    if (!on.credential()) return;
    var wait = failures ? Math.min(EVERY_MS * Math.pow(2, failures - 1), BACKOFF_MAX_MS) : EVERY_MS;
    timer = setTimeout(sync.soon, wait);
  }

  /** Now, or with the one that is under way. */
  sync.soon = function () {
    if (!on.credential()) return Promise.resolve();
    if (!running) {
      clearTimeout(timer);
      running = cycle().finally(function () { running = null; plan(); });
    }
    return running;
  };

  sync.settled = function () { return running || Promise.resolve(); };

  sync.start = function (handlers) {
    on = handlers;
    window.addEventListener("online", function () { sync.settled().then(function () { failures = upload_at = 0; sync.soon(); }); });
    window.addEventListener("offline", sync.failed);
    document.addEventListener("visibilitychange", function () { if (!document.hidden) sync.soon(); });
  };

  globalThis.GateSync = sync;
})();
