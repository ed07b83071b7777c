// Checkerboard: how often a transposed convolution of kernel k and stride s writes each output place. Input i adds the
// kernel at s·i … s·i + k − 1; the counts along the two axes multiply (Odena et al. 2016).
(() => {
  "use strict";

  const INPUTS = 6;

  /** Contributions to each of the (n − 1)s + k output places of n inputs: how many i have 0 ≤ o − s·i < k. */
  function counts(n, kernel, stride) {
    return Array.from({ length: (n - 1) * stride + kernel }, (_, o) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += o - stride * i >= 0 && o - stride * i < kernel;
      return sum;
    });
  }

  /** Away from the border: the counts of one period, ⌈(k − r)/s⌉ for r = 0 … s − 1. Even exactly where s divides k. */
  const period = (kernel, stride) => Array.from({ length: stride }, (_, r) => Math.max(0, Math.ceil((kernel - r) / stride)));

  /** The output of ones through a kernel: all ones, or weights w falling off linearly from the middle. */
  function output(n, kernel, stride, weights) {
    const out = new Array((n - 1) * stride + kernel).fill(0);
    for (let i = 0; i < n; i++) for (let a = 0; a < kernel; a++) out[stride * i + a] += weights[a];
    return out;
  }
  const flat = (k) => new Array(k).fill(1);
  /** Linear interpolation, as far as k taps allow it: a triangle of 2s − 1 taps, or of 2s where k is even. */
  const linear = (k, s) => Array.from({ length: k }, (_, a) => Math.max(0, 1 - Math.abs(a - (k - 1) / 2) / s));

  function start(ui) {
    const { say, clamp } = globalThis.explorables, { state, svg, html } = ui, width = 360;
    const rows = svg("svg", { class: "ex-chart", viewBox: `0 0 ${width} 130`, role: "group", "aria-label": "Along one axis: which inputs write which output places" });
    const lines = svg("g", { "aria-hidden": "true" }), above = svg("g");
    rows.append(lines, above);
    const square = svg("svg", { class: "ex-chart", viewBox: `0 0 ${width} ${width}`, role: "img", "aria-label": "The output image of an image of ones: the stronger the shade, the larger the value" });
    const note = html("p", { class: "ex-caption" }, "Above: inputs, and the output places they write. Below: the output of ones, in two dimensions.");
    ui.figures.append(rows, square, note);
    ui.slider("kernel", "kernel k", { min: 1, max: 8, step: 1, value: 3, text: (v) => say(v, 0) });
    ui.slider("stride", "stride s", { min: 1, max: 4, step: 1, value: 2, text: (v) => say(v, 0) });
    ui.choice("weights", "weights", { flat: "all 1", linear: "falling off from the middle" }, "flat");
    const at = ui.slider("place", "output place", { min: 0, max: 12, step: 1, value: 5, text: (v) => say(v, 0) });
    const whole = (v) => say(v, 0);
    ui.values({ size: ["output places", whole], here: ["write this one", whole], least: ["least, inside", whole], most: ["most, inside", whole], ripple: ["ripple", (v) => `${say(100 * v, 0)} %`] });

    // The chosen output place: dragged along the row, or moved with the arrow keys.
    const grip = svg("g", { class: "ex-handle ex-model", tabindex: 0, role: "slider", "aria-label": "output place" },
      svg("circle", { r: 18, class: "ex-reach" }), svg("circle", { r: 7 }));
    above.append(grip);
    let cells = 13, held = false;
    const X = (o) => 12 + ((o + 0.5) * (width - 24)) / cells;
    const go = (o) => ui.set({ place: clamp(Math.round(o), 0, cells - 1) });
    const under = (event) => ((new DOMPoint(event.clientX, event.clientY).matrixTransform(rows.getScreenCTM().inverse()).x - 12) * cells) / (width - 24) - 0.5;
    grip.addEventListener("pointerdown", (event) => {
      held = true;
      grip.setPointerCapture(event.pointerId);
      event.preventDefault();
      grip.focus({ preventScroll: true });
    });
    grip.addEventListener("pointermove", (event) => held && go(under(event)));
    for (const end of ["pointerup", "pointercancel"]) grip.addEventListener(end, () => (held = false));
    grip.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!by) return;
      go(state.place + by);
      event.preventDefault();
    });

    ui.task("Stride 2: find a kernel larger than the stride whose output is even.", { done: (v, s) => s.stride === 2 && s.kernel > 2 && v.ripple < 1e-9 });
    ui.task("Set the GAN's own kernel and stride, 5 and 2, with weights of 1.", { done: (v, s) => s.kernel === 5 && s.stride === 2 && s.weights === "flat",
      ask: "Inside, how many inputs write a pixel of the image?", options: ["4 or 9", "4, 6 or 9", "always 6"], right: 1, why: "2 or 3 along each axis: 2 · 2, 2 · 3 or 3 · 3." });
    ui.task("An uneven count is not the last word: find k and s where s does not divide k, and yet weights make the output even.", {
      done: (v, s) => s.kernel % s.stride !== 0 && s.kernel > s.stride && v.ripple < 1e-9 });

    return () => {
      const { kernel, stride } = state, count = counts(INPUTS, kernel, stride);
      cells = count.length;
      at.max = cells - 1;
      if (state.place >= cells) return ui.set({ place: cells - 1 });
      const weights = state.weights === "flat" ? flat(kernel) : linear(kernel, stride);
      const out = output(INPUTS, kernel, stride, weights), top = Math.max(...out);
      // Inside is what a long row repeats: one period.
      const long = output(INPUTS + 8, kernel, stride, weights).slice(4 * stride + kernel, 5 * stride + kernel);
      const ripple = (Math.max(...long) - Math.min(...long)) / Math.max(...long), each = period(kernel, stride);
      const size = (width - 24) / cells, centre = (i) => X(stride * i + (kernel - 1) / 2);
      lines.replaceChildren();
      for (let i = 0; i < INPUTS; i++) for (let a = 0; a < kernel; a++) {
        const on = stride * i + a === state.place;
        lines.append(svg("line", { x1: centre(i), y1: 26, x2: X(stride * i + a), y2: 78, class: on ? "ex-wire ex-on" : "ex-wire", "stroke-opacity": on ? 1 : 0.25 + 0.5 * weights[a] }));
      }
      for (let i = 0; i < INPUTS; i++) lines.append(svg("rect", { x: centre(i) - Math.min(9, size * 0.42), y: 8, width: 2 * Math.min(9, size * 0.42), height: 18, class: "ex-input" }));
      count.forEach((c, o) => lines.append(
        svg("rect", { x: X(o) - size * 0.45, y: 78, width: size * 0.9, height: 24, class: "ex-cell", "fill-opacity": out[o] / top }),
        svg("text", { x: X(o), y: 118, class: "ex-tick-x" }, c)));
      grip.setAttribute("transform", `translate(${X(state.place)} 90)`);
      for (const [name, v] of Object.entries({ valuemin: 0, valuemax: cells - 1, valuenow: state.place, valuetext: `place ${state.place}, written by ${count[state.place]} inputs` })) grip.setAttribute(`aria-${name}`, v);
      const cell = (width - 24) / cells;
      square.replaceChildren(...out.flatMap((a, i) => out.map((b, j) => svg("rect", { x: 12 + j * cell, y: 12 + i * cell, width: cell + 0.3, height: cell + 0.3, class: "ex-cell", "fill-opacity": ((a * b) / top ** 2).toFixed(3) }))));
      const least = Math.min(...each), most = Math.max(...each);
      return {
        values: { size: cells, here: count[state.place], least, most, ripple },
        text: `Kernel ${kernel}, stride ${stride}, ${INPUTS} inputs along an axis: ${cells} output places. Place ${state.place} is written by ${count[state.place]} input${count[state.place] === 1 ? "" : "s"}. `
          + `Away from the border ${least === most ? `every place is written by ${least}` : `places are written by ${least} to ${most} inputs in turn`}`
          + `; with these weights the output ${ripple < 1e-9 ? "is even" : `varies: its least value is ${say(100 * ripple, 0)} % below its largest, along one axis`}.`,
      };
    };
  }

  globalThis.explorables.define("checkerboard", { maths: { counts, period, output, linear, flat }, start });
})();
