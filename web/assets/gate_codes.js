// What a QR code says (src/tickets/code.rs), the digest that finds its ticket, and the number that people read and type.
(function () {
  "use strict";
  var PREFIX = "AD1.", CHARS = 128, SIGNED_BYTES = 29, LAYOUT = 1;
  /** Crockford's base 32: no I, L, O, U. */
  var CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ", NUMBER_CHARS = 8, NUMBER_BYTES = 5;
  var library = null;

  function fromBase64url(text) {
    if (!/^[A-Za-z0-9_-]*$/.test(text)) return null;
    var raw = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    var bytes = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
    return bytes;
  }

  function toHex(bytes) {
    var out = "";
    for (var i = 0; i < bytes.length; i += 1) out += (bytes[i] < 16 ? "0" : "") + bytes[i].toString(16);
    return out;
  }

  function toUuid(bytes) { return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"); }

  /** null: not one of our codes at all. Whether it is genuine is another question. */
  function read(text) {
    text = text.trim();
    if (text.length !== CHARS || text.slice(0, PREFIX.length) !== PREFIX) return null;
    var bytes = fromBase64url(text.slice(PREFIX.length));
    if (!bytes || bytes[0] !== LAYOUT || (bytes[2] !== 1 && bytes[2] !== 2)) return null;
    var view = new DataView(bytes.buffer);
    return {
      key_id: bytes[1],
      kind: bytes[2] === 2 ? "group" : "single",
      ticket: toUuid(bytes.subarray(3, 19)),
      ticket_bytes: bytes.slice(3, 19),
      version: view.getUint16(19),
      exhibition: view.getUint32(21),
      from_day: view.getUint16(25),
      until_day: view.getUint16(27),
      message: bytes.slice(0, SIGNED_BYTES),
      signature: bytes.slice(SIGNED_BYTES),
    };
  }

  /** First 8 bytes of SHA-256(id ‖ version): what a ticket is called on a device. */
  async function keyOf(id_bytes, version) {
    var bytes = new Uint8Array(18);
    bytes.set(id_bytes);
    new DataView(bytes.buffer).setUint16(16, version);
    return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).slice(0, 8);
  }

  async function native(signed, public_key) {
    var key = await crypto.subtle.importKey("raw", public_key, { name: "Ed25519" }, false, ["verify"]);
    return crypto.subtle.verify({ name: "Ed25519" }, key, signed.signature, signed.message);
  }

  /** By the browser, or by the library at `url`, which is fetched where a browser cannot. */
  async function genuine(signed, public_key, url) {
    if (!library) {
      try { return await native(signed, public_key); }
      catch (error) { if (!url) throw error; library = import(url); }
    }
    // A fetch that failed is tried again with the next code.
    try { await library; } catch (error) { library = null; throw error; }
    try { return await (await library).verifyAsync(signed.signature, signed.message, public_key, { zip215: false }); }
    catch { return false; }
  }

  /** `K7QM-2X9P`: the first five bytes of a ticket's key. */
  function number(key) {
    var out = "";
    // 40 bits are more than the bitwise operators hold.
    for (var rest = key.slice(0, NUMBER_BYTES).reduce(function (sum, byte) { return sum * 256 + byte; }, 0), n = 0; n < NUMBER_CHARS; n += 1) {
      out = CROCKFORD[rest % 32] + out;
      rest = Math.floor(rest / 32);
    }
    return out.slice(0, 4) + "-" + out.slice(4);
  }

  /** The bytes of a number as people write it; null: none. */
  function readNumber(text) {
    text = text.toUpperCase().replace(/[\s\-\u2010-\u2015]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
    if (text.length !== NUMBER_CHARS) return null;
    for (var value = 0, n = 0; n < NUMBER_CHARS; n += 1) {
      var digit = CROCKFORD.indexOf(text[n]);
      if (digit < 0) return null;
      value = value * 32 + digit;
    }
    var bytes = new Uint8Array(NUMBER_BYTES);
    for (var i = NUMBER_BYTES - 1; i >= 0; i -= 1) {
      bytes[i] = value % 256;
      value = Math.floor(value / 256);
    }
    return bytes;
  }

  var it = { read: read, keyOf: keyOf, genuine: genuine, number: number, readNumber: readNumber, fromBase64url: fromBase64url, toHex: toHex };
  if (typeof module === "object" && module.exports) module.exports = it;
  else globalThis.GateCodes = it;
})();
