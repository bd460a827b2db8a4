// The gate's page opens without a network: kept in each language with all it is made of. Nothing that the server says of tickets
// passes through here.
"use strict";
const PREFIX = "gate-", KEPT = "gate-1", PAGE = "/entrance", LANGUAGES = ["ko", "en"];
const ASSETS = {assets};
const PATIENCE_MS = 2000;

const inLanguage = (language) => `${PAGE}?lang=${language}`;
const named = (body) => [...body.matchAll(/(?:href|src|data-reader|data-wasm|data-ed25519)="(\/assets\/[^"]+)"/g)].map((found) => found[1]);

async function fill() {
  const kept = await caches.open(KEPT);
  for (const url of ASSETS) if (!(await kept.match(url))) await kept.add(url);
  for (const language of LANGUAGES) {
    // Without the cookie that chooses a language the header does.
    const reply = await fetch(PAGE, { credentials: "omit", headers: { "Accept-Language": language }, cache: "no-store" });
    if (reply.ok && !reply.redirected) await kept.put(inLanguage(language), reply);
  }
}

self.addEventListener("install", (event) => event.waitUntil(fill().then(() => self.skipWaiting())));

// A phone that was wiped is enrolled again.
self.addEventListener("message", (event) => {
  if (event.data === "fill") event.waitUntil(fill().catch(() => {}));
  // The first page was there before this worker: without a network it comes back in its own language.
  else if (LANGUAGES.includes(event.data)) event.waitUntil(fromKept({ pathname: PAGE, search: `?lang=${event.data}` }));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    // Visitors' pages keep theirs under other names.
    for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== KEPT) await caches.delete(name);
    const kept = await caches.open(KEPT), needed = new Set(ASSETS);
    for (const language of [PAGE, ...LANGUAGES.map(inLanguage)]) {
      const page = await kept.match(language);
      if (page) named(await page.text()).forEach((url) => needed.add(url));
    }
    for (const old of await kept.keys()) {
      const path = new URL(old.url).pathname;
      if (path.startsWith("/assets/") && !needed.has(path)) await kept.delete(old);
    }
    await self.clients.claim();
  })());
});

// The page that was shown last is the one for next time, and what it is made of comes with it: it may be of a newer release
// than this worker.
async function keep(reply) {
  const kept = await caches.open(KEPT), body = await reply.clone().text();
  for (const url of named(body)) if (!(await kept.match(url))) await kept.add(url);
  const language = (body.match(/<html lang="(ko|en)"/) || [])[1];
  if (language) await kept.put(inLanguage(language), reply.clone());
  await kept.put(PAGE, reply.clone());
}

async function fromKept(url) {
  const kept = await caches.open(KEPT), wanted = await kept.match(url.pathname + url.search);
  if (wanted && url.search) await kept.put(PAGE, wanted.clone());
  return wanted || (await kept.match(PAGE)) || kept.match(inLanguage(LANGUAGES[0]));
}

function page(event, url) {
  const asked = fetch(event.request);
  const late = new Promise((_, give_up) => setTimeout(give_up, PATIENCE_MS));
  event.waitUntil(asked.then((reply) => reply.ok && reply.type === "basic" && !reply.redirected ? keep(reply.clone()) : undefined).catch(() => {}));
  return Promise.race([asked, late])
    .then(async (reply) => reply.status >= 500 ? (await fromKept(url)) || reply : reply)
    .catch(async () => (await fromKept(url)) || asked);
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (event.request.mode === "navigate" && url.pathname === PAGE) event.respondWith(page(event, url));
  else if (url.pathname.startsWith("/assets/")) {
    event.respondWith(caches.open(KEPT).then((kept) => kept.match(url.pathname)).then((kept) => kept || fetch(event.request)));
  }
});
