// The explorers of the book: a trained decoder, run in the page. No library, no network; works from file://.
// A model is what `ganvae export` wrote into globalThis.ganvaeModels: layers in order and float16 weights.
(() => {
  "use strict";

  // --- numbers ---------------------------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  function halves(text) {
    const view = new DataView(bytes(text).buffer);
    const out = new Float32Array(view.byteLength / 2);
    for (let i = 0; i < out.length; i++) {
      const h = view.getUint16(2 * i, true);
      const exponent = (h >> 10) & 31, fraction = h & 1023;
      const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
      out[i] = h & 0x8000 ? -size : size;
    }
    return out;
  }

  // --- layers, channels last as in Keras -------------------------------------------------------------------------

  const LAYERS = {
    dense(x, { inputs, units, at }, w) {
      const out = w.slice(at + inputs * units, at + inputs * units + units);
      for (let i = 0, k = at; i < inputs; i++) {
        const v = x[i];
        for (let j = 0; j < units; j++) out[j] += v * w[k++];
      }
      return out;
    },
    // 'same' transposed convolution: input (i, j) adds its value times the kernel at (stride·i − pad, stride·j − pad).
    deconvolution(x, { size, channels, filters, kernel, stride, at }, w) {
      const side = size * stride, pad = Math.floor(Math.max(kernel - stride, 0) / 2);
      const bias = at + kernel * kernel * filters * channels;
      const out = new Float32Array(side * side * filters);
      for (let i = 0; i < out.length; i++) out[i] = w[bias + (i % filters)];
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) {
        const from = (i * size + j) * channels;
        for (let a = 0; a < kernel; a++) {
          const row = i * stride + a - pad;
          if (row < 0 || row >= side) continue;
          for (let b = 0; b < kernel; b++) {
            const column = j * stride + b - pad;
            if (column < 0 || column >= side) continue;
            const to = (row * side + column) * filters;
            let k = at + (a * kernel + b) * filters * channels;
            for (let f = 0; f < filters; f++) {
              let sum = 0;
              for (let c = 0; c < channels; c++) sum += x[from + c] * w[k++];
              out[to + f] += sum;
            }
          }
        }
      }
      return out;
    },
    leaky: (x, { slope }) => x.map((v) => (v < 0 ? slope * v : v)),
    activation: (x, { scale }) => x.map((v) => Math.tanh(scale * v)),
    crop(x, { size, channels, by }) {
      const side = size - 2 * by, out = new Float32Array(side * side * channels);
      for (let i = 0; i < side; i++) {
        const from = ((i + by) * size + by) * channels;
        out.set(x.subarray(from, from + side * channels), i * side * channels);
      }
      return out;
    },
  };

  const ready = new Map();

  function model(name) {
    if (!ready.has(name)) {
      const told = globalThis.ganvaeModels?.[name];
      if (!told) throw new Error(`no model '${name}' on this page`);
      ready.set(name, { ...told, w: halves(told.weights), points: told.points && halves(told.points) });
    }
    return ready.get(name);
  }

  /** z (latent_dim numbers) → 784 pixels in [−1, 1], row by row. */
  function decode(name, z) {
    const m = model(name);
    return m.layers.reduce((x, layer) => LAYERS[layer.type](x, layer, m.w), Float32Array.from(z));
  }

  // --- walks -----------------------------------------------------------------------------------------------------

  const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const mix = (a, b, s, t) => a.map((v, i) => s * v + t * b[i]);
  const lerp = (a, b, t) => mix(a, b, 1 - t, t);

  function slerp(a, b, t) {
    const p = Math.sqrt(dot(a, a)), q = Math.sqrt(dot(b, b));
    const omega = Math.acos(Math.min(1, Math.max(-1, dot(a, b) / (p * q))));
    if (!(Math.sin(omega) > 1e-6)) return lerp(a, b, t);
    const length = (1 - t) * p + t * q;
    return mix(a, b, (length * Math.sin((1 - t) * omega)) / (p * Math.sin(omega)),
      (length * Math.sin(t * omega)) / (q * Math.sin(omega)));
  }

  function normal() {
    return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  }

  // --- pieces of a page ------------------------------------------------------------------------------------------

  function element(tag, properties = {}, ...children) {
    const { dataset, ...rest } = properties;
    const node = Object.assign(document.createElement(tag), rest);
    Object.assign(node.dataset, dataset);
    node.append(...children);
    return node;
  }

  let count = 0;

  /** A labelled range with its value shown; onInput gets the number. */
  function slider(text, { min, max, step = 0.01, value = 0 }, onInput) {
    const id = `explorer-${++count}`;
    const shown = element("output", { htmlFor: id });
    const input = element("input", { type: "range", id, min, max, step, value });
    const show = () => (shown.value = (Math.round(100 * input.value) / 100 || 0).toFixed(2).replace("-", "−"));
    input.addEventListener("input", () => (show(), onInput(Number(input.value))));
    const set = (v) => ((input.value = v), show());
    show();
    return { node: element("div", { className: "explorer-slider" }, element("label", { htmlFor: id }, text), input, shown), set };
  }

  function picture(label, columns = 1) {
    const canvas = element("canvas", { className: "explorer-image", width: 28 * columns, height: 28 });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
    return canvas;
  }

  function paint(canvas, pixels, column = 0) {
    const image = new ImageData(28, 28);
    for (let i = 0; i < 784; i++) {
      image.data.fill(Math.round((pixels[i] + 1) * 127.5), 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 28 * column, 0);
  }

  const button = (text, onClick) => {
    const node = element("button", { type: "button", className: "explorer-button" }, text);
    node.addEventListener("click", onClick);
    return node;
  };

  /** Which digit's mean code is nearest: read out when it changes. */
  function reading(m) {
    const node = element("p", { className: "explorer-reading" });
    node.setAttribute("aria-live", "polite");
    return {
      node,
      set(z) {
        if (!m.means) return;
        const far = m.means.map((mean) => mix(z, mean, 1, -1)).map((v) => dot(v, v));
        const text = `nearest mean code: that of the digit ${far.indexOf(Math.min(...far))}`;
        if (node.textContent !== text) node.textContent = text;
      },
    };
  }

  const source = (m) =>
    element("p", { className: "explorer-source" }, `Decoder of the run ${m.run}, after ${m.epochs} epochs, in this page.`);

  // --- the explorers ---------------------------------------------------------------------------------------------

  const KINDS = {
    // One slider for each latent coordinate.
    sliders(m) {
      const z = m.means ? [...m.mean] : new Array(m.latent_dim).fill(0);
      const canvas = picture("The decoded image"), read = reading(m);
      const draw = () => (paint(canvas, decode(m.name, z)), read.set(z));
      const sliders = z.map((value, i) =>
        slider(`z${i + 1}`, { min: -4, max: 4, value }, (v) => ((z[i] = v), draw())));
      const set = (values) => {
        values.forEach((v, i) => ((z[i] = v), sliders[i].set(v)));
        draw();
      };
      draw();
      const buttons = element("div", { className: "explorer-buttons" },
        button("draw from the prior", () => set(z.map(normal))), button("all to 0", () => set(z.map(() => 0))));
      return [
        element("div", { className: "explorer-side" }, canvas, read.node, buttons),
        element("div", { className: "explorer-controls" }, ...sliders.map((s) => s.node)),
      ];
    },

    // The plane of the codes' two widest directions, with the test images' codes in it.
    map(m) {
      const side = 320, span = 2.6 * Math.max(...m.spread), at = [0, 0];
      const canvas = element("canvas", { className: "explorer-map", width: side, height: side, tabIndex: 0 });
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-label", "Map of the codes. Drag, or use the arrow keys, to move the point that is decoded.");
      const image = picture("The image decoded at the point"), read = reading(m);
      const place = ([s, t]) => [(s / span + 1) * side / 2, (1 - t / span) * side / 2];
      const background = element("canvas", { width: side, height: side });

      function drawCodes() {
        const pen = background.getContext("2d");
        for (let i = 0; i < m.digits.length; i++) {
          const [x, y] = place([m.points[2 * i], m.points[2 * i + 1]]);
          pen.fillStyle = DIGITS[Number(m.digits[i])];
          pen.globalAlpha = 0.6;
          pen.fillRect(x - 1.25, y - 1.25, 2.5, 2.5);
        }
        pen.globalAlpha = 1;
        pen.font = "bold 15px sans-serif";
        pen.textAlign = "center";
        pen.textBaseline = "middle";
        m.means.forEach((mean, digit) => {
          const off = mix(mean, m.mean, 1, -1);
          const [x, y] = place(m.axes.map((axis) => dot(off, axis)));
          pen.fillStyle = "#fff";
          pen.beginPath();
          pen.arc(x, y, 10, 0, 7);
          pen.fill();
          pen.strokeStyle = DIGITS[digit];
          pen.lineWidth = 2;
          pen.stroke();
          pen.fillStyle = "#000";
          pen.fillText(digit, x, y + 1);
        });
      }

      function draw() {
        const z = mix(mix(m.mean, m.axes[0], 1, at[0]), m.axes[1], 1, at[1]);
        paint(image, decode(m.name, z));
        read.set(z);
        const pen = canvas.getContext("2d"), [x, y] = place(at);
        pen.clearRect(0, 0, side, side);
        pen.drawImage(background, 0, 0);
        for (const [colour, width] of [["#fff", 5], ["#000", 2]]) {
          pen.strokeStyle = colour;
          pen.lineWidth = width;
          pen.beginPath();
          pen.moveTo(x - 9, y); pen.lineTo(x + 9, y);
          pen.moveTo(x, y - 9); pen.lineTo(x, y + 9);
          pen.stroke();
        }
      }

      const sliders = ["across", "up"].map((text, i) =>
        slider(text, { min: -span, max: span }, (v) => ((at[i] = v), draw())));
      function move(s, t) {
        [s, t].forEach((v, i) => sliders[i].set((at[i] = Math.min(span, Math.max(-span, v)))));
        draw();
      }
      const toPointer = (event) => {
        const box = canvas.getBoundingClientRect();
        move(((event.clientX - box.left) / box.width * 2 - 1) * span, (1 - (event.clientY - box.top) / box.height * 2) * span);
      };
      canvas.addEventListener("pointerdown", (event) => (canvas.setPointerCapture(event.pointerId), toPointer(event)));
      canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && toPointer(event));
      canvas.addEventListener("keydown", (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
        if (!way) return;
        event.preventDefault();
        move(at[0] + way[0] * span / 40, at[1] + way[1] * span / 40);
      });
      drawCodes();
      draw();
      return [
        element("div", { className: "explorer-side" }, canvas),
        element("div", { className: "explorer-controls" }, image, read.node, ...sliders.map((s) => s.node)),
      ];
    },

    // From one digit's code to another's, straight or along an arc.
    walk(m) {
      const steps = 9;
      let from = 3, to = 8, t = 0.5, way = lerp;
      const canvas = picture("The image at this point of the walk"), read = reading(m);
      const strip = picture("The whole walk, from left to right", steps);
      strip.classList.add("explorer-strip");
      const at = (t) => way(m.examples[from], m.examples[to], t);
      const drawOne = () => (paint(canvas, decode(m.name, at(t))), read.set(at(t)));
      const draw = () => {
        for (let i = 0; i < steps; i++) paint(strip, decode(m.name, at(i / (steps - 1))), i);
        drawOne();
      };
      const choose = (text, value, onChange) => {
        const id = `explorer-${++count}`;
        const select = element("select", { id },
          ...m.examples.map((_, digit) => element("option", { value: digit, selected: digit === value }, `a ${digit}`)));
        select.addEventListener("change", () => (onChange(Number(select.value)), draw()));
        return element("div", { className: "explorer-slider" }, element("label", { htmlFor: id }, text), select);
      };
      const waySelect = element("select", { id: `explorer-${++count}` }, element("option", { value: "line" }, "a straight line"),
        element("option", { value: "arc" }, "an arc"));
      waySelect.addEventListener("change", () => ((way = waySelect.value === "arc" ? slerp : lerp), draw()));
      draw();
      return [
        element("div", { className: "explorer-side" }, canvas, read.node),
        element("div", { className: "explorer-controls" },
          choose("from", from, (v) => (from = v)), choose("to", to, (v) => (to = v)),
          element("div", { className: "explorer-slider" }, element("label", { htmlFor: waySelect.id }, "along"), waySelect),
          slider("how far", { min: 0, max: 1, value: t }, (v) => ((t = v), drawOne())).node),
        strip,
      ];
    },
  };

  // Okabe & Ito's palette with grey and black, as in the book's figures (ganvae_lib.plots.COLOURS).
  const DIGITS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D00", "#7F3C8D", "#8A8A8A", "#000000"];

  function mount(box) {
    const m = model(box.dataset.model);
    const parts = KINDS[box.dataset.kind](m);
    box.replaceChildren(...parts, source(m)); // only now: where something above failed, the picture stays
    box.classList.add("explorer-alive");
  }

  globalThis.ganvae = { decode, lerp, slerp, model };
  const start = () => document.querySelectorAll(".explorer").forEach(mount);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
