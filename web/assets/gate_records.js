// What a device knows of each ticket: 44 bytes, found by the ticket's key in one look, or by their order in a pass over all,
// and the pages they come in
// (docs/decisions/0014-rules-and-scans-without-a-network.md).
(function () {
  "use strict";
  var RECORD = 44, KEY = 8, NUMBER = 5, HEAD = 18, DIGEST = 8, MAGIC = "ADS1";
  var STANDINGS = ["valid", "not_paid", "cancelled", "refunded", "blocked", "reissued"];

  function viewOf(bytes) { return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength); }

  function read(bytes, at) {
    var view = viewOf(bytes);
    return {
      product: view.getUint32(at + 16),
      slot: view.getUint32(at + 20),
      // A standing of a later release is one that nobody here may wave through.
      standing: STANDINGS[bytes[at + 24]] || "blocked",
      ticket_no: view.getUint16(at + 26),
      of: view.getUint16(at + 28),
      past: {
        entries: view.getUint16(at + 30),
        day: view.getUint16(at + 32),
        entries_day: view.getUint16(at + 34),
        inside: (bytes[at + 25] & 1) === 1,
        last_in: view.getUint32(at + 36),
        last_out: view.getUint32(at + 40),
      },
    };
  }

  /** A record that says only what was done to a ticket here. */
  function write(key, past) {
    var bytes = new Uint8Array(RECORD), view = viewOf(bytes);
    bytes.set(key);
    bytes[25] = past.inside ? 1 : 0;
    view.setUint16(30, past.entries);
    view.setUint16(32, past.day);
    view.setUint16(34, past.entries_day);
    view.setUint32(36, past.last_in);
    view.setUint32(40, past.last_out);
    return bytes;
  }

  /** Records one after the other, and where each is. Keys are digests, so their first bytes scatter by themselves. */
  function Table() {
    this.bytes = new Uint8Array(1024 * RECORD);
    this.places = new Int32Array(4096).fill(-1);
    this.count = 0;
  }

  function place(bytes, at, mask) {
    return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) & mask;
  }

  /** Offsets of all records that begin with `length` bytes of `key`, two at most. */
  Table.prototype.all = function (key, at, length) {
    var mask = this.places.length - 1, found = [];
    for (var n = place(key, at, mask), i; (i = this.places[n]) >= 0 && found.length < 2; n = (n + 1) & mask) {
      var same = 0;
      while (same < length && this.bytes[i + same] === key[at + same]) same += 1;
      if (same === length) found.push(i);
    }
    return found;
  };

  Table.prototype.find = function (key) {
    var found = this.all(key, 0, KEY);
    return found.length ? read(this.bytes, found[0]) : null;
  };

  /** By the bytes of a ticket number, with its key. Two tickets of one number are none: a code tells them apart. */
  Table.prototype.findNumber = function (number) {
    var found = this.all(number, 0, NUMBER);
    return found.length === 1 ? { key: this.bytes.slice(found[0], found[0] + KEY), record: read(this.bytes, found[0]) } : null;
  };

  /** All of one order, with their keys. A pass over 100,000 takes milliseconds, and only a group's code asks for it. */
  Table.prototype.ofOrder = function (order) {
    var found = [], end = this.count * RECORD;
    for (var at = 0; at < end; at += RECORD) {
      var same = 0;
      while (same < KEY && this.bytes[at + KEY + same] === order[same]) same += 1;
      if (same === KEY) found.push({ key: this.bytes.slice(at, at + KEY), record: read(this.bytes, at) });
    }
    return found;
  };

  Table.prototype.put = function (bytes, at) {
    var there = this.all(bytes, at, KEY)[0];
    if (there !== undefined) { this.bytes.set(bytes.subarray(at, at + RECORD), there); return; }
    if ((this.count + 1) * RECORD > this.bytes.length) {
      var wider = new Uint8Array(this.bytes.length * 2);
      wider.set(this.bytes);
      this.bytes = wider;
    }
    // At most half full, so that a look is one or two steps.
    if ((this.count + 1) * 2 > this.places.length) this.spread(this.places.length * 2);
    this.bytes.set(bytes.subarray(at, at + RECORD), this.count * RECORD);
    this.settle(this.count * RECORD);
    this.count += 1;
  };

  Table.prototype.putAll = function (bytes) {
    for (var at = 0; at < bytes.length; at += RECORD) this.put(bytes, at);
  };

  Table.prototype.settle = function (at) {
    var mask = this.places.length - 1, n = place(this.bytes, at, mask);
    while (this.places[n] >= 0) n = (n + 1) & mask;
    this.places[n] = at;
  };

  Table.prototype.spread = function (length) {
    this.places = new Int32Array(length).fill(-1);
    for (var i = 0; i < this.count; i += 1) this.settle(i * RECORD);
  };

  /** All records, to be kept. */
  Table.prototype.records = function () { return this.bytes.subarray(0, this.count * RECORD); };

  /** A page as it was framed, or null: cut off, damaged or something else altogether. */
  async function page(bytes) {
    if (bytes.length < HEAD + DIGEST || String.fromCharCode.apply(null, bytes.subarray(0, 4)) !== MAGIC) return null;
    var view = viewOf(bytes), count = view.getUint32(4), from = HEAD + bytes[17], until = from + count * RECORD;
    if (bytes.length !== until + DIGEST) return null;
    var digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.subarray(0, until)));
    for (var i = 0; i < DIGEST; i += 1) if (digest[i] !== bytes[until + i]) return null;
    return {
      server_ms: Number(view.getBigUint64(8)),
      more: (bytes[16] & 1) !== 0,
      anew: (bytes[16] & 2) !== 0,
      cursor: String.fromCharCode.apply(null, bytes.subarray(HEAD, from)),
      records: bytes.subarray(from, until),
    };
  }

  var it = { RECORD: RECORD, KEY: KEY, Table: Table, read: read, write: write, page: page };
  if (typeof module === "object" && module.exports) module.exports = it;
  else globalThis.GateRecords = it;
})();
