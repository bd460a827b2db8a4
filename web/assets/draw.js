// Recomputes a waiting room's draw from its published values, in the visitor's own browser. The layout is described
// in src/waiting_room/draw.rs and verify_draw.py. SHA-256 is written out here because a million calls of
// crypto.subtle take minutes.

const M_MAX = 20_000_000;

// The first 32 bits of the fractions of the roots of the first primes, as the standard defines them.
const primes = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
const fraction = (power) => (p) => (p ** power * 2 ** 32) | 0;
const START = Int32Array.from(primes.slice(0, 8), fraction(1 / 2));
const K = Int32Array.from(primes, fraction(1 / 3));
const w = new Int32Array(64);

/** Takes the block in w[0..16] into the state h. */
function compress(h) {
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15], y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (last + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    last = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += last;
}

export function sha256(bytes) {
  const padded = new Uint8Array(((bytes.length + 72) >> 6) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer), h = START.slice();
  view.setUint32(padded.length - 4, bytes.length * 8);
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + i * 4);
    compress(h);
  }
  const out = new DataView(new ArrayBuffer(32));
  h.forEach((word, i) => out.setInt32(i * 4, word));
  return new Uint8Array(out.buffer);
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function unhex(text, length) {
  if (!/^([0-9a-f]{2})*$/i.test(text) || (length !== undefined && text.length !== length * 2)) {
    throw new TypeError("not hex, or not of the right length");
  }
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

const big = (n, size) => Uint8Array.from({ length: size }, (_, i) => n >>> (8 * (size - 1 - i)));
const field = (bytes) => [...big(bytes.length, 2), ...bytes];
const text = (value) => new TextEncoder().encode(value);
const digest = (...parts) => sha256(Uint8Array.from(parts.flatMap((part) => [...part])));
const holds = (claim) => { try { return claim(); } catch { return false; } };

/** The seed that the published values give, in hex. */
export function drawSeed(draw) {
  return hex(digest(
    text("wr-draw-v1"), field(text(draw.exhibition_code)), field(unhex(draw.beacon_value)),
    unhex(draw.server_seed, 32), unhex(draw.root, 32), big(draw.m, 4),
  ));
}

/** Whether the server's seed is the announced one, and whether the draw's seed follows from what is published. */
export function verify(draw) {
  return {
    seed_hash_ok: holds(() => hex(sha256(unhex(draw.server_seed, 32))) === draw.seed_hash.toLowerCase()),
    seed_ok: holds(() => draw.m === draw.m >>> 0 && drawSeed(draw) === draw.seed.toLowerCase()),
  };
}

/** Whether a proof leads from its number, device and salt to the root of { exhibition_code, m, root }. */
export const verifyProof = (draw, { number, device, salt, leaf, index, steps }) => holds(() => {
  const owner = digest(big(device, 4), unhex(salt, 16)), left = [...steps];
  let node = digest(text("leaf"), field(text(draw.exhibition_code)), big(number, 4), owner);
  let at = index, last = draw.m - 1;
  if (hex(node) !== leaf || number !== index + 1 || !(at >= 0 && at <= last)) return false;
  // Sides follow from the place. An odd last node moves up as it is.
  for (; last > 0; at >>= 1, last >>= 1) {
    if (at % 2 === 0 && at === last) continue;
    const step = unhex(left.shift(), 32);
    node = at % 2 ? digest(text("node"), step, node) : digest(text("node"), node, step);
  }
  return !left.length && hex(node) === draw.root;
});

/** Puts the key SHA-256(seed, n) into h: a single block, of which only the number changes. */
function key(seed, n, h) {
  w.set(seed);
  w[8] = n;
  w[9] = 0x80000000;
  w.fill(0, 10, 15);
  w[15] = 36 * 8;
  h.set(START);
  compress(h);
}

/**
 * The rank of number n at n - 1. Lets the page breathe in between; onProgress is told the share done, 0 to 1.
 * A million takes about a second.
 */
export async function ranks(seedHex, m, onProgress = () => {}) {
  if (!Number.isInteger(m) || m < 0 || m > M_MAX) throw new RangeError(`m must be 0 to ${M_MAX}`);
  const view = new DataView(unhex(seedHex, 32).buffer);
  const seed = Int32Array.from({ length: 8 }, (_, i) => view.getInt32(i * 4));
  const high = new Uint32Array(m), low = new Uint32Array(m);
  const h = new Int32Array(8), other = new Int32Array(8);
  for (let i = 0; i < m; i++) {
    key(seed, i + 1, h);
    high[i] = h[0];
    low[i] = h[1];
    if (i % 50_000 === 49_999) {
      onProgress((i + 1) / m);
      await new Promise((go) => setTimeout(go));
    }
  }

  // By the first 32 bits, 16 at a time from the right ...
  let order = Uint32Array.from(high.keys());
  for (const shift of [0, 16]) {
    const starts = new Uint32Array(65_537), sorted = new Uint32Array(m);
    for (let i = 0; i < m; i++) starts[((high[i] >>> shift) & 0xffff) + 1]++;
    for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
    for (let i = 0; i < m; i++) sorted[starts[(high[order[i]] >>> shift) & 0xffff]++] = order[i];
    order = sorted;
  }
  // ... then the few that begin alike by the rest.
  const after = (a, b) => {
    if (high[a] !== high[b]) return high[a] > high[b];
    if (low[a] !== low[b]) return low[a] > low[b];
    key(seed, a + 1, h);
    key(seed, b + 1, other);
    const at = h.findIndex((word, i) => word !== other[i]);
    return h[at] >>> 0 > other[at] >>> 0;
  };
  for (let i = 1; i < m; i++) {
    const one = order[i];
    let at = i;
    for (; at > 0 && after(order[at - 1], one); at--) order[at] = order[at - 1];
    order[at] = one;
  }
  const table = new Uint32Array(m);
  for (let i = 0; i < m; i++) table[order[i]] = i + 1;
  onProgress(1);
  return table;
}

/** Numbers given after the freeze are their own rank. */
export const rankOf = (table, number) => table[number - 1] ?? number;

function wire() {
  const button = document.getElementById("verify"), result = document.getElementById("result");
  const values = document.getElementById("draw-json"), input = document.getElementById("number");
  if (!button || !result || !values) return;
  const draw = JSON.parse(values.textContent), texts = button.dataset;
  let table;
  button.disabled = !draw.seed;
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    button.disabled = true;
    result.textContent = texts.busy;
    const seen = verify(draw), number = Number(input?.value);
    let text = seen.seed_hash_ok && seen.seed_ok ? texts.good : texts.bad;
    if (text === texts.good && Number.isInteger(number) && number > 0 && draw.m <= M_MAX) {
      table ??= await ranks(draw.seed, draw.m);
      text += ` ${texts.rank.replace("{rank}", rankOf(table, number).toLocaleString("en-US"))}`;
    }
    result.textContent = text;
    button.disabled = false;
  });
}

/** Says whether the visitor's own number is in the cohort, to whoever has one. */
async function own() {
  const mine = document.getElementById("mine");
  if (!mine) return;
  const { code, m, root, ...texts } = mine.dataset;
  let said = texts.away;
  try {
    const reply = await fetch(`/api/exhibitions/${code}/queue/proof`, { cache: "no-store" });
    // No place in line, or none that was drawn.
    if (reply.status >= 400 && reply.status < 500) return;
    if (reply.ok) {
      const proof = await reply.json(), good = verifyProof({ exhibition_code: code, m: Number(m), root }, proof);
      said = texts[good ? (proof.device === 0xffffffff ? "nobody" : "good") : "bad"];
      said = said.replace("{number}", proof.number.toLocaleString("en-US"));
    }
  } catch {
    // Away, as it says.
  }
  mine.firstElementChild.textContent = said;
  mine.hidden = false;
}

if (typeof document !== "undefined") {
  wire();
  own();
}
