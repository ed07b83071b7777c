// A trained decoder, run in the page: its layers, and what is done with a latent vector. explorer.js draws with it.
// A model is what `ganvae export` wrote into globalThis.ganvaeModels: layers in order and float16 weights; a VAE's small
// encoder is 'NAME.encoder', the decoder at earlier epochs 'NAME.training'.
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

  /** Add to out[to + f], f < filters, the sum over c < count of x[from + c] · w[k + f · count + c]: four f at once. */
  function products(out, to, x, from, w, k, count, filters) {
    let f = 0;
    for (; f + 3 < filters; f += 4) {
      const k0 = k + f * count, k1 = k0 + count, k2 = k1 + count, k3 = k2 + count;
      let p = 0, q = 0, r = 0, s = 0;
      for (let c = 0; c < count; c++) {
        const v = x[from + c];
        p += v * w[k0 + c];
        q += v * w[k1 + c];
        r += v * w[k2 + c];
        s += v * w[k3 + c];
      }
      out[to + f] += p;
      out[to + f + 1] += q;
      out[to + f + 2] += r;
      out[to + f + 3] += s;
    }
    for (; f < filters; f++) {
      let sum = 0;
      for (let c = 0; c < count; c++) sum += x[from + c] * w[k + f * count + c];
      out[to + f] += sum;
    }
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
    // 'same' convolution: output (i, j) sees the input from (stride·i − before, stride·j − before) on.
    convolution(x, { size, channels, filters, kernel, stride, at }, w) {
      const side = Math.ceil(size / stride), bias = at + kernel * kernel * channels * filters;
      const before = Math.floor(Math.max((side - 1) * stride + kernel - size, 0) / 2);
      const out = new Float32Array(side * side * filters);
      for (let i = 0; i < out.length; i++) out[i] = w[bias + (i % filters)];
      for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) {
        const to = (i * side + j) * filters;
        for (let a = 0; a < kernel; a++) for (let b = 0; b < kernel; b++) {
          const row = i * stride + a - before, column = j * stride + b - before;
          if (row < 0 || row >= size || column < 0 || column >= size) continue;
          for (let c = 0; c < channels; c++) {
            const v = x[(row * size + column) * channels + c];
            const k = at + ((a * kernel + b) * channels + c) * filters;
            for (let f = 0; f < filters; f++) out[to + f] += v * w[k + f];
          }
        }
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
            const k = at + (a * kernel + b) * filters * channels;
            products(out, to, x, from, w, k, channels, filters);
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

  /** 'vae', or a part of it, 'vae.encoder': what was exported, its weights as numbers. */
  function model(name) {
    if (!ready.has(name)) {
      const told = globalThis.ganvaeModels?.[name];
      if (!told) throw new Error(`no model '${name}' on this page`);
      const numbers = (texts) => (Array.isArray(texts) ? texts.map(halves) : texts && halves(texts));
      ready.set(name, { ...told, weights: numbers(told.weights), points: numbers(told.points) });
    }
    return ready.get(name);
  }

  /** Through the layers in order; `context` is what a layer of modulated.js reads beside the running value. */
  const run = (layers, x, w, context = {}) =>
    layers.reduce((x, layer) => LAYERS[layer.type](x, layer, w, context), Float32Array.from(x));

  /** z (latent_dim numbers) → 784 pixels in [−1, 1], row by row; with `w`, by the weights of an earlier epoch. */
  const decode = (name, z, w) => run(model(name).layers, z, w ?? model(name).weights);

  /** 784 pixels in [−1, 1] → { mu, log_var }, the two outputs of a VAE's encoder. */
  function encode(name, x) {
    const { layers, weights } = model(`${name}.encoder`), out = Array.from(run(layers, x, weights));
    return { mu: out.slice(0, out.length / 2), log_var: out.slice(out.length / 2) };
  }

  /**
   * Ink (side × side, 0 to 1) → 784 pixels in [−1, 1] as MNIST has them: the longer side of the ink's box is 20 pixels
   * long, and the centre of mass lies in the middle of pixel (14, 14), counted from 0. `widgets.as_mnist` in Python.
   */
  function asMNIST(ink, side) {
    const x = new Float32Array(784).fill(-1), fine = 8; // each pixel is the mean of 8 × 8 places in it
    let top = side, bottom = -1, left = side, right = -1, mass = 0, down = 0, across = 0;
    for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) {
      const v = ink[i * side + j];
      mass += v;
      down += v * (i + 0.5);
      across += v * (j + 0.5);
      if (v < 0.5) continue;
      [top, bottom, left, right] = [Math.min(top, i), Math.max(bottom, i), Math.min(left, j), Math.max(right, j)];
    }
    if (bottom < 0) return x;
    const scale = Math.max(bottom - top + 1, right - left + 1) / 20;
    for (let r = 0; r < 28; r++) for (let c = 0; c < 28; c++) {
      let sum = 0;
      for (let a = 0; a < fine; a++) for (let b = 0; b < fine; b++) {
        const i = Math.floor(down / mass + (r + (a + 0.5) / fine - 14.5) * scale);
        const j = Math.floor(across / mass + (c + (b + 0.5) / fine - 14.5) * scale);
        if (i >= 0 && i < side && j >= 0 && j < side) sum += ink[i * side + j];
      }
      x[28 * r + c] = (2 * sum) / fine ** 2 - 1;
    }
    return x;
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

  const prior = (m) => Array.from({ length: m.latent_dim }, normal);

  globalThis.ganvae = { decode, encode, asMNIST, dot, mix, lerp, slerp, normal, prior, model, run, LAYERS };
})();
