// The core of the explorables: controls, charts, tasks and the words that say what is shown. No library, no network;
// classic scripts, so that pages work from file://. Each explorable calls explorables.define(name, { maths, start }).
globalThis.explorables = (() => {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  const known = {}, boxes = [];
  let count = 0;

  // --- numbers and elements ------------------------------------------------------------------------------------------

  /** A number for people: a real minus, no −0, ∞ for more than can be said. */
  function say(v, digits = 2) {
    if (!Number.isFinite(v)) return Number.isNaN(v) ? "not a number" : v > 0 ? "∞" : "−∞";
    const text = v.toFixed(digits);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
  }

  /** Reproducible draws: uniform() on [0, 1) (mulberry32), normal() (Box & Muller). */
  function generator(seed) {
    let state = seed | 0;
    function uniform() {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }
    return { uniform, normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()) };
  }

  const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

  function fill(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  // --- charts: SVG in the theme's colours --------------------------------------------------------------------------------

  /** Round places for ticks, about `about` of them. */
  function ticks([low, high], about = 5) {
    const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    const out = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) out.push(Math.abs(v) < step / 1e6 ? 0 : v);
    return out;
  }

  /** Axes with ranges that may change; lines, marks and handles in the units of the axes. */
  function chart({ label, width = 360, height = 220, x, y, xlabel = "", ylabel = "", square = false, left = 40, scale = true }) {
    const pad = { left, right: 10, top: ylabel ? 22 : 12, bottom: xlabel ? 36 : 22 };
    if (square) height = width - pad.left - pad.right + pad.top + pad.bottom;
    const wide = width - pad.left - pad.right, high = height - pad.top - pad.bottom, id = `explorable-clip-${++count}`;
    const X = (v) => pad.left + ((v - x[0]) / (x[1] - x[0])) * wide;
    const Y = (v) => pad.top + ((y[1] - v) / (y[1] - y[0])) * high;
    const frame = svg("g", { class: "ex-frame", "aria-hidden": "true" });
    const inside = svg("g", { "clip-path": `url(#${id})`, "aria-hidden": "true" });
    const above = svg("g");
    const node = svg("svg", { class: "ex-chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label },
      svg("defs", {}, svg("clipPath", { id }, svg("rect", { x: pad.left, y: pad.top, width: wide, height: high }))),
      frame, inside, above);
    function axes() {
      frame.replaceChildren(svg("rect", { x: pad.left, y: pad.top, width: wide, height: high }));
      for (const v of ticks(x)) frame.append(svg("text", { x: X(v), y: pad.top + high + 14, class: "ex-tick-x" }, say(v, decimals(x))));
      if (scale) for (const v of ticks(y, high / 28)) {
        frame.append(svg("line", { x1: pad.left, x2: pad.left + wide, y1: Y(v), y2: Y(v) }));
        frame.append(svg("text", { x: pad.left - 5, y: Y(v) + 4, class: "ex-tick-y" }, say(v, decimals(y, high / 28))));
      }
      if (xlabel) frame.append(svg("text", { x: pad.left + wide / 2, y: height - 5, class: "ex-tick-x" }, xlabel));
      if (ylabel) frame.append(svg("text", { x: 4, y: 13 }, ylabel));
    }
    const decimals = (range, about) => {
      const t = ticks(range, about);
      return t.length < 2 ? 1 : clamp(-Math.floor(Math.log10(t[1] - t[0]) + 1e-9), 0, 4);
    };
    axes();
    const add = (tag, attributes, parent = inside) => {
      const made = svg(tag, attributes);
      parent.append(made);
      return made;
    };
    return {
      node, X, Y, inside, above, add,
      range(newX, newY) {
        if (newX) x = newX;
        if (newY) y = newY;
        axes();
      },
      /** A polyline; `set(xs, ys)`. With `area` it is filled down to 0. */
      line(kind, { area = false } = {}) {
        const path = add("path", { class: `ex-line ex-${kind}${area ? " ex-area" : ""}` });
        return {
          set(xs, ys) {
            let d = "";
            for (let i = 0; i < xs.length; i++) {
              const v = clamp(ys[i], y[0] - 10 * (y[1] - y[0]), y[1] + 10 * (y[1] - y[0]));
              if (Number.isFinite(v)) d += `${d ? "L" : "M"}${X(xs[i]).toFixed(1)} ${Y(v).toFixed(1)}`;
            }
            path.setAttribute("d", d && area ? `${d}L${X(xs.at(-1)).toFixed(1)} ${Y(0)}L${X(xs[0]).toFixed(1)} ${Y(0)}Z` : d);
          },
        };
      },
      /** Many small marks at once, a dot or a cross each; `set([[x, y], …])`. */
      marks(kind, size = 2.5) {
        const path = add("path", { class: `ex-marks ex-${kind}` });
        const cross = kind.startsWith("model");
        return {
          set(points) {
            path.setAttribute("d", points.map(([a, b]) => {
              const u = X(a).toFixed(1), v = Y(b).toFixed(1);
              return cross ? `M${u} ${v}m${-size} ${-size}l${2 * size} ${2 * size}m0 ${-2 * size}l${-2 * size} ${2 * size}`
                : `M${u} ${v}m${-size} 0a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0`;
            }).join(""));
          },
        };
      },
      /**
       * A point that is dragged by mouse or finger, or moved with arrow keys (Shift: ten steps): move(x, y) wants the
       * new place. `set(x, y, text)` puts it somewhere and says so to who cannot see it.
       */
      handle(kind, name, move, { step = [0.05, 0.05], shape = "circle" } = {}) {
        const g = svg("g", { class: `ex-handle ex-${kind}`, tabindex: 0, role: "slider", "aria-label": name },
          svg("circle", { r: 20, class: "ex-reach" }),
          shape === "circle" ? svg("circle", { r: 8 }) : svg("rect", { x: -7, y: -7, width: 14, height: 14 }));
        above.append(g);
        let at = [0, 0];
        const go = (a, b) => move(clamp(a, x[0], x[1]), clamp(b, y[0], y[1]));
        const place = (event) => {
          const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(node.getScreenCTM().inverse());
          return [x[0] + ((p.x - pad.left) / wide) * (x[1] - x[0]), y[1] - ((p.y - pad.top) / high) * (y[1] - y[0])];
        };
        let grip = null;
        g.addEventListener("pointerdown", (event) => {
          g.setPointerCapture(event.pointerId);
          const p = place(event);
          grip = [at[0] - p[0], at[1] - p[1]];
          g.focus({ preventScroll: true });
          event.preventDefault();
        });
        g.addEventListener("pointermove", (event) => {
          if (!grip) return;
          const p = place(event);
          go(p[0] + grip[0], p[1] + grip[1]);
        });
        for (const end of ["pointerup", "pointercancel"]) g.addEventListener(end, () => (grip = null));
        const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
        g.addEventListener("keydown", (event) => {
          const way = keys[event.key];
          if (!way) return;
          const times = event.shiftKey ? 10 : 1;
          go(at[0] + times * step[0] * way[0], at[1] + times * step[1] * way[1]);
          event.preventDefault();
        });
        return {
          node: g,
          set(a, b, text) {
            at = [a, b];
            g.setAttribute("transform", `translate(${X(a).toFixed(1)} ${Y(b).toFixed(1)})`);
            g.setAttribute("aria-valuenow", Number(a.toFixed(3)));
            g.setAttribute("aria-valuemin", x[0]);
            g.setAttribute("aria-valuemax", x[1]);
            g.setAttribute("aria-valuetext", text);
          },
        };
      },
    };
  }

  // --- one explorable on a page ------------------------------------------------------------------------------------------

  function open(box, { start }) {
    const figures = html("div", { class: "ex-figures" }), side = html("div", { class: "ex-side" }), controls = html("div", { class: "ex-controls" });
    const readout = html("dl", { class: "ex-values" });
    const summary = html("p", { class: "ex-summary", role: "status", "aria-live": "polite" });
    const listed = html("ol", { class: "ex-tasks" }), state = {}, setters = {}, tasks = [];
    let update = () => ({}), timer = 0, since = 0, told = "";

    /** The words follow the picture politely: once it rests, or every `patience` ms while it does not. */
    function tell(text) {
      if (!text || text === told) return;
      told = text;
      since ||= performance.now();
      clearTimeout(timer);
      const say = () => {
        summary.textContent = told;
        since = 0;
      };
      if (!summary.textContent) say();
      else timer = setTimeout(say, Math.max(0, Math.min(400, since + ui.patience - performance.now())));
    }

    function changed() {
      const { values = {}, text } = update(state) ?? {};
      box.values = values;
      for (const [key, node] of Object.entries(ui.shown)) if (key in values) node.textContent = ui.says[key](values[key]);
      for (const task of tasks) if (!task.met && task.done?.(values, state)) task.meet();
      tell(text);
    }

    function control(key, label, node, value, ...more) {
      node.id = `explorable-${++count}`;
      controls.append(html("div", { class: "ex-control" }, html("label", { for: node.id }, label), node, ...more));
      state[key] = value;
      return node;
    }

    const ui = {
      box, state, figures, side, controls, changed, tell, html, svg, chart, reduced, patience: 1500, shown: {}, says: {},
      /** A labelled range; `of` turns its position into the value (a power of ten, say). */
      slider(key, label, { min, max, step = 0.01, value, text = say, of = (v) => v, to = (v) => v }) {
        const output = html("output");
        const input = control(key, label, html("input", { type: "range", min, max, step }), value, output);
        output.htmlFor = input.id;
        const show = () => input.setAttribute("aria-valuetext", (output.value = text(state[key])));
        setters[key] = (v) => {
          state[key] = v;
          input.value = to(v);
          show();
        };
        setters[key](value);
        input.addEventListener("input", () => {
          state[key] = of(Number(input.value));
          show();
          changed();
        });
        return input;
      },
      choice(key, label, options, value) {
        const select = control(key, label, html("select", {}, ...Object.entries(options).map(([v, text]) =>
          html("option", { value: v }, text))), value);
        setters[key] = (v) => (select.value = state[key] = v);
        setters[key](value);
        select.addEventListener("change", () => ((state[key] = select.value), changed()));
        return select;
      },
      tick(key, label, value = false) {
        const input = html("input", { type: "checkbox", id: `explorable-${++count}` });
        controls.append(html("div", { class: "ex-tick" }, input, html("label", { for: input.id }, label)));
        setters[key] = (v) => (input.checked = state[key] = v);
        setters[key](value);
        input.addEventListener("change", () => ((state[key] = input.checked), changed()));
        return input;
      },
      buttons(...made) {
        const row = html("div", { class: "ex-buttons" });
        const nodes = made.map(([text, press]) => {
          const node = html("button", { type: "button", class: "ex-button" }, text);
          node.addEventListener("click", () => (press(node), changed()));
          row.append(node);
          return node;
        });
        controls.append(row);
        return nodes;
      },
      /** Numbers that follow: key → [name, how it is said]. */
      values(named) {
        for (const [key, [name, text = say]] of Object.entries(named)) {
          ui.shown[key] = html("dd");
          ui.says[key] = text;
          readout.append(html("div", {}, html("dt", {}, name), ui.shown[key]));
        }
      },
      /** Put controls to values, all at once. */
      set(values) {
        for (const [key, v] of Object.entries(values)) setters[key] ? setters[key](v) : (state[key] = v);
        changed();
      },
      /** Something to try, which checks itself: `done(values, state)`, or `ask`ed afterwards, with the right option. */
      task(text, { done, ask, options, right, why }) {
        const mark = html("span", { class: "ex-mark" }, "○ "), item = html("li", {}, mark, text);
        item.dataset.done = "no";
        const task = { done, met: false };
        const finish = () => {
          item.dataset.done = "yes";
          mark.textContent = "✓ Done: ";
        };
        task.meet = () => {
          task.met = true;
          if (!options) finish();
          answer?.classList.remove("ex-waits");
        };
        let answer = null;
        if (options) {
          const select = html("select", { "aria-label": ask }, html("option", { value: "" }, "choose"),
            ...options.map((o, i) => html("option", { value: i }, o)));
          const verdict = html("span", { role: "status" });
          select.addEventListener("change", () => {
            if (select.value === "") return;
            const good = Number(select.value) === right;
            verdict.textContent = good ? ` Right. ${why}` : " Not that one: try again.";
            if (good && task.met) finish();
            else if (good) verdict.textContent += " Now do it as well.";
            task.right = good;
          });
          const meet = task.meet;
          task.meet = () => (meet(), task.right && finish());
          answer = html("div", { class: "ex-ask" }, `${ask} `, select, verdict);
          item.append(answer);
        }
        tasks.push(task);
        listed.append(item);
      },
    };
    side.append(controls, readout);
    update = start(ui);
    for (const still of box.querySelectorAll(".ex-still, .ex-off")) still.remove();
    box.append(html("div", { class: "ex-both" }, figures, side), summary);
    if (tasks.length) box.append(html("p", { class: "ex-to-do" }, "To try:"), listed);
    box.classList.add("ex-alive");
    box.ui = ui;
    boxes.push(box);
    changed();
  }

  function startAll() {
    for (const box of document.querySelectorAll(".explorable:not(.ex-alive)")) {
      const name = box.dataset.explorable;
      if (known[name]?.start) open(box, known[name]);
    }
    const redraw = () => boxes.forEach((box) => box.ui.changed());
    new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  if (typeof document !== "undefined") {
    if (document.readyState === "complete") setTimeout(startAll);
    else document.addEventListener("DOMContentLoaded", startAll);
  }

  return {
    define: (name, parts) => (known[name] = parts),
    maths: (name) => known[name].maths,
    say, generator, clamp, html, svg,
  };
})();
