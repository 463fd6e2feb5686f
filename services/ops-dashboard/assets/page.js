// Glue between the server's markup, htmx, its stream and uPlot. The page works without it.
"use strict";
(() => {
  const root = document.documentElement;
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  const STALE_MS = 5000, ANNOUNCE_MS = 5000;

  // ── Parts in place ────────────────────────────────────────────────────────────────────────────
  // Only what differs is touched: focus, selection, open details and a half-made click stay.
  const keep = new Set(["open", "aria-pressed"]);
  function morph(target, source) {
    const olds = [...target.childNodes], news = [...source.childNodes];
    news.forEach((next, index) => {
      const old = olds[index];
      if (!old) { target.appendChild(next.cloneNode(true)); return; }
      if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName || old.id !== next.id) {
        old.replaceWith(next.cloneNode(true));
        return;
      }
      if (old.nodeType !== Node.ELEMENT_NODE) {
        if (old.data !== next.data) old.data = next.data;
        return;
      }
      for (const { name } of [...old.attributes]) {
        if (!next.hasAttribute(name) && !keep.has(name)) old.removeAttribute(name);
      }
      for (const { name, value } of next.attributes) {
        if (old.getAttribute(name) !== value && !keep.has(name)) old.setAttribute(name, value);
      }
      if (!old.matches("input, textarea, select, .plot")) morph(old, next);
    });
    olds.slice(news.length).forEach((old) => old.remove());
  }

  const paused = new Set();
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    event.detail.shouldSwap = false;
    if (paused.has(target.id)) return;
    morph(target, fragment);
    htmx.process(target);
    times(target);
  });

  // ── Freshness ─────────────────────────────────────────────────────────────────────────────────
  let heard = Date.now(), isOpen = false;
  document.addEventListener("htmx:sseMessage", () => { heard = Date.now(); isOpen = true; fresh(); announce(); });
  document.addEventListener("htmx:sseOpen", () => { isOpen = true; });
  document.addEventListener("htmx:sseError", () => { isOpen = false; fresh(); });

  function fresh() {
    const silent = Date.now() - heard;
    const isOld = silent > STALE_MS;
    document.body.classList.toggle("is-old", isOld);
    const text = $("#fresh-text");
    if (!text || (!isOld && isOpen)) return;
    if (isOld || !isOpen) {
      const since = new Date(heard).toLocaleTimeString([], { hour12: false, timeZone: zone() });
      text.textContent = `no word from the dashboard since ${since}, reconnecting`;
    }
  }

  let announced = "", announcedAt = 0;
  function announce() {
    const words = $("#announced")?.textContent ?? "";
    if (words === announced || Date.now() - announcedAt < ANNOUNCE_MS) return;
    if (announced) $("#announcement").textContent = words;
    [announced, announcedAt] = [words, Date.now()];
  }

  // ── Times ─────────────────────────────────────────────────────────────────────────────────────
  const zone = () => (root.dataset.zone === "utc" ? "UTC" : undefined);
  function times(from) {
    const timeZone = zone();
    for (const time of $$("time", from)) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(+at) || time.dataset.shown === time.dateTime) continue;
      time.dataset.shown = time.dateTime;
      if (!timeZone) time.title = `${at.toLocaleString()} (${time.title})`;
      if ("clock" in time.dataset && !timeZone) time.textContent = at.toLocaleTimeString([], { hour12: false });
    }
  }

  // ── Charts ────────────────────────────────────────────────────────────────────────────────────
  const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const group = (value) => value.toLocaleString("en-US", { maximumFractionDigits: value < 10 ? 1 : 0 });
  const units = {
    rate: (value) => `${group(value)}/s`,
    count: group,
    ms: (v) => (v < 1000 ? `${group(v)} ms` : v < 600000 ? `${group(v / 1000)} s` : `${group(v / 60000)} min`),
    bytes: (value) => {
      let unit = 0;
      while (value >= 1024 && unit < 5) { value /= 1024; unit += 1; }
      return `${group(value)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
    },
  };
  const spans = { "5m": 300, "1h": 3600, "24h": 86400 };

  function lines(labels) {
    // A projection keeps its colour; p99 is the same line, dashed.
    const colours = [style("--accent"), style("--ink-2"), style("--behind"), style("--ok"), style("--ink-3")];
    const bases = [...new Set(labels.map((label) => label.replace(/ ?p(50|99)$/, "")))];
    return labels.map((label) => ({
      label,
      stroke: colours[bases.indexOf(label.replace(/ ?p(50|99)$/, "")) % colours.length],
      dash: label.endsWith("p99") ? [4, 3] : undefined,
      width: 1.5, spanGaps: false, points: { show: false },
      fill: labels.length === 1 ? style("--accent-fill") : undefined,
    }));
  }

  // Numbers of things have no fractions between them, and bytes are halved and doubled.
  const whole = Array.from({ length: 45 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));
  const doubled = Array.from({ length: 50 }, (_, power) => 2 ** power);
  const increments = { rate: { incrs: whole }, count: { incrs: whole }, bytes: { incrs: doubled } };

  function decades(low, high) {
    const ticks = [];
    for (let tick = 10 ** Math.ceil(Math.log10(low) - 1e-9); tick <= high * 1.0001; tick *= 10) ticks.push(tick);
    return ticks;
  }

  function options(plot, labels) {
    const isLog = plot.dataset.unit === "ms", unit = units[plot.dataset.unit];
    const axis = { stroke: style("--ink-3"), font: "11px system-ui", grid: { stroke: style("--line"), width: 1 }, ticks: { show: false } };
    const span = spans[plot.dataset.range];
    return {
      width: plot.clientWidth, height: plot.clientHeight, legend: { show: false },
      tzDate: zone() ? (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "UTC") : undefined,
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      padding: [8, labels.length > 1 ? 88 : 20, 0, 0],
      scales: {
        x: { range: () => { const now = Date.now() / 1e3; return [now - span, now]; } },
        y: isLog ? { distr: 3, range: (_, low, high) => [10 ** Math.floor(Math.log10(Math.max(low ?? 1, 0.1))), 10 ** Math.ceil(Math.log10(Math.max(high ?? 10, 1) * 1.01))] }
          : { range: (_, __, high) => [0, Math.max(high ?? 0, 1) * 1.1] },
      },
      axes: [
        { ...axis, size: 24, space: 72, values: (_, ticks) => ticks.map((tick) => (tick % 60 ? "" : new Date(tick * 1e3).toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit", timeZone: zone() }))) },
        { ...axis, size: (_, texts) => Math.max(56, 16 + 7 * Math.max(0, ...(texts ?? []).map((text) => text.length))), space: 32,
          ...(isLog ? { splits: (_, __, low, high) => decades(low, high) } : increments[plot.dataset.unit]), values: (_, ticks) => ticks.map(unit) },
      ],
      series: [{}, ...lines(labels)],
      hooks: {
        draw: [(chart) => label(chart, plot)],
        setCursor: [(chart) => tip(chart, plot, unit)],
      },
    };
  }

  // Each line's name stands at its end, and no two stand on each other.
  function label(chart, plot) {
    $$(".label", plot).forEach((old) => old.remove());
    if (chart.series.length < 3) return;
    const ends = chart.series.slice(1).map((series, index) => {
      const values = chart.data[index + 1];
      const last = values.findLast((value) => value !== null);
      return last === undefined ? null : { series, top: chart.valToPos(last, "y") + chart.bbox.top / devicePixelRatio };
    }).filter(Boolean).sort((a, b) => a.top - b.top);
    let below = -Infinity;
    for (const { series, top } of ends) {
      const place = Math.max(top - 8, below);
      below = place + 14;
      const name = document.createElement("span");
      name.className = "label";
      name.textContent = series.label;
      name.style.color = series.stroke();
      name.style.top = `${place}px`;
      name.style.left = `${(chart.bbox.left + chart.bbox.width) / devicePixelRatio}px`;
      plot.appendChild(name);
    }
  }

  function tip(chart, plot, unit) {
    const at = chart.cursor.idx;
    let box = $(".tip", plot);
    if (at === null || at === undefined || chart.cursor.left < 0) { box?.remove(); return; }
    if (!box) { box = document.createElement("div"); box.className = "tip"; plot.appendChild(box); }
    const when = new Date(chart.data[0][at] * 1e3).toLocaleTimeString([], { hour12: false, timeZone: zone() });
    const rows = chart.series.slice(1).map((series, index) => {
      const value = chart.data[index + 1][at];
      return `${series.label}  ${value === null || value === undefined ? "–" : unit(value)}`;
    });
    box.textContent = [when, ...rows].join("\n");
    const left = chart.cursor.left + chart.bbox.left / devicePixelRatio + 12;
    box.style.left = `${Math.max(0, Math.min(left, plot.clientWidth - box.offsetWidth))}px`;
    box.style.top = "8px";
  }

  const drawn = new Map();
  async function draw(plot) {
    const { names, range, labels } = plot.dataset;
    let data;
    try {
      const answer = await fetch(`/history?range=${range}&names=${encodeURIComponent(names)}`);
      if (!answer.ok) return;
      data = await answer.json();
    } catch { return; }
    if (!plot.isConnected) return;
    const known = data.values.some((values) => values.filter((value) => value !== null).length > 1);
    if (!known) {
      if (!drawn.has(plot)) { plot.replaceChildren(Object.assign(document.createElement("p"), { className: "waiting", textContent: "no numbers in this range yet" })); }
      return;
    }
    const rows = [data.times, ...data.values];
    const chart = drawn.get(plot);
    if (chart) { chart.setData(rows); return; }
    plot.replaceChildren();
    drawn.set(plot, new uPlot(options(plot, labels.split("\n")), rows, plot));
  }
  function charts() {
    for (const [plot, chart] of drawn) if (!plot.isConnected) { chart.destroy(); drawn.delete(plot); }
    $$(".plot").forEach(draw);
  }
  function redraw() {
    for (const [plot, chart] of drawn) { chart.destroy(); drawn.delete(plot); plot.replaceChildren(); }
    charts();
  }

  // On a narrow screen the places scroll: the one that is open is seen.
  function seePlace() {
    const places = $(".places"), place = $(".places a[aria-current]");
    if (place) places.scrollLeft = place.offsetLeft - (places.clientWidth - place.offsetWidth) / 2;
  }

  // ── Keyboard ──────────────────────────────────────────────────────────────────────────────────
  let isGoing = 0;
  const help = () => { const dialog = $("#help"); dialog.open ? dialog.close() : dialog.showModal(); };
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input, textarea, select");
    if (field) {
      if (event.key === "Escape") field.blur();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && "submits" in field.dataset) field.form.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const wasGoing = Date.now() - isGoing < 1500;
    isGoing = 0;
    const place = wasGoing && $(`.places a[data-key="${CSS.escape(event.key)}"]`);
    if (place) { event.preventDefault(); place.click(); return; }
    if (event.key === "g") { isGoing = Date.now(); return; }
    if (event.key === "?") { help(); return; }
    if (event.key === "p") { $("[data-pauses]")?.click(); return; }
    if (event.key === "/") {
      event.preventDefault();
      const search = $("[data-search]");
      if (search) search.focus(); else location.href = "/search";
      return;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") step(event);
    if (event.key === "Enter" && event.target.matches("tr")) $("a", event.target)?.click();
  });
  function step(event) {
    const rows = $$("table.rows tbody tr");
    const at = rows.indexOf(document.activeElement.closest("tr"));
    const next = rows[at < 0 ? 0 : at + (event.key === "ArrowDown" ? 1 : -1)];
    if (!next || (at < 0 && document.activeElement !== document.body && !document.activeElement.closest(".scroll"))) return;
    event.preventDefault();
    next.focus();
  }

  // ── Buttons ───────────────────────────────────────────────────────────────────────────────────
  document.addEventListener("click", (event) => {
    const pause = event.target.closest("[data-pauses]");
    if (pause) {
      const part = pause.dataset.pauses;
      paused.has(part) ? paused.delete(part) : paused.add(part);
      pause.setAttribute("aria-pressed", paused.has(part));
      pause.textContent = paused.has(part) ? "Go on" : "Pause";
    }
    if (event.target.closest("#help-button")) help();
  });
  document.addEventListener("input", (event) => {
    const expected = event.target.dataset?.expected;
    if (expected === undefined) return;
    $("button", event.target.form).disabled = event.target.value !== expected;
  });
  function ready() {
    seePlace();
    $$("[data-pauses]").forEach((button) => { button.hidden = false; });
    $$("[data-expected]").forEach((field) => { $("button", field.form).disabled = field.value !== field.dataset.expected; });
    times(document);
    charts();
  }

  document.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target?.id === "main" || event.target.id === "main") ready(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(redraw, 150); seePlace(); });
  setInterval(fresh, 1000);
  setInterval(() => { if (!document.hidden) charts(); }, 2000);
  ready();
})();
