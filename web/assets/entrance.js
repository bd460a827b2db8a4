// The gate's page: enrols the phone, signs somebody in, scans and shows the verdict. It decides nothing itself: without an
// answer of the server it says so, and asks again under the same name.
(function () {
  "use strict";
  var $ = function (id) { return document.getElementById(id); };
  var main = $("main"), words = main.dataset, result = $("result"), view = $("view");
  var DEVICE = "admit-device", SHIFT = "admit-shift";
  /** How long an admission is shown, and how long the same code in view is the same scan. [ms] */
  var SHOWN = 1600, SAME = 4000, TRIES = 4;
  var device = load(DEVICE), shift = load(SHIFT), stream = null, detector = null, seen = {}, busy = false, hide = 0, sound = null;

  function load(key) { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } }
  function save(key, value) { if (value) localStorage.setItem(key, JSON.stringify(value)); else localStorage.removeItem(key); }
  function tell(text) { $("trouble").textContent = text || ""; $("trouble").hidden = !text; }
  function pause(ms) { return new Promise(function (done) { setTimeout(done, ms); }); }

  async function call(method, path, body, token) {
    var headers = { "Accept-Language": words.language };
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = "Bearer " + token;
    else if (device) headers["X-Admit-Device"] = device.credential;
    var stop = new AbortController(), limit = setTimeout(function () { stop.abort(); }, 8000), reply;
    try {
      reply = await fetch("/api/entrance/" + path, { method: method, headers: headers, body: body && JSON.stringify(body), cache: "no-store", signal: stop.signal });
      if (reply.status === 204) return null;
      var said = await reply.json();
      if (reply.ok) return said;
      throw { status: reply.status, code: said.code, detail: said.detail };
    } catch (error) {
      throw error.code ? error : { status: 0, code: "away", detail: words.away };
    } finally {
      clearTimeout(limit);
    }
  }

  /** Revoked: nothing stays on this phone. */
  function wipe(text) {
    device = shift = null;
    save(DEVICE); save(SHIFT);
    show(text);
  }

  function offShift(text) { shift = null; save(SHIFT); show(text); }

  /** What a refusal of the device or its shift means for this page; false: nothing. */
  function ended(error) {
    if (error.code === "device.revoked" || error.code === "device.unknown") return wipe(error.detail), true;
    if (error.code === "device.off_shift") return look(), offShift(error.detail), true;
    if (error.status === 401 && error.code !== "auth.invalid_credentials") return offShift(error.detail), true;
    return false;
  }

  function show(text) {
    var at = !device ? "none" : !shift || Date.parse(shift.ends_at) <= Date.now() ? "sign" : "scan";
    ["none", "sign", "scan"].forEach(function (id) { $(id).hidden = id !== at; });
    if (device) $("where").textContent = device.device.gate + " · " + device.device.name;
    if (at !== "scan") stopCamera();
    tell(text);
    if (at === "scan") look();
  }

  async function look() {
    try {
      var said = await call("GET", "device");
      $("counts").textContent = words.counts.replace("{in}", said.admitted_today).replace("{out}", said.refused_today);
    } catch (error) { ended(error); }
  }

  async function enrol(token) {
    try {
      device = null;
      device = await call("POST", "enrol", { token: token });
      shift = null;
      save(DEVICE, device); save(SHIFT);
      show();
    } catch (error) { show(error.detail); }
  }

  $("sign-form").addEventListener("submit", async function (event) {
    event.preventDefault();
    try {
      shift = await call("POST", "shift", { username: this.username.value, password: this.password.value });
      this.password.value = "";
      save(SHIFT, shift);
      show();
    } catch (error) { if (!ended(error)) tell(error.detail); }
  });

  $("end").addEventListener("click", async function () {
    try { await call("DELETE", "shift"); offShift(); } catch (error) { if (!ended(error)) tell(error.detail); }
  });

  /** One scan to its answer. The same nonce each time: asked twice, it counts once. */
  async function scan(code) {
    if (busy || !shift || !code) return;
    busy = true;
    var ask = { qr_code: code, nonce: crypto.randomUUID() };
    try {
      for (var tries = 1; ; tries += 1) {
        try { verdict(await call("POST", "scan", ask, shift.shift_token)); break; }
        catch (error) {
          if (ended(error)) break;
          if ((error.status !== 0 && error.status !== 503) || tries === TRIES) { unjudged(error.detail); break; }
          await pause(400 * tries);
        }
      }
    } finally { busy = false; }
  }

  function present(kind, sign, head, why, who) {
    result.dataset.verdict = kind;
    [["sign", sign], ["verdict", head], ["why", why], ["who", who]].forEach(function (part) {
      result.querySelector("." + part[0]).textContent = part[1] || "";
    });
    result.hidden = false;
    clearTimeout(hide);
    if (kind === "allowed") hide = setTimeout(next, SHOWN);
    else $("next").focus();
    beep(kind === "allowed");
    if (navigator.vibrate) navigator.vibrate(kind === "allowed" ? 80 : [200, 100, 200]);
  }

  function verdict(said) {
    var allowed = said.entrance_status === "allowed";
    var who = [said.product, said.ticket_no && words.of.replace("{n}", said.ticket_no).replace("{of}", said.of), said.customer_name];
    present(allowed ? "allowed" : "refused", allowed ? "✓" : "✕", allowed ? words.allowed : words.refused, said.message, who.filter(Boolean).join("\n"));
    look();
  }

  function unjudged(text) { present("unjudged", "?", words.unjudged, text); }

  function next() { result.hidden = true; clearTimeout(hide); }
  $("next").addEventListener("click", next);

  function beep(good) {
    if (!sound) return;
    var tone = sound.createOscillator(), volume = sound.createGain();
    tone.frequency.value = good ? 1046 : 196;
    volume.gain.value = .2;
    tone.connect(volume).connect(sound.destination);
    tone.start();
    tone.stop(sound.currentTime + (good ? .12 : .45));
  }

  $("typed").addEventListener("submit", function (event) {
    event.preventDefault();
    var code = this.code.value.trim();
    this.code.value = "";
    scan(code);
  });

  // Scanners that type: many characters in no time, and a line end.
  var typed = "", last = 0;
  document.addEventListener("keydown", function (event) {
    if ($("scan").hidden || event.target.matches("input, select")) return;
    if (event.timeStamp - last > 100) typed = "";
    last = event.timeStamp;
    if (event.key === "Enter" && typed.length > 10) { event.preventDefault(); scan(typed); typed = ""; }
    else if (event.key.length === 1) typed += event.key;
  });

  function stopCamera() {
    if (stream) stream.getTracks().forEach(function (track) { track.stop(); });
    stream = null;
    view.hidden = true;
    $("start").hidden = false;
    $("torch").hidden = $("cameras").hidden = true;
  }

  async function startCamera(id) {
    if (!sound && window.AudioContext) sound = new AudioContext();
    if (!navigator.mediaDevices) { $("camera-note").textContent = words.no_camera; return; }
    try { detector = detector || await newDetector(); } catch { $("camera-note").textContent = words.no_camera; return; }
    try {
      stopCamera();
      stream = await navigator.mediaDevices.getUserMedia({ video: id ? { deviceId: { exact: id } } : { facingMode: "environment" } });
    } catch { $("camera-note").textContent = words.camera_refused; return; }
    $("camera-note").textContent = "";
    view.srcObject = stream;
    view.hidden = false;
    $("start").hidden = true;
    await view.play();
    var track = stream.getVideoTracks()[0];
    $("torch").hidden = !(track.getCapabilities && track.getCapabilities().torch);
    var cameras = (await navigator.mediaDevices.enumerateDevices()).filter(function (one) { return one.kind === "videoinput"; });
    $("cameras").hidden = cameras.length < 2;
    $("cameras").replaceChildren(...cameras.map(function (one, n) { return new Option(one.label || String(n + 1), one.deviceId, false, one.deviceId === track.getSettings().deviceId); }));
    watch(stream);
  }

  /** The browser's own detector, or else one that is fetched when it is needed: iPhones and desktops have none. */
  async function newDetector() {
    if ("BarcodeDetector" in window && (await BarcodeDetector.getSupportedFormats()).includes("qr_code")) {
      return new BarcodeDetector({ formats: ["qr_code"] });
    }
    await new Promise(function (done, failed) {
      var script = document.createElement("script");
      script.src = words.reader;
      script.onload = done;
      script.onerror = failed;
      document.head.append(script);
    });
    await ZXingWASM.prepareZXingModule({ overrides: { locateFile: function () { return words.wasm; } }, fireImmediately: true });
    var canvas = document.createElement("canvas"), pen = canvas.getContext("2d", { willReadFrequently: true });
    return { detect: async function (video) {
      var shrink = Math.min(1, 960 / Math.max(video.videoWidth, video.videoHeight, 1));
      canvas.width = Math.round(video.videoWidth * shrink);
      canvas.height = Math.round(video.videoHeight * shrink);
      if (!canvas.width || !canvas.height) return [];
      pen.drawImage(video, 0, 0, canvas.width, canvas.height);
      var read = await ZXingWASM.readBarcodes(pen.getImageData(0, 0, canvas.width, canvas.height), { formats: ["QRCode"], tryHarder: true, maxNumberOfSymbols: 2 });
      return read.filter(function (one) { return one.isValid; }).map(function (one) { return { rawValue: one.text }; });
    } };
  }

  async function watch(mine) {
    while (stream === mine) {
      try {
        var found = busy || !result.hidden && result.dataset.verdict !== "allowed" ? [] : await detector.detect(view);
        var now = performance.now();
        found.forEach(function (one) {
          var code = one.rawValue, fresh = !(now - seen[code] < SAME);
          // As long as it stays in view it is the same scan.
          seen[code] = now;
          if (fresh) scan(code);
        });
      } catch { /* A frame that is not there yet. */ }
      await pause(80);
    }
  }

  $("start").addEventListener("click", function () { startCamera(); });
  $("cameras").addEventListener("change", function () { startCamera(this.value); });
  $("torch").addEventListener("click", function () {
    var on = this.getAttribute("aria-pressed") !== "true", button = this;
    stream.getVideoTracks()[0].applyConstraints({ advanced: [{ torch: on }] }).then(function () { button.setAttribute("aria-pressed", on); }).catch(function () {});
  });

  function arrive() {
    var token = location.hash.startsWith("#enrol=") && location.hash.slice(7);
    if (!token) return false;
    // Out of the address before anything else: it is a secret, and good once.
    history.replaceState(null, "", location.pathname);
    enrol(token);
    return true;
  }
  window.addEventListener("hashchange", arrive);
  if (!arrive()) show();
})();
