// A GAN on the plane, trained live: networks, losses, R1, batch normalisation and Adam as in ganvae_lib, checked against
// Keras in tests/test_explorables.py. Numbers are float64; matrices lie row by row, W as Keras keeps it, (inputs, outputs).
(() => {
  "use strict";

  const F = Float64Array;
  const sigmoid = (a) => 1 / (1 + Math.exp(-a));
  const softplus = (a) => (a > 0 ? a + Math.log1p(Math.exp(-a)) : Math.log1p(Math.exp(a)));

  /** C (m, n) = A (m, k) · B (n, k)ᵀ, or added to C: both read along their rows, two by four results at once. */
  function product(A, B, C, m, n, k, add = false) {
    if (!add) C.fill(0, 0, m * n);
    let i = 0;
    for (; i + 1 < m; i += 2) {
      const a0 = i * k, a1 = a0 + k;
      let j = 0;
      for (; j + 3 < n; j += 4) {
        const b0 = j * k, b1 = b0 + k, b2 = b1 + k, b3 = b2 + k;
        let p0 = 0, p1 = 0, p2 = 0, p3 = 0, q0 = 0, q1 = 0, q2 = 0, q3 = 0;
        for (let c = 0; c < k; c++) {
          const x = A[a0 + c], y = A[a1 + c], s = B[b0 + c], t = B[b1 + c], u = B[b2 + c], v = B[b3 + c];
          p0 += x * s; p1 += x * t; p2 += x * u; p3 += x * v;
          q0 += y * s; q1 += y * t; q2 += y * u; q3 += y * v;
        }
        const to = i * n + j, below = to + n;
        C[to] += p0; C[to + 1] += p1; C[to + 2] += p2; C[to + 3] += p3;
        C[below] += q0; C[below + 1] += q1; C[below + 2] += q2; C[below + 3] += q3;
      }
      for (; j < n; j++) {
        let p = 0, q = 0;
        for (let c = 0, b = j * k; c < k; c++, b++) {
          p += A[a0 + c] * B[b];
          q += A[a1 + c] * B[b];
        }
        C[i * n + j] += p;
        C[(i + 1) * n + j] += q;
      }
    }
    for (; i < m; i++) for (let j = 0; j < n; j++) {
      let p = 0;
      for (let c = 0; c < k; c++) p += A[i * k + c] * B[j * k + c];
      C[i * n + j] += p;
    }
  }

  /** T (n, m) = Aᵀ of A (m, n). */
  function transpose(A, T, m, n) {
    for (let i = 0, k = 0; i < m; i++) for (let j = 0; j < n; j++) T[j * m + i] = A[k++];
  }

  // --- networks: dense layers, hidden ones with batch normalisation (or none) and ReLU, a linear output ------------------

  const EPSILON = 1e-3, MOMENTUM = 0.99; // Keras' of BatchNormalization

  /** A network of `sizes`, Glorot-uniform as in Keras; its parameters in Keras' order, each with its gradient. */
  function network(sizes, { batchNorm = false, random = Math.random } = {}) {
    const layers = [];
    for (let l = 0; l + 1 < sizes.length; l++) {
      const I = sizes[l], O = sizes[l + 1], limit = Math.sqrt(6 / (I + O));
      const layer = { I, O, w: F.from({ length: I * O }, () => limit * (2 * random() - 1)), b: new F(O), wT: new F(I * O),
        dw: new F(I * O), db: new F(O), hidden: l + 2 < sizes.length };
      if (batchNorm && layer.hidden) Object.assign(layer, { gamma: new F(O).fill(1), beta: new F(O), dgamma: new F(O),
        dbeta: new F(O), mean: new F(O), variance: new F(O).fill(1) });
      layers.push(layer);
    }
    const each = (dense, norm) => layers.flatMap((l) => (l.gamma ? [...dense(l), ...norm(l)] : dense(l)));
    return { sizes, layers, caches: new Map(), parameters: each((l) => [l.w, l.b], (l) => [l.gamma, l.beta]),
      gradients: each((l) => [l.dw, l.db], (l) => [l.dgamma, l.dbeta]) };
  }

  /** Room for a batch of n, kept under a name: what a backward pass needs of its forward pass. */
  function room(net, name, n) {
    const old = net.caches.get(name);
    if (old?.n === n) return old;
    const widest = Math.max(...net.sizes, n);
    const made = { n, x: net.sizes.map((s) => new F(n * s)), d: net.sizes.map((s) => new F(n * s)),
      normed: net.layers.map((l) => new F(l.gamma ? n * l.O : 0)), root: net.layers.map((l) => new F(l.gamma ? l.O : 0)),
      aT: new F(widest * Math.max(...net.sizes, n)), bT: new F(widest * Math.max(...net.sizes, n)) };
    net.caches.set(name, made);
    return made;
  }

  /** Outputs for x (n, inputs). `training` takes the batch's own mean and variance and moves the running ones. */
  function forward(net, name, x, n, training = true) {
    const cache = room(net, name, n);
    cache.x[0].set(x.length === n * net.sizes[0] ? x : x.subarray(0, n * net.sizes[0]));
    net.layers.forEach((layer, l) => {
      const { I, O } = layer, out = cache.x[l + 1];
      transpose(layer.w, layer.wT, I, O);
      for (let i = 0; i < n; i++) out.set(layer.b, i * O);
      product(cache.x[l], layer.wT, out, n, O, I, true);
      if (layer.gamma) normalise(layer, out, cache.normed[l], cache.root[l], n, training);
      if (layer.hidden) for (let i = 0; i < n * O; i++) if (out[i] < 0) out[i] = 0;
    });
    return cache.x.at(-1);
  }

  function normalise(layer, a, normed, root, n, training) {
    const { O, gamma, beta, mean, variance } = layer;
    for (let j = 0; j < O; j++) {
      let m = mean[j], v = variance[j];
      if (training) {
        m = v = 0;
        for (let i = j; i < n * O; i += O) m += a[i] / n;
        for (let i = j; i < n * O; i += O) v += (a[i] - m) ** 2 / n;
        mean[j] = MOMENTUM * mean[j] + (1 - MOMENTUM) * m;
        variance[j] = MOMENTUM * variance[j] + (1 - MOMENTUM) * v;
      }
      root[j] = Math.sqrt(v + EPSILON);
      for (let i = j; i < n * O; i += O) a[i] = gamma[j] * (normed[i] = (a[i] - m) / root[j]) + beta[j];
    }
  }

  /** From ∂L/∂output in cache.d's last: ∂L/∂input, and, with `weights`, ∂L/∂θ added to the gradients. */
  function backward(net, name, weights = true) {
    const cache = net.caches.get(name), { n, x, d, aT, bT } = cache;
    for (let l = net.layers.length - 1; l >= 0; l--) {
      const layer = net.layers[l], { I, O } = layer, over = d[l + 1];
      if (layer.hidden) for (let i = 0, h = x[l + 1]; i < n * O; i++) if (h[i] <= 0) over[i] = 0;
      if (layer.gamma) throughNormalisation(layer, over, cache.normed[l], cache.root[l], n);
      if (weights) {
        transpose(x[l], aT, n, I);
        transpose(over, bT, n, O);
        product(aT, bT, layer.dw, I, O, n, true);
        for (let i = 0; i < n; i++) for (let j = 0; j < O; j++) layer.db[j] += over[i * O + j];
      }
      if (l > 0 || !weights) product(over, layer.w, d[l], n, I, O);
    }
    return d[0];
  }

  function throughNormalisation({ O, gamma, dgamma, dbeta }, d, normed, root, n) {
    for (let j = 0; j < O; j++) {
      let sum = 0, along = 0;
      for (let i = j; i < n * O; i += O) {
        sum += d[i];
        along += d[i] * normed[i];
      }
      dbeta[j] += sum;
      dgamma[j] += along;
      for (let i = j; i < n * O; i += O) d[i] = (gamma[j] / root[j]) * (d[i] - (sum + normed[i] * along) / n);
    }
  }

  /**
   * R1 = γ/2 · mean ‖∇ₓD‖² on the batch of the forward pass `name`, its gradient added to D's. ReLU's masks are constant,
   * so ∇ₓD = W₁(m₁ ∘ W₂(m₂ ∘ w₃)), and the gradient in the weights is one more pass forwards through the same masks.
   */
  function penalise(net, name, gamma) {
    const cache = net.caches.get(name), { n, x, aT, bT } = cache, L = net.layers.length;
    cache.u ??= net.layers.map((l) => new F(n * l.O));
    cache.v ??= net.layers.map((l) => new F(n * l.I));
    const { u, v } = cache;
    u[L - 1].fill(1);
    for (let l = L - 1; l >= 0; l--) {
      const { I, O, w } = net.layers[l];
      product(u[l], w, v[l], n, I, O);
      if (l > 0) for (let i = 0; i < n * I; i++) u[l - 1][i] = x[l][i] > 0 ? v[l][i] : 0;
    }
    let square = 0;
    for (let i = 0; i < v[0].length; i++) {
      square += v[0][i] ** 2;
      v[0][i] *= gamma / n;
    }
    for (let l = 0; l < L; l++) {
      const { I, O, dw, wT, w } = net.layers[l];
      transpose(v[l], aT, n, I);
      transpose(u[l], bT, n, O);
      product(aT, bT, dw, I, O, n, true);
      if (l + 1 === L) break;
      transpose(w, wT, I, O);
      product(v[l], wT, v[l + 1], n, O, I);
      for (let i = 0; i < n * O; i++) if (x[l + 1][i] <= 0) v[l + 1][i] = 0;
    }
    return (gamma * square) / (2 * n);
  }

  /** Adam (Kingma & Ba 2015) as Keras has it: ε beside the root of v, both corrections in the rate. */
  function adam(net, { beta1 = 0.5, beta2 = 0.999, epsilon = 1e-7 } = {}) {
    const m = net.parameters.map((p) => new F(p.length)), v = net.parameters.map((p) => new F(p.length));
    let t = 0;
    return (rate) => {
      t += 1;
      const a = (rate * Math.sqrt(1 - beta2 ** t)) / (1 - beta1 ** t);
      net.parameters.forEach((p, k) => {
        const g = net.gradients[k], mk = m[k], vk = v[k];
        for (let i = 0; i < p.length; i++) {
          mk[i] += (g[i] - mk[i]) * (1 - beta1);
          vk[i] += (g[i] * g[i] - vk[i]) * (1 - beta2);
          p[i] -= (a * mk[i]) / (Math.sqrt(vk[i]) + epsilon);
          g[i] = 0;
        }
      });
    };
  }

  // --- losses: value of one output and its slope; the names are those of ganvae_lib.losses.GAN_LOSSES -----------------------

  const bce = { real: [(r) => softplus(-r), (r) => -sigmoid(-r)], fake: [softplus, sigmoid] };
  const down = [(f) => -f, () => -1];
  const LOSSES = {
    "non-saturating": { ...bce, generator: bce.real },
    minimax: { ...bce, generator: [(f) => -softplus(f), (f) => -sigmoid(f)] },
    wasserstein: { real: down, fake: [(f) => f, () => 1], generator: down },
    hinge: { real: [(r) => Math.max(0, 1 - r), (r) => (r < 1 ? -1 : 0)],
      fake: [(f) => Math.max(0, 1 + f), (f) => (f > -1 ? 1 : 0)], generator: down },
  };

  /** The mean of a loss over a net's outputs; its slope is left where `backward` takes it up. */
  function meanLoss(net, name, [value, slope]) {
    const cache = net.caches.get(name), out = cache.x.at(-1), d = cache.d.at(-1);
    let sum = 0;
    for (let i = 0; i < cache.n; i++) {
      sum += value(out[i]);
      d[i] = slope(out[i]) / cache.n;
    }
    return sum / cache.n;
  }

  /** Two players; `step(x, z, options)` is Algorithm 1's round on dSteps batches of n points and as many of noise. */
  function makeGAN({ latent = 8, hidden = [64, 64], batchNorm = false, random = Math.random, beta1 = 0.5, beta2 = 0.999 } = {}) {
    const G = network([latent, ...hidden, 2], { batchNorm, random }), D = network([2, ...hidden, 1], { random });
    const stepG = adam(G, { beta1, beta2 }), stepD = adam(D, { beta1, beta2 });
    function step(x, z, { n = 128, loss = "non-saturating", dSteps = 1, gamma = 0, dRate = 1e-3, gRate = 1e-3 } = {}) {
      const { real, fake, generator } = LOSSES[loss];
      let d_loss = 0, points;
      for (let k = 0; k < dSteps; k++) {
        points = forward(G, "step", z.subarray(k * n * latent, (k + 1) * n * latent), n);
        forward(D, "real", x.subarray(2 * k * n, 2 * (k + 1) * n), n);
        d_loss = meanLoss(D, "real", real);
        backward(D, "real");
        if (gamma > 0) d_loss += penalise(D, "real", gamma);
        forward(D, "fake", points, n);
        d_loss += meanLoss(D, "fake", fake);
        backward(D, "fake");
        stepD(dRate);
      }
      forward(D, "fake", points, n);
      const g_loss = meanLoss(D, "fake", generator);
      G.caches.get("step").d.at(-1).set(backward(D, "fake", false));
      backward(G, "step");
      stepG(gRate);
      return { d_loss, g_loss };
    }
    return { G, D, latent, step };
  }

  /** −∂L_G/∂x of the n points x, each as if it were alone: where G's step asks a point to go. (n, 2). */
  function pull(gan, x, n, loss) {
    forward(gan.D, "pull", x, n);
    meanLoss(gan.D, "pull", LOSSES[loss].generator);
    return backward(gan.D, "pull", false).map((v) => -n * v);
  }

  // --- data: K equal Gaussians N(c_k, scale² I), as ganvae_lib.toy.Ring is ------------------------------------------------

  const SCALE = 0.1;
  const RING = Array.from({ length: 8 }, (_, k) => [2 * Math.cos((k * Math.PI) / 4), 2 * Math.sin((k * Math.PI) / 4)]);
  const SPIRAL = Array.from({ length: 12 }, (_, k) => {
    const radius = 0.45 + 0.16 * k, angle = 0.62 * k;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });

  /** `toy.Ring.coverage` for any centres: modes found, the share of good points, the good points of each mode. */
  function coverage(x, centres, scale = SCALE) {
    const n = x.length / 2, counts = centres.map(() => 0);
    for (let i = 0; i < n; i++) {
      let best = Infinity, at = 0;
      centres.forEach(([a, b], k) => {
        const far = Math.hypot(x[2 * i] - a, x[2 * i + 1] - b);
        if (far < best) [best, at] = [far, k];
      });
      if (best < 3 * scale) counts[at] += 1;
    }
    const fair = Math.max(1, n / (10 * centres.length));
    return { found: counts.filter((c) => c >= fair).length, good: counts.reduce((a, b) => a + b, 0) / n, counts };
  }

  const maths = { product, network, forward, backward, penalise, adam, makeGAN, pull, coverage, RING, SPIRAL, SCALE };

  // --- the page ----------------------------------------------------------------------------------------------------------

  const SPAN = 3.2, SIZE = 384, CELLS = 32, SHOWN = 512, ARROWS = 40, LATENT = 8, BATCH = 128;
  const NAMES = ["right", "upper right", "top", "upper left", "left", "lower left", "bottom", "lower right"];

  function start(ui) {
    const { html, state } = ui, { generator, say } = globalThis.explorables;
    const canvas = html("canvas", { width: SIZE, height: SIZE }), pen = canvas.getContext("2d");
    const tile = html("canvas", { width: CELLS, height: CELLS }), small = new ImageData(CELLS, CELLS);
    const key = html("ul", { class: "ex-key" });
    for (const [kind, text] of [["data", "data"], ["model", "G's samples, and where G's step pulls them"]])
      key.append(html("li", { class: `ex-${kind}` }, html("span", {}, text)));
    const losses = ui.chart({ label: "Losses over the steps", height: 118, x: [0, 200], y: [0, 3], ylabel: "nats" });
    const lossD = losses.line("data"), lossG = losses.line("model");
    const modes = ui.chart({ label: "Modes found over the steps", height: 120, x: [0, 200], y: [0, 9], xlabel: "step", ylabel: "modes found" });
    const lineFound = modes.line("third");
    const lossKey = html("ul", { class: "ex-key" }, html("li", { class: "ex-data" }, html("span", {}, "loss of D")),
      html("li", { class: "ex-model" }, html("span", {}, "loss of G")));
    ui.figures.append(canvas, key);
    ui.side.append(losses.node, lossKey, modes.node);

    const power = { min: -4, max: -1.5, step: 0.25, of: (v) => 10 ** v, to: Math.log10 };
    const rate = (v) => (v >= 0.01 ? say(v, 3) : say(v, 4));
    const loss = (v) => (steps ? say(v) : "–");
    ui.choice("data", "data", { ring: "a ring of 8", spiral: "a spiral of 12", drawn: "points that you draw" }, "ring");
    ui.choice("speed", "speed", { slow: "2 steps a second", frame: "a step a frame", fast: "as fast as it goes" }, "fast");
    const [run, , , clear] = ui.buttons(
      ["Run", () => (running ? pause() : go())],
      ["One step", () => (pause(), train(1))],
      ["New start", () => restart(seed + 1)],
      ["Clear points", () => ((drawn = []), dataChanged())],
    );
    ui.choice("loss", "loss", { "non-saturating": "non-saturating", minimax: "minimax", wasserstein: "Wasserstein", hinge: "hinge" }, "non-saturating");
    ui.slider("gRate", "G's rate", { ...power, value: 1e-3, text: rate });
    ui.slider("dRate", "D's rate", { ...power, value: 1e-3, text: rate });
    ui.slider("dSteps", "D's steps", { min: 1, max: 5, step: 1, value: 1, text: (v) => say(v, 0) });
    ui.slider("gamma", "R1, weight γ", { min: 0, max: 2, step: 0.05, value: 0 });
    ui.tick("batchNorm", "batch normalisation in G (a new start)");
    ui.values({ steps: ["steps", (v) => say(v, 0)], found: ["modes found", (v) => say(v, 0)], good: ["good samples", (v) => `${say(100 * v, 0)} %`],
      d_loss: ["loss of D", loss], g_loss: ["loss of G", loss], force: ["mean pull", (v) => say(v, 3)] });
    ui.patience = 5000;

    let seed = 0, draws, gan, steps, last, history, running = false, drawn = [], centres = RING, cursor = null, collapsed = false, fixed;
    let trained = null, seen = true, frames = 0, shownData, surface = new F(CELLS * CELLS), mended = false;

    const sample = (n) => {
      const x = new F(2 * n);
      for (let i = 0; i < n; i++) {
        const c = centres[Math.floor(draws.uniform() * centres.length)];
        x[2 * i] = c[0] + SCALE * draws.normal();
        x[2 * i + 1] = c[1] + SCALE * draws.normal();
      }
      return x;
    };
    const noise = (n) => F.from({ length: n * LATENT }, draws.normal);

    function restart(next) {
      seed = next;
      draws = generator(1000 + seed);
      trained = state.batchNorm;
      gan = makeGAN({ latent: LATENT, batchNorm: state.batchNorm, random: draws.uniform });
      fixed = noise(SHOWN);
      [steps, last, history, collapsed] = [0, { d_loss: NaN, g_loss: NaN }, [], false];
      dataChanged();
    }
    function dataChanged() {
      centres = { ring: RING, spiral: SPIRAL, drawn }[state.data];
      shownData = centres.length ? sample(256) : new F(0);
      collapsed = false;
    }
    function train(n) {
      if (!centres.length) return;
      for (let i = 0; i < n; i++) {
        last = gan.step(sample(BATCH * state.dSteps), noise(BATCH * state.dSteps), { n: BATCH, ...state });
        steps += 1;
        if (!Number.isFinite(last.d_loss + last.g_loss)) return pause();
        if (steps % 10 === 0) note();
      }
    }
    const points = () => forward(gan.G, "shown", fixed, SHOWN, false);
    function note() {
      const { found, good } = coverage(points(), centres);
      history.push([steps, last.d_loss, last.g_loss, found, good]);
      if (history.length > 400) history = history.filter((_, i) => i % 2);
    }

    // Training goes on while the explorable is in view, in what a frame has of time to spare.
    function go() {
      running = true;
      requestAnimationFrame(frame);
    }
    const pause = () => (running = false);
    let before = 0;
    function frame(now) {
      if (!running) return;
      requestAnimationFrame(frame);
      if (!seen) return;
      const wait = { slow: 500, frame: 0, fast: 0 }[state.speed];
      if (now - before < wait) return;
      before = now;
      if (state.speed === "fast") for (const end = performance.now() + 24; performance.now() < end && running;) train(1);
      else train(1);
      // Where motion is to be reduced, the picture follows twice a second.
      if (!ui.reduced() || now - (frame.drawn ?? 0) > 500) {
        frame.drawn = now;
        ui.changed();
      }
    }
    new IntersectionObserver(([entry]) => (seen = entry.isIntersecting)).observe(canvas);

    // Points of the reader's own: mouse, finger, or a cursor moved with the arrow keys and a point put with Space.
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width * 2 - 1) * SPAN, (1 - (event.clientY - box.top) / box.height * 2) * SPAN];
    };
    function put([a, b]) {
      if (drawn.length < 24 && drawn.every((c) => Math.hypot(c[0] - a, c[1] - b) > 0.35)) drawn.push([a, b]);
      dataChanged();
      ui.changed();
    }
    let held = false;
    canvas.addEventListener("pointerdown", (event) => {
      if (state.data !== "drawn") return;
      held = true;
      canvas.setPointerCapture(event.pointerId);
      put(at(event));
    });
    canvas.addEventListener("pointermove", (event) => held && put(at(event)));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (held = false));
    canvas.addEventListener("keydown", (event) => {
      if (state.data !== "drawn") return;
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      cursor ??= [0, 0];
      if (way) cursor = cursor.map((v, i) => Math.min(3, Math.max(-3, v + 0.2 * way[i])));
      else if (event.key === " " || event.key === "Enter") put(cursor);
      else if (event.key === "Backspace") (drawn.pop(), dataChanged());
      else return;
      event.preventDefault();
      ui.changed();
    });
    canvas.addEventListener("blur", () => ((cursor = null), ui.changed()));

    // --- tasks ---
    ui.task("The ring, as it stands: press Run until all 8 modes are found.", { done: (v, s) => s.data === "ring" && v.found === 8 });
    ui.task("Provoke a collapse: after 200 steps or more, at most 3 modes found, and at least a third of the samples good.", {
      done: (v) => v.collapsed,
      ask: "Which control does it most surely, moved alone?",
      options: ["R1 up", "G's rate, to ten times D's or more", "D's steps up"],
      right: 1,
      why: "G answers a discriminator that hardly moves, and its best answer to a fixed one is a point.",
    });
    ui.task("Mend a collapse by hand, with no new start: from at most 3 modes back to 6 or more.", { done: (v) => v.mended });

    function colours() {
      const css = getComputedStyle(ui.box), read = (name) => css.getPropertyValue(name).trim();
      return { data: read("--ex-data"), model: read("--ex-model"), ink: read("--ex-ink"), ground: read("--ex-ground") };
    }

    function draw(x, arrows) {
      const ink = colours(), place = (v) => ((v / SPAN + 1) * SIZE) / 2, down = (v) => SIZE - place(v);
      pen.globalAlpha = 1;
      pen.fillStyle = ink.ground;
      pen.fillRect(0, 0, SIZE, SIZE);
      const [real, other] = [rgb(ink.data), rgb(ink.model)];
      for (let i = 0; i < CELLS * CELLS; i++) {
        const v = surface[i]; // D in (0, 1): the data's colour where D says real, G's where it says generated
        small.data.set(v > 0.5 ? real : other, 4 * i);
        small.data[4 * i + 3] = 255 * 0.8 * Math.abs(v - 0.5);
      }
      tile.getContext("2d").putImageData(small, 0, 0);
      pen.drawImage(tile, 0, 0, SIZE, SIZE);
      pen.globalAlpha = 0.8;
      pen.fillStyle = ink.data;
      for (let i = 0; i < shownData.length; i += 2) {
        pen.beginPath();
        pen.arc(place(shownData[i]), down(shownData[i + 1]), 2, 0, 7);
        pen.fill();
      }
      pen.globalAlpha = 1;
      pen.strokeStyle = ink.model;
      pen.lineWidth = 1.6;
      pen.beginPath();
      for (let i = 0; i < 2 * 256; i += 2) {
        const u = place(x[i]), v = down(x[i + 1]);
        pen.moveTo(u - 3, v - 3);
        pen.lineTo(u + 3, v + 3);
        pen.moveTo(u - 3, v + 3);
        pen.lineTo(u + 3, v - 3);
      }
      pen.stroke();
      pen.strokeStyle = pen.fillStyle = ink.ink;
      pen.lineWidth = 1.2;
      for (let i = 0; i < 2 * ARROWS; i += 2) {
        const size = Math.hypot(arrows[i], arrows[i + 1]), far = Math.min(1, 0.4 * size);
        if (far < 0.02) continue;
        const a = [x[i], x[i + 1]], b = [a[0] + (far * arrows[i]) / size, a[1] + (far * arrows[i + 1]) / size];
        const u = place(b[0]), v = down(b[1]), turn = Math.atan2(-arrows[i + 1], arrows[i]);
        pen.beginPath();
        pen.moveTo(place(a[0]), down(a[1]));
        pen.lineTo(u, v);
        for (const side of [2.6, -2.6]) {
          pen.moveTo(u, v);
          pen.lineTo(u + 5 * Math.cos(turn + side), v + 5 * Math.sin(turn + side));
        }
        pen.stroke();
      }
      if (cursor) {
        pen.lineWidth = 2;
        pen.strokeRect(place(cursor[0]) - 6, down(cursor[1]) - 6, 12, 12);
      }
    }

    /** A colour of the theme as three numbers: a canvas gives each back as #rrggbb. */
    function rgb(colour) {
      pen.fillStyle = colour;
      return [1, 3, 5].map((i) => parseInt(pen.fillStyle.slice(i, i + 2), 16) || 0);
    }

    const grid = new F(2 * CELLS * CELLS);
    for (let i = 0; i < CELLS * CELLS; i++) {
      grid[2 * i] = (((i % CELLS) + 0.5) / CELLS * 2 - 1) * SPAN;
      grid[2 * i + 1] = (1 - ((Math.floor(i / CELLS) + 0.5) / CELLS) * 2) * SPAN;
    }

    let former = { data: "ring" };
    restart(0);
    return () => {
      if (state.batchNorm !== trained) restart(seed);
      if (state.data !== former.data) dataChanged();
      former = { data: state.data };
      const canDraw = state.data === "drawn";
      canvas.classList.toggle("ex-drawing", canDraw);
      clear.hidden = !canDraw;
      if (canDraw) {
        canvas.tabIndex = 0;
        canvas.setAttribute("role", "application");
        canvas.setAttribute("aria-label", "The plane. Draw points with mouse or finger; or move with the arrow keys, put a point with Space, take the last one back with Backspace.");
      } else {
        canvas.removeAttribute("tabindex");
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", "The plane: data, G's samples, and D's surface. The words below say what is to be seen.");
      }
      run.textContent = running ? "Pause" : "Run";

      // A critic's output is no logit: its surface is shown as σ of the output less its mean, in units of its spread.
      if (frames++ % 2 === 0 || !running) {
        surface.set(forward(gan.D, "surface", grid, CELLS * CELLS));
        const critic = state.loss === "wasserstein" || state.loss === "hinge";
        const mean = critic ? surface.reduce((a, b) => a + b, 0) / surface.length : 0;
        const spread = critic ? Math.sqrt(surface.reduce((a, b) => a + (b - mean) ** 2, 0) / surface.length) || 1 : 1;
        for (let i = 0; i < surface.length; i++) surface[i] = sigmoid((surface[i] - mean) / spread);
      }
      const x = points(), arrows = pull(gan, x.subarray(0, 2 * 256), 256, state.loss);
      let force = 0;
      for (let i = 0; i < 512; i += 2) force += Math.hypot(arrows[i], arrows[i + 1]) / 256;
      draw(x, arrows);

      const broken = !Number.isFinite(last.d_loss + last.g_loss) && steps > 0;
      const { found, good, counts } = centres.length ? coverage(x, centres) : { found: 0, good: 0, counts: [] };
      if (steps >= 200 && found <= 3 && good >= 1 / 3) collapsed = true;
      if (collapsed && found >= 6) mended = true;
      const from = history.length ? history[0][0] : 0, to = Math.max(200, steps);
      const top = Math.max(2, ...history.map((h) => Math.max(h[1], h[2])).filter(Number.isFinite)) * 1.1;
      const low = Math.min(0, ...history.map((h) => Math.min(h[1], h[2])).filter(Number.isFinite)) * 1.1;
      losses.range([0, to], [low, top]);
      modes.range([0, to], [0, Math.max(8, centres.length) + 1]);
      const xs = history.map((h) => h[0]);
      lossD.set(xs, history.map((h) => h[1]));
      lossG.set(xs, history.map((h) => h[2]));
      lineFound.set(xs, history.map((h) => h[3]));

      const fair = Math.max(1, SHOWN / (10 * centres.length));
      const empty = state.data === "ring" ? NAMES.filter((_, k) => counts[k] < fair) : [];
      const text = !centres.length ? "No points yet: draw some on the plane."
        : broken ? `After ${steps} steps the losses are no numbers any more: press New start.`
        : `${running ? "Running" : "Standing"} at step ${say(steps, 0)}. ${found} of ${centres.length} modes found, ${say(100 * good, 0)} % of G's samples good`
          + (empty.length && empty.length < 8 ? `; empty: ${empty.join(", ")}` : "")
          + `. ${steps ? `Loss of D ${say(last.d_loss)}, of G ${say(last.g_loss)}. ` : ""}Mean pull on a sample: ${say(force, 3)}.`;
      return { values: { steps, found, good, d_loss: last.d_loss, g_loss: last.g_loss, force, collapsed, mended, running, drawn: drawn.length, of: centres.length }, text };
    };
  }

  globalThis.explorables?.define("gan-plane", { maths, start });
  if (typeof module !== "undefined") module.exports = maths;
})();
