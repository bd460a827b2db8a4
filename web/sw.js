// Tickets that were opened are shown again without a network: the page holds its QR codes itself. Only pages of tickets are
// kept, and what they are made of; everything else goes to the network as if this were not here.
"use strict";
const TICKETS = "tickets-1", LOOKS = "looks-1";
const STYLE = "{style}";
/** Of earlier releases of this worker. The gate's page has a worker and caches of its own. */
const isOurs = (name) => /^(tickets|looks)-/.test(name);
const KEPT_MAX = 30, PATIENCE_MS = 5000;

const isTickets = (path) => /^\/[a-z0-9][a-z0-9-]{1,30}\/complete\/ORD[0-9]{8}-[0-9A-Z]{10}$/.test(path);

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(LOOKS).then((looks) => looks.add(STYLE)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (isOurs(name) && name !== TICKETS && name !== LOOKS) await caches.delete(name);
    await self.clients.claim();
  })());
});

// A page that is not the owner's any more, or an order without tickets, is forgotten.
async function keep(path, reply) {
  const tickets = await caches.open(TICKETS);
  const body = reply.ok && !reply.redirected ? await reply.clone().text() : "";
  if (!body.includes('class="qr"')) {
    if (reply.status < 500) await tickets.delete(path);
    return false;
  }
  const looks = await caches.open(LOOKS);
  for (const [, url] of body.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)) {
    if (!(await looks.match(url))) await looks.add(url);
  }
  await tickets.put(path, new Response(body, { headers: { "content-type": "text/html; charset=utf-8",
    "content-security-policy": reply.headers.get("content-security-policy") || "default-src 'self'" } }));
  const all = await tickets.keys();
  for (const old of all.slice(0, Math.max(0, all.length - KEPT_MAX))) await tickets.delete(old);
  return true;
}

async function tickets(request, path) {
  const kept = async () => (await caches.open(TICKETS)).match(path);
  const slow = new Promise((_, give_up) => setTimeout(give_up, PATIENCE_MS));
  const asked = fetch(request).then(async (reply) => {
    // What comes back from paying is led elsewhere by the server.
    if (reply.type !== "opaqueredirect") await keep(path, reply);
    return reply;
  });
  asked.catch(() => {});
  try {
    const reply = await Promise.race([asked, slow]);
    return reply.status >= 500 ? (await kept()) || reply : reply;
  } catch {
    return (await kept()) || asked;
  }
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (event.request.mode === "navigate" && !url.search && isTickets(url.pathname)) {
    event.respondWith(tickets(event.request, url.pathname));
  } else if (url.pathname.startsWith("/assets/")) {
    event.respondWith(caches.match(url.pathname).then((kept) => kept || fetch(event.request)));
  }
});

self.addEventListener("message", (event) => {
  const path = event.data && event.data.keep;
  if (typeof path !== "string" || !isTickets(path)) return;
  event.waitUntil(fetch(path, { credentials: "same-origin", redirect: "manual" })
    .then((reply) => keep(path, reply))
    .then((kept) => event.ports[0] && event.ports[0].postMessage(kept ? "kept" : "not kept"))
    .catch(() => {}));
});
