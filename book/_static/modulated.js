// Generators whose layers are modulated: class buttons and truncation for a conditional GAN, mixing and ψ for a style
// generator. It adds layers and kinds to explorer.js, which is loaded before; `explore/modulated.py` exports for it.
(() => {
  "use strict";
  const { LAYERS, KINDS, KIND, model, run, mount, pieces } = globalThis.ganvae;
  const { element, slider, choice, picture, paint, button, normal } = pieces;
  Object.assign(KIND, { "conditional-gan": "conditional GAN", "style-gan": "style GAN" });

  Object.assign(LAYERS, {
    // [z, one-hot y] → z; the context's vector is [z, e(y)], or e(y) alone.
    condition(x, { latent, classes, d, skip, at }, w, context) {
      const e = new Array(d).fill(0);
      for (let k = 0; k < classes; k++) for (let j = 0; j < d; j++) e[j] += x[latent + k] * w[at + k * d + j];
      const z = x.slice(0, latent);
      context.c = [skip ? [...z, ...e] : e];
      return z;
    },
    // h · (1 + A c) + B c, channel by channel.
    modulation(x, { d, channels, part, at }, w, context) {
      const gain = new Float32Array(channels).fill(1), shift = new Float32Array(channels), c = context.c[part];
      for (let i = 0; i < d; i++) for (let k = 0; k < channels; k++) {
        gain[k] += c[i] * w[at + i * channels + k];
        shift[k] += c[i] * w[at + (d + i) * channels + k];
      }
      return x.map((v, i) => v * gain[i % channels] + shift[i % channels]);
    },
    affine: (x, { channels, at }, w) => x.map((v, i) => v * w[at + (i % channels)] + w[at + channels + (i % channels)]),
    // z at the length √latent.
    length(x, { latent }) {
      const scale = Math.sqrt(latent / x.reduce((sum, v) => sum + v * v, 0));
      return x.map((v) => scale * v);
    },
    constant: (x, { count, at }, w) => w.slice(at, at + count),
    noise(x, { channels, first, at }, w, context) {
      return x.map((v, i) => {
        const k = i % channels, pixel = (i - k) / channels;
        return v + w[at + k] * (context.noise?.[first + pixel] ?? 0) + w[at + channels + k];
      });
    },
    // Each channel to mean 0 and variance 1.
    instance(x, { channels }) {
      const mean = new Float64Array(channels), square = new Float64Array(channels), n = x.length / channels;
      x.forEach((v, i) => (mean[i % channels] += v / n));
      x.forEach((v, i) => (square[i % channels] += (v - mean[i % channels]) ** 2 / n));
      return x.map((v, i) => (v - mean[i % channels]) / Math.sqrt(square[i % channels] + 1e-5));
    },
  });

  /** z (numbers) → w, drawn towards the mean by ψ. */
  function style(name, z, psi = 1) {
    const m = model(name), w = run(m.mapping, z, m.weights);
    return Array.from(w, (v, i) => m.w_mean[i] + psi * (v - m.w_mean[i]));
  }

  /** A w for each layer → 784 pixels, row by row; `noise` 1,029 numbers, or none. */
  function synthesize(name, ws, noise) {
    const m = model(name);
    return run(m.layers, [], m.weights, { c: ws, noise });
  }

  Object.assign(globalThis.ganvae, { style, synthesize });

  /** A draw of N(0, 1) with |z| ≤ tau: what is beyond is drawn again. */
  function truncated(tau) {
    for (;;) {
      const v = normal();
      if (Math.abs(v) <= tau) return v;
    }
  }

  const draws = (m, n) => Array.from({ length: n }, () => Array.from({ length: m.latent_dim }, normal));

  Object.assign(KINDS, {
    // Class buttons and a truncation slider over sixteen draws.
    classes(m) {
      let asked = 3, tau = 3, z;
      const grid = picture("Sixteen images of the class asked for", 4, 4);
      const read = element("p", { className: "explorer-reading" });
      read.setAttribute("aria-live", "polite");
      const show = () => {
        z.forEach((one, i) => {
          const y = Array.from({ length: m.classes }, (_, k) => Number(k === asked));
          paint(grid, ganvae.decode(m.name, [...one, ...y]), i);
        });
        read.textContent = `asked for: ${asked}`;
      };
      const draw = () => {
        z = Array.from({ length: 16 }, () => Array.from({ length: m.latent_dim }, () => truncated(tau)));
        show();
      };
      draw();
      const buttons = Array.from({ length: m.classes }, (_, k) => button(String(k), () => ((asked = k), show())));
      return [
        element("div", { className: "explorer-side" }, grid, read),
        element("div", { className: "explorer-controls" },
          element("div", { className: "explorer-buttons" }, ...buttons),
          slider("truncation τ", { min: 0.1, max: 3, step: 0.1, value: 3 }, (v) => ((tau = v), draw())).node,
          element("div", { className: "explorer-buttons" }, button("draw again", draw))),
      ];
    },

    // Images a and b, and the one with each layer's style from a or b.
    styles(m) {
      const names = ["coarse", "middle", "fine"], from = ["b", "a", "a"];
      let psi = 1, z = draws(m, 2);
      const pictures = ["a", "b", "a mixed with b"].map((text) => picture(text));
      const show = () => {
        const w = z.map((one) => style(m.name, one, psi));
        const mixed = from.map((which) => w[which === "a" ? 0 : 1]);
        [[w[0], w[0], w[0]], [w[1], w[1], w[1]], mixed].forEach((ws, i) => paint(pictures[i], synthesize(m.name, ws)));
      };
      show();
      const captions = ["a", "b", "mixed"];
      return [
        ...pictures.map((one, i) => element("div", { className: "explorer-side" }, one,
          element("p", { className: "explorer-reading" }, captions[i]))),
        element("div", { className: "explorer-controls" },
          ...names.map((text, i) =>
            choice(`${text} style from`, { a: "a", b: "b" }, from[i], (v) => ((from[i] = v), show()))),
          slider("ψ", { min: 0, max: 1.2, value: 1 }, (v) => ((psi = v), show())).node,
          element("div", { className: "explorer-buttons" },
            button("another a", () => ((z[0] = draws(m, 1)[0]), show())),
            button("another b", () => ((z[1] = draws(m, 1)[0]), show())))),
      ];
    },
  });

  document.querySelectorAll(".explorer").forEach((box) => ["classes", "styles"].includes(box.dataset.kind) && mount(box));
})();
