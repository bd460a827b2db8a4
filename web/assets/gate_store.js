// What the phone keeps: what is known of tickets, locked with the key of the shift; scans that wait to be sent; and how far the
// knowledge reaches. One write at a time, and each is one transaction: whatever happens, the next start finds all of it or
// none.
(function () {
  "use strict";
  var NAME = "admit-gate", VERSION = 1, KEY = "data";
  var SERVER = 0, OWN = 1, IV = 12;
  /** A log of more pieces is written anew as one; pieces of this many records. */
  var PIECES_MAX = 200, PIECE = 25000;
  var db = null, key = null, writes = Promise.resolve();

  var store = {
    /** Records of the server, or null while they are locked away. */
    table: null,
    /** By key in hex: what was done to a ticket here that the server has not told of yet. */
    own: new Map(),
    /** Scans to be sent, oldest first: { id, scan, key, counts }. */
    queue: [],
    /** rulebook, etag, cursor, complete, offset_ms, synced_ms, server_ms */
    meta: {},
    pieces: 0,
  };

  /** One after the other. What failed does not stop what comes after it. */
  function next(write) {
    var mine = writes.then(write);
    writes = mine.catch(function () {});
    return mine;
  }

  var STORES = ["meta", "keys", "log", "queue"];

  function told(request) {
    return new Promise(function (done, failed) {
      request.onsuccess = function () { done(request.result); };
      request.onerror = function () { failed(request.error); };
    });
  }

  /** Runs `body` within one transaction; what it returns is there when the transaction is on disk. */
  function once(names, body) {
    return new Promise(function (done, failed) {
      var transaction = db.transaction(names, "readwrite", { durability: "strict" }), result = body(transaction);
      transaction.oncomplete = function () { done(result); };
      transaction.onabort = transaction.onerror = function () { failed(transaction.error); };
    });
  }

  async function write(names, body) {
    try { return await once(names, body); }
    catch (error) {
      if (!db) throw error;
      // Browsers close the databases of pages in the background, and do not say so.
      db.close();
      await connect();
      return once(names, body);
    }
  }

  async function connect() {
    var opening = indexedDB.open(NAME, VERSION);
    opening.onupgradeneeded = function () {
      opening.result.createObjectStore("meta");
      opening.result.createObjectStore("keys");
      opening.result.createObjectStore("log", { autoIncrement: true });
      opening.result.createObjectStore("queue", { autoIncrement: true, keyPath: "id" });
    };
    db = await told(opening);
  }

  store.open = async function () {
    await connect();
    var reading = db.transaction(["meta", "keys", "queue"]), meta = reading.objectStore("meta");
    var all = await Promise.all([told(meta.getAllKeys()), told(meta.getAll()), told(reading.objectStore("keys").get(KEY)), told(reading.objectStore("queue").getAll())]);
    all[0].forEach(function (name, n) { store.meta[name] = all[1][n]; });
    key = all[2] || null;
    store.queue = all[3];
  };

  async function seal(kind, records) {
    var iv = crypto.getRandomValues(new Uint8Array(IV)), plain = new Uint8Array(1 + records.length);
    plain[0] = kind;
    plain.set(records, 1);
    return { iv: iv, data: await crypto.subtle.encrypt({ name: "AES-GCM", iv: iv }, key, plain) };
  }

  async function unseal(piece) {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: piece.iv }, key, piece.data));
  }

  function eachKey(records, body) {
    for (var at = 0; at < records.length; at += GateRecords.RECORD) body(GateCodes.toHex(records.subarray(at, at + GateRecords.KEY)), at);
  }

  function bytesOf(name) { return Uint8Array.from(name.match(/../g), function (two) { return parseInt(two, 16); }); }

  function ownRecords(own) {
    var out = new Uint8Array(own.size * GateRecords.RECORD), at = 0;
    own.forEach(function (past, name) {
      out.set(GateRecords.write(bytesOf(name), past), at);
      at += GateRecords.RECORD;
    });
    return out;
  }

  /** In the order it was written: a record of the server replaces what was known before, and what was done here comes on top. */
  async function replay() {
    var log = db.transaction("log").objectStore("log"), pieces = await told(log.getAll());
    var table = new GateRecords.Table(), own = new Map();
    for (var n = 0; n < pieces.length; n += 1) {
      var plain = await unseal(pieces[n]), records = plain.subarray(1);
      if (plain[0] === OWN) eachKey(records, function (name, at) { own.set(name, GateRecords.read(records, at).past); });
      else {
        table.putAll(records);
        if (own.size) eachKey(records, function (name) { own.delete(name); });
      }
    }
    store.table = table;
    store.own = own;
    store.pieces = pieces.length;
  }

  /** Opens what is kept with the key that came with the shift (32 bytes), or with the one from before. False: there is none. */
  store.unlock = function (raw) {
    return next(async function () {
      if (raw) {
        key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
        await write(["keys"], function (t) { t.objectStore("keys").put(key, KEY); });
      }
      if (!key) return false;
      try { await replay(); }
      catch (error) {
        // Another key's, or damaged: what cannot be read is of no use, and is asked for again from the beginning.
        await forget();
      }
      if (store.pieces > PIECES_MAX / 5) await compact();
      return true;
    });
  };

  async function forget() {
    await write(["log", "meta"], function (t) {
      t.objectStore("log").clear();
      ["cursor", "complete"].forEach(function (name) { t.objectStore("meta").delete(name); });
    });
    delete store.meta.cursor;
    delete store.meta.complete;
    store.table = new GateRecords.Table();
    store.own = new Map();
    store.pieces = 0;
  }

  /** The end of a shift: what is kept stays where it is, and nobody can read it. */
  store.lock = function () {
    return next(async function () {
      key = store.table = null;
      store.own = new Map();
      await write(["keys"], function (t) { t.objectStore("keys").clear(); });
    });
  };

  async function compact() {
    var records = store.table.records(), step = PIECE * GateRecords.RECORD, pieces = [];
    for (var at = 0; at < records.length; at += step) pieces.push(await seal(SERVER, records.subarray(at, at + step)));
    if (store.own.size) pieces.push(await seal(OWN, ownRecords(store.own)));
    await write(["log"], function (t) {
      var log = t.objectStore("log");
      log.clear();
      pieces.forEach(function (piece) { log.add(piece); });
    });
    store.pieces = pieces.length;
  }

  store.save = function (values) {
    return next(async function () {
      await write(["meta"], function (t) {
        Object.keys(values).forEach(function (name) { t.objectStore("meta").put(values[name], name); });
      });
      Object.assign(store.meta, values);
    });
  };

  /** What the scans that wait make of a ticket's past. */
  function withWaiting(name, past) {
    return store.queue.reduce(function (so_far, one) {
      if (one.key !== name || one.scan.reason !== "ok" || one.scan.undone_at) return so_far;
      return GateRules.moved(so_far, { direction: one.scan.direction, counts: one.counts, now: Math.floor(one.scan.at / 1000) });
    }, past);
  }

  function waits(name) { return store.queue.some(function (one) { return one.key === name && one.scan.reason === "ok" && !one.scan.undone_at; }); }

  /** Takes a page and moves the cursor, both or neither. */
  store.take = function (page) {
    return next(async function () {
      if (!key) throw new Error("locked");
      // From the beginning, of another database perhaps: what was here before is not to be mixed with it.
      if (page.anew && store.table.count) await forget();
      var again = new Map(), gone = [], pieces = [];
      if (store.own.size || store.queue.length) eachKey(page.records, function (name, at) {
        if (waits(name)) again.set(name, withWaiting(name, GateRecords.read(page.records, at).past));
        else if (store.own.has(name)) gone.push(name);
      });
      if (page.records.length) pieces.push(await seal(SERVER, page.records));
      if (again.size) pieces.push(await seal(OWN, ownRecords(again)));
      var values = { cursor: page.cursor };
      if (!page.more) values.complete = true;
      await write(["log", "meta"], function (t) {
        pieces.forEach(function (piece) { t.objectStore("log").add(piece); });
        Object.keys(values).forEach(function (name) { t.objectStore("meta").put(values[name], name); });
      });
      Object.assign(store.meta, values);
      store.table.putAll(page.records);
      gone.forEach(function (name) { store.own.delete(name); });
      again.forEach(function (past, name) { store.own.set(name, past); });
      store.pieces += pieces.length;
      if (store.pieces > PIECES_MAX) await compact();
    });
  };

  /** A ticket's past: as the server told it, or as it went on here. */
  store.past = function (name, record) { return store.own.get(name) || (record ? record.past : GateRules.never()); };

  function same(one, other) { return Object.keys(one).every(function (field) { return one[field] === other[field]; }); }

  /**
   * Keeps what was decided, of all tickets or of none: for each { key, movement, scan, before } the movement in the log, and
   * with `scan` the scan in the queue. With `before`, a ticket whose past is another by now is left alone: the server has told
   * of the movement already.
   */
  store.keep = function (all) {
    return next(async function () {
      var pasts = new Map(), entries = [];
      all.forEach(function (one) {
        if (one.key && one.movement && key) {
          var now = store.past(one.key, store.table.find(bytesOf(one.key)));
          if (one.before && !same(now, one.before)) return;
          pasts.set(one.key, GateRules.moved(now, one.movement));
        }
        if (one.scan) entries.push({ scan: one.scan, key: one.key || null, counts: Boolean(one.movement && one.movement.counts) });
      });
      if (!pasts.size && !entries.length) return;
      var piece = pasts.size ? await seal(OWN, ownRecords(pasts)) : null;
      // Here at once: a disk that does not take it must not let the same ticket in again, and it is sent all the same.
      entries.forEach(function (entry) { store.queue.push(entry); });
      pasts.forEach(function (past, name) { store.own.set(name, past); });
      var adding = await write(["log", "queue"], function (t) {
        if (piece) t.objectStore("log").add(piece);
        return entries.map(function (entry) { return t.objectStore("queue").add({ scan: entry.scan, key: entry.key, counts: entry.counts }); });
      });
      entries.forEach(function (entry, n) { entry.id = adding[n].result; });
      if (piece) store.pieces += 1;
    });
  };

  /** Tickets' pasts anew: what the server told, and on top of it what still waits here. */
  async function recount(names) {
    var pasts = new Map();
    names.forEach(function (name) {
      if (!name || !key) return;
      var record = store.table.find(bytesOf(name));
      pasts.set(name, withWaiting(name, record ? record.past : GateRules.never()));
    });
    if (!pasts.size) return;
    var piece = await seal(OWN, ownRecords(pasts));
    await write(["log"], function (t) { t.objectStore("log").add(piece); });
    pasts.forEach(function (past, name) { store.own.set(name, past); });
    store.pieces += 1;
  }

  /** After the server took back admissions. */
  store.recount = function (names) { return next(function () { return recount(names); }); };

  /** Takes back scans that still wait. False: not all of them wait here any more. */
  store.undo = function (nonces, at_ms) {
    return next(async function () {
      var found = store.queue.filter(function (one) { return nonces.indexOf(one.scan.nonce) >= 0; });
      if (!found.length) return false;
      found.forEach(function (one) { one.scan.undone_at = at_ms; });
      await write(["queue"], function (t) {
        found.forEach(function (one) { if (one.id) t.objectStore("queue").put(one); });
      });
      await recount(found.map(function (one) { return one.key; }));
      return found.length === nonces.length;
    });
  };

  /** Changes or removes entries of the queue after they were sent. */
  store.settle = function (gone, changed) {
    return next(async function () {
      await write(["queue"], function (t) {
        gone.forEach(function (one) { if (one.id) t.objectStore("queue").delete(one.id); });
        changed.forEach(function (one) { if (one.id) t.objectStore("queue").put(one); });
      });
      store.queue = store.queue.filter(function (one) { return gone.indexOf(one) < 0; });
    });
  };

  /** Nothing stays, but what belongs to visitors' pages of the same site. The next one to enrol this phone fills it again. */
  store.wipe = function () {
    return next(async function () {
      // Emptied first: whatever still holds the database open, nothing is in it.
      if (db) {
        await write(STORES, function (t) { STORES.forEach(function (name) { t.objectStore(name).clear(); }); }).catch(function () {});
        db.close();
      }
      db = key = store.table = null;
      store.own = new Map();
      store.queue = [];
      store.meta = {};
      Object.keys(localStorage).filter(function (name) { return name.startsWith("admit-"); }).forEach(function (name) { localStorage.removeItem(name); });
      var gone = indexedDB.deleteDatabase(NAME);
      await Promise.race([told(gone), new Promise(function (done) { gone.onblocked = done; })]).catch(function () {});
      if (!window.caches) return;
      var names = await caches.keys();
      await Promise.all(names.filter(function (name) { return name.startsWith("gate-"); }).map(function (name) { return caches.delete(name); }));
    });
  };

  globalThis.GateStore = store;
})();
