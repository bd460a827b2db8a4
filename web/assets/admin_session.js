// Who is signed in. The access token lives here, in memory; the refresh token in a cookie that no script can read. A refresh
// token is good once and a second use ends the sign-in, so of all tabs one at a time spends it.
(function () {
  "use strict";
  const { t, language } = AdminUi;
  const HINT = "admit-signed-in", UNDER_WAY = "admit-renewing", LOCK = "admit-session", RANKS = ["super_admin", "admin", "support", "staff"];
  /** Renewed so long before it ends: a call on its way must not come late. [ms] */
  const EARLY = 30000;
  const PATIENCE = 20000;
  /** How long a refresh that was left on its way is waited for. [ms] */
  const LEFT_MS = 3000;
  let session = null, renewing = null, on_change = () => {};
  const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("admit-session") : null;

  /** What was refused, in the words of the server; status 0: there was no answer. */
  class Refusal extends Error {
    constructor(status, body) {
      super(body.detail || body.code || String(status));
      Object.assign(this, { status, code: body.code || "", detail: body.detail || t("trouble"), errors: body.errors || [], retry_after_s: body.retry_after_s });
    }
  }

  async function send(method, path, body, { signal, as = "json", token, keepalive, if_match, headers: more, patience_ms = PATIENCE } = {}) {
    const ended = new AbortController(), stop = () => ended.abort();
    if (signal) { if (signal.aborted) stop(); else signal.addEventListener("abort", stop, { once: true }); }
    const patience = setTimeout(stop, patience_ms);
    try {
      const headers = { "Accept-Language": language, ...more }, raw = body instanceof Blob;
      if (token) headers.Authorization = `Bearer ${token}`;
      // Of what was seen: a change by somebody else meanwhile is not overwritten.
      if (if_match !== undefined) headers["If-Match"] = `"${if_match}"`;
      if (body !== undefined) headers["Content-Type"] = raw ? body.type || "application/octet-stream" : "application/json";
      if (as === "stream") headers.Accept = "text/event-stream";
      const reply = await fetch(path, { method, headers, body: body === undefined || raw ? body : JSON.stringify(body), signal: ended.signal, credentials: "same-origin", cache: "no-store", keepalive });
      if (!reply.ok) throw new Refusal(reply.status, await reply.json().catch(() => ({})));
      // The body of a stream ends when its reader wants it to.
      if (as === "stream") return reply;
      if (as === "tagged") return { tag: reply.headers.get("ETag"), body: await reply.json() };
      return reply.status === 204 ? null : await reply[as]();
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal(0, signal?.aborted ? { code: "aborted" } : { code: "away", detail: t("away") });
    } finally {
      clearTimeout(patience);
      if (as !== "stream") signal?.removeEventListener("abort", stop);
    }
  }

  const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  function store(key, value) { try { if (value) localStorage.setItem(key, value); else localStorage.removeItem(key); } catch { /* It is kept for convenience alone. */ } }
  function begun(said) {
    session = { ...said, until: Date.now() + said.expires_in * 1000 };
    store(HINT, "1");
    return session;
  }
  function ended(why) {
    const was = session;
    session = null;
    store(HINT);
    on_change(why, was);
  }
  const alone = (work) => (navigator.locks ? navigator.locks.request(LOCK, work) : work());

  /**
   * A page that is left or reloaded while it spends a token leaves it half spent: the call goes on without it, and whoever is
   * next waits a moment for the cookie that it brings.
   */
  async function spend() {
    const began = Number(stored(UNDER_WAY)), left_ms = began + LEFT_MS - Date.now();
    if (began && left_ms > 0 && left_ms <= LEFT_MS) await new Promise((resolve) => { setTimeout(resolve, left_ms); });
    store(UNDER_WAY, String(Date.now()));
    try {
      return await send("POST", "/api/auth/refresh", {}, { keepalive: true });
    } finally {
      store(UNDER_WAY);
    }
  }

  /** A new access token for this tab; calls that need one at the same time wait for the same. */
  function renew() {
    renewing ??= alone(async () => begun(await spend())).catch((error) => {
      // Without a cookie there is nothing to refresh with: a field is missing.
      if (error.status === 401 || error.status === 422) ended(session ? "expired" : "");
      throw error;
    }).finally(() => { renewing = null; });
    return renewing;
  }

  /**
   * A call as whoever is signed in; its body is JSON, or a file as it is. `options`: signal, if_match (a revision), headers, patience_ms, and
   * `as`: json, text, blob, stream, or tagged for what the reply says together with its ETag.
   */
  async function call(method, path, body, options = {}) {
    if (!session || session.until - Date.now() < EARLY) await renew();
    const once = () => send(method, path, body, { ...options, token: session.access_token });
    try {
      return await once();
    } catch (error) {
      if (error.status !== 401 || !["auth.expired_token", "auth.invalid_token"].includes(error.code)) throw error;
      await renew();
      return once();
    }
  }

  async function sign_in(ask) {
    // A sign-in that was interrupted still has its cookie, which the new one replaces.
    const said = await alone(() => send("POST", "/api/auth/login", { ...ask, keep_in_cookie: true }));
    begun(said);
    tabs?.postMessage("in");
    return session;
  }

  /** A call that anybody may make. */
  const plainly = (method, path, body) => send(method, path, body);

  async function sign_out() {
    await alone(() => send("POST", "/api/auth/logout", {}));
    tabs?.postMessage("out");
    ended("out");
  }

  /** On opening the page: whoever was signed in still is. False: nobody. */
  async function resume() {
    if (!stored(HINT)) return false;
    try {
      await renew();
      return true;
    } catch (error) {
      if (error.status === 401 || error.status === 422) return false;
      throw error;
    }
  }

  if (tabs) tabs.onmessage = ({ data }) => {
    if (data === "out" && session) ended("out");
    // Somebody signed in beside us: this tab is theirs, too. What the same person was typing here stays.
    const was = session?.username;
    if (data === "in") renew().then((now) => { if (now.username !== was) on_change("in"); }).catch(() => {});
  };

  globalThis.AdminSession = {
    Refusal, call, plainly, sign_in, sign_out, resume, renew,
    get now() { return session; },
    /** Whether somebody of this rank may do what takes the other. */
    may: (least) => Boolean(session) && RANKS.indexOf(session.role) <= RANKS.indexOf(least),
    changed(with_second_factor) { if (session) session.second_factor = with_second_factor; },
    onchange(handler) { on_change = handler; },
  };
})();
