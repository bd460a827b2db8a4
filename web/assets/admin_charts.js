// Charts, drawn by uPlot. None says anything that a table beside it does not say as well; columns are also read with the keys of a
// slider, so whoever hears the page hears them one by one. Colours are those of the page, and change with it.
(function () {
  "use strict";
  const { h, svg, t, number, language, table } = AdminUi;
  const HIGH = 160, TICK_PX = 34, FONT = '12px system-ui, -apple-system, "Segoe UI", sans-serif';
  const compact = (value) => Number(value).toLocaleString(language, { notation: "compact", maximumFractionDigits: 1 });
  /** What is drawn, by the element that holds it. */
  const plots = new Map();

  const colour = (name) => (plot) => getComputedStyle(plot.root).getPropertyValue(name).trim();

  /** Those that are no longer on the page are let go, with what they listen to. */
  function prune() {
    for (const [host, plot] of plots) if (plot && !host.isConnected) { plot.destroy(); plots.delete(host); }
  }
  for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)", "(forced-colors: active)"]) {
    matchMedia(query).addEventListener("change", () => { prune(); plots.forEach((plot) => plot.redraw()); });
  }

  /** Draws into `host` as soon as it has a width, and anew whenever that changes. `on_made(plot)` is told once. */
  function draw(host, options, data, on_made) {
    prune();
    let plot = null;
    new ResizeObserver(([{ contentRect: { width } }]) => {
      if (!width || (plot && !plots.has(host))) return;
      const size = { width: Math.floor(width), height: options.height };
      if (plot) { plot.setSize(size); return; }
      plot = new uPlot({ ...options, ...size }, data(), host);
      plots.set(host, plot);
      on_made?.(plot);
    }).observe(host);
  }

  /** A line of the last values; nulls are gaps. It changes in place. */
  function spark(points) {
    const element = h("div", { class: "spark", "aria-hidden": "true" }), x = Array.from({ length: points }, (_, n) => n);
    const mark = (fine, bad) => (plot) => colour(plot.root.closest(".tile.bad") ? bad : fine)(plot);
    let plot = null, values = [];
    const data = () => [x, [...Array(points - values.length).fill(null), ...values.map((value) => value ?? null)]];
    draw(element, {
      height: 32, pxAlign: 0, legend: { show: false }, cursor: { show: false }, axes: [{ show: false }, { show: false }], padding: [2, 0, 0, 0],
      scales: { x: { time: false, range: [0, points - 1] }, y: { range: (_, least, most) => [0, most > 0 ? most : 1] } },
      series: [{}, { stroke: mark("--act", "--bad"), fill: mark("--act-faint", "--bad-faint"), width: 1.5, points: { show: false } }],
    }, data, (made) => { plot = made; });
    return { element, set(now) { values = now.slice(-points); plot?.setData(data()); } };
  }

  /** A round number not below the most. */
  function top_of(most) {
    if (!(most > 0)) return 1;
    const unit = 10 ** Math.floor(Math.log10(most));
    const times = [1, 2, 2.5, 5, 10].find((one) => one * unit >= most);
    return Math.max(1, times * unit);
  }

  /** Columns over time. `series`: `{ name, kind, values }`, one over the other; `label(n)` is that of a column in full, `from` the one read first. */
  function columns({ caption, labels, series, format = number, label = (n) => labels[n], from }) {
    const last = labels.length - 1, x = labels.map((_, n) => n);
    // One over the other: what is drawn first reaches up to the sum of all.
    const sums = series.map((_, upto) => x.map((n) => series.slice(0, upto + 1).reduce((sum, one) => sum + (one.values[n] || 0), 0)));
    const top = top_of(Math.max(...sums.at(-1), 0)), said = (n) => `${label(n)} · ${series.map((one) => `${series.length > 1 ? `${one.name} ` : ""}${format(one.values[n] || 0)}`).join(" · ")}`;
    const readout = h("p", { class: "readout", "aria-hidden": "true" });
    const host = h("div", { class: "plot", role: "slider", tabindex: "0", "aria-label": caption, "aria-valuemin": "0", "aria-valuemax": String(last), "aria-roledescription": t("chart.columns") });
    let plot = null, at = Math.min(from ?? last, last);
    function tell(n) {
      at = n;
      readout.textContent = said(n);
      host.setAttribute("aria-valuenow", String(n));
      host.setAttribute("aria-valuetext", said(n));
    }
    const mark = (n) => plot?.setCursor({ left: plot.valToPos(n, "x"), top: 0 });
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 6, PageDown: -6, Home: -Infinity, End: Infinity };
    host.addEventListener("keydown", (event) => {
      if (!(event.key in step) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const n = Math.max(0, Math.min(last, at + step[event.key]));
      tell(n);
      mark(n);
    });
    host.addEventListener("focus", () => mark(at));
    host.addEventListener("blur", () => plot?.setCursor({ left: -10, top: -10 }));
    const every = () => Math.max(1, Math.ceil(labels.length / Math.max(1, Math.floor((plot?.bbox.width ?? 600) / devicePixelRatio / (TICK_PX + 14)))));
    const line = { stroke: colour("--line"), width: 1 }, text = { stroke: colour("--soft"), font: FONT };
    draw(host, {
      height: HIGH + 24, legend: { show: false }, padding: [8, 4, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: false, range: [-0.5, last + 0.5] }, y: { range: [0, top] } },
      axes: [
        { ...text, size: 24, gap: 4, grid: { show: false }, ticks: { show: false }, splits: () => x.filter((n) => n % every() === 0), values: (_, splits) => splits.map((n) => labels[n]) },
        { ...text, size: 52, gap: 6, grid: line, ticks: { show: false }, splits: () => (top > 1 ? [0, top / 2, top] : [0, top]), values: (_, splits) => splits.map(compact) },
      ],
      series: [{}, ...series.map((one) => ({ fill: colour(one.kind === "second" ? "--second" : "--act"), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 60] }) })).reverse()],
      hooks: { setCursor: [(now) => { if (now.cursor.idx !== null && now.cursor.idx !== undefined && now.cursor.left >= 0) tell(now.cursor.idx); }] },
    }, () => [x, ...sums.toReversed()], (made) => { plot = made; if (document.activeElement === host) mark(at); });
    tell(at);
    return h("figure", { class: "chart" },
      h("figcaption", null, series.length > 1 && series.map((one) => h("span", { class: `key ${one.kind || ""}`, "aria-hidden": "true" }, one.name)), readout), host);
  }

  /** Parts of a whole in one bar, each `{ kind, share, name }`. */
  function stack(parts, label) {
    let x = 0;
    const rects = parts.map(({ kind, share }) => {
      const wide = Math.max(0, Math.min(share || 0, 1)) * 100;
      const rect = svg("rect", { class: `column ${kind}`, x: x.toFixed(2), y: 0, width: wide.toFixed(2), height: 10 });
      x += wide;
      return rect;
    });
    return svg("svg", { class: "stack-bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label }, rects);
  }

  /** The numbers of a chart, folded away. */
  const numbers = (options) => h("details", { class: "numbers" }, h("summary", null, t("chart.numbers", { name: options.caption })), table(options));

  globalThis.AdminCharts = { spark, columns, stack, numbers };
})();
