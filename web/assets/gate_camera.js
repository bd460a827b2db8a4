// Codes from the camera, and from scanners that type.
(function () {
  "use strict";
  var $ = function (id) { return document.getElementById(id); };
  /** How long the same code in view is the same scan. [ms] */
  var SAME = 4000;
  /** What is asked of the camera: at arm's length a code has five pixels and more for each of its modules. [px] */
  var WIDTH = 1280, HEIGHT = 720;
  var view = $("view"), words = null, on = null, stream = null, detector = null, seen = {};

  function stop() {
    if (stream) stream.getTracks().forEach(function (track) { track.stop(); });
    stream = null;
    view.hidden = true;
    $("start").hidden = false;
    $("torch").hidden = $("cameras").hidden = true;
  }

  function note(text) { $("camera-note").textContent = text; }

  async function start(id) {
    on.touched();
    if (!navigator.mediaDevices) return note(words.no_camera);
    try { detector = detector || await newDetector(); } catch { return note(words.no_camera); }
    try {
      stop();
      stream = await navigator.mediaDevices.getUserMedia({ video: Object.assign({ width: { ideal: WIDTH }, height: { ideal: HEIGHT } }, id ? { deviceId: { exact: id } } : { facingMode: "environment" }) });
    } catch { return note(words.camera_refused); }
    note("");
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
      script.src = on.reader;
      script.onload = done;
      script.onerror = failed;
      document.head.append(script);
    });
    await ZXingWASM.prepareZXingModule({ overrides: { locateFile: function () { return on.wasm; } }, fireImmediately: true });
    var canvas = document.createElement("canvas"), pen = canvas.getContext("2d", { willReadFrequently: true }), frames = 0;
    return { detect: async function (video) {
      var shrink = Math.min(1, WIDTH / Math.max(video.videoWidth, video.videoHeight, 1));
      canvas.width = Math.round(video.videoWidth * shrink);
      canvas.height = Math.round(video.videoHeight * shrink);
      if (!canvas.width || !canvas.height) return [];
      pen.drawImage(video, 0, 0, canvas.width, canvas.height);
      // What the one way of telling dark from light does not read in uneven light, the other often does in the next frame.
      frames += 1;
      var read = await ZXingWASM.readBarcodes(pen.getImageData(0, 0, canvas.width, canvas.height), {
        formats: ["QRCode"], tryHarder: true, maxNumberOfSymbols: 2, binarizer: frames % 2 ? "LocalAverage" : "GlobalHistogram",
      });
      return read.filter(function (one) { return one.isValid; }).map(function (one) { return { rawValue: one.text }; });
    } };
  }

  async function watch(mine) {
    while (stream === mine) {
      try {
        var found = on.paused() ? [] : await detector.detect(view);
        var now = performance.now();
        found.forEach(function (one) {
          var code = one.rawValue, fresh = !(now - seen[code] < SAME);
          // As long as it stays in view it is the same scan; one that was not taken is a scan yet to come.
          if (!fresh || on.code(code)) seen[code] = now;
        });
      } catch { /* A frame that is not there yet. */ }
      await new Promise(function (done) { setTimeout(done, 80); });
    }
  }

  var awake = null, wanted = false;

  /** A screen that goes dark holds up the queue. The browser lets go of it whenever the page is out of sight. */
  async function stayAwake() {
    if (!("wakeLock" in navigator)) return;
    if (!wanted && awake) { awake.release().catch(function () {}); awake = null; }
    if (wanted && !document.hidden && (!awake || awake.released)) awake = await navigator.wakeLock.request("screen").catch(function () { return null; });
  }
  document.addEventListener("visibilitychange", stayAwake);

  $("start").addEventListener("click", function () { start(); });
  $("cameras").addEventListener("change", function () { start(this.value); });
  $("torch").addEventListener("click", function () {
    var lit = this.getAttribute("aria-pressed") !== "true", button = this;
    stream.getVideoTracks()[0].applyConstraints({ advanced: [{ torch: lit }] }).then(function () { button.setAttribute("aria-pressed", lit); }).catch(function () {});
  });

  // Scanners that type: many characters in no time, and a line end.
  var typed = "", last = 0;
  document.addEventListener("keydown", function (event) {
    if (!on || $("scan").hidden || event.target.matches("input:not([type=radio]), select")) return;
    if (event.timeStamp - last > 100) typed = "";
    last = event.timeStamp;
    if (event.key === "Enter" && typed.length > 10) { event.preventDefault(); on.code(typed); typed = ""; }
    else if (event.key.length === 1) typed += event.key;
  });

  globalThis.GateCamera = {
    stop: stop,
    detector: newDetector,
    awake: function (wish) { wanted = wish; stayAwake(); },
    /** `handlers`: code(text), paused(), touched(), and where the decoder is: reader, wasm. */
    begin: function (texts, handlers) { words = texts; on = handlers; },
  };
})();
