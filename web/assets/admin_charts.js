// Charts, drawn with the DOM: small and still. None says anything that a table beside it does not say as well.
(function () {
  "use strict";
  const { h, svg, t, number, table } = AdminUi;
  const W = 600, H = 160;

  /** A line of the last values; nulls are gaps. It changes in place. */
  function spark(points) {
    const line = svg("path", { class: "line", "vector-effect": "non-scaling-stroke" }), area = svg("path", { class: "area" });
    const element = svg("svg", { class: "spark", viewBox: "0 0 120 32", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line);
    const set = (values) => {
      const most = Math.max(...values.map((value) => value ?? 0), 1e-9), step = 120 / Math.max(points - 1, 1), from = points - values.length;
      let d = "", pen = false, begun = 0;
      let under = "";
      values.forEach((value, n) => {
        if (value === null || value === undefined) { if (pen) under += ` L${((from + n - 1) * step).toFixed(1)} 32 Z`; pen = false; return; }
        const x = ((from + n) * step).toFixed(1), y = (30 - (value / most) * 28).toFixed(1);
        if (!pen) { begun = x; under += `M${begun} 32 L${x} ${y}`; d += `M${x} ${y}`; } else { d += ` L${x} ${y}`; under += ` L${x} ${y}`; }
        pen = true;
      });
      if (pen) under += " L120 32 Z";
      line.setAttribute("d", d);
      area.setAttribute("d", under);
    };
    return { element, set };
  }

  /** A round number not below the most. */
  function top_of(most) {
    if (!(most > 0)) return 1;
    const unit = 10 ** Math.floor(Math.log10(most));
    const times = [1, 2, 2.5, 5, 10].find((one) => one * unit >= most);
    return Math.max(1, times * unit);
  }

  /** Each label where its column begins; the last stands for as many columns as are left. */
  function axis(labels, every) {
    return h("p", { class: "axis" }, labels.map((label, n) => {
      if (n % every) return null;
      const span = h("span", null, label);
      span.style.flexGrow = String(Math.min(every, labels.length - n));
      return span;
    }));
  }

  /** Columns over time. `series`: `{ name, kind, values }`, one over the other; the labels are those of the columns. */
  function columns({ labels, series, format = number, every = 6 }) {
    const totals = labels.map((_, n) => series.reduce((sum, one) => sum + (one.values[n] || 0), 0));
    const top = top_of(Math.max(...totals, 0)), wide = W / Math.max(labels.length, 1), pad = Math.min(2, wide / 6);
    const bars = labels.map((_, n) => {
      let below = 0;
      return series.map((one) => {
        const high = ((one.values[n] || 0) / top) * H;
        below += high;
        return high > 0 && svg("rect", { class: `column ${one.kind || ""}`, x: (n * wide + pad).toFixed(2), width: Math.max(wide - 2 * pad, 0.5).toFixed(2), y: (H - below).toFixed(2), height: high.toFixed(2) });
      });
    });
    const lines = [0.5, 1].map((part) => svg("line", { class: "grid", x1: 0, x2: W, y1: H - part * H + 0.5, y2: H - part * H + 0.5, "vector-effect": "non-scaling-stroke" }));
    return h("figure", { class: "chart", "aria-hidden": "true" },
      h("figcaption", null, h("span", { class: "fine" }, t("chart.top", { n: format(top) })), series.length > 1 && series.map((one) => h("span", { class: `key ${one.kind || ""}` }, one.name))),
      svg("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none" }, lines, bars, svg("line", { class: "base", x1: 0, x2: W, y1: H, y2: H, "vector-effect": "non-scaling-stroke" })),
      axis(labels, every));
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
