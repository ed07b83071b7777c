// Two densities on the line, p of the data and q of the model: the best discriminator between them, and what each
// divergence says of them. Integrals are trapezoidal sums of log-densities, as in ganvae_lib.toy.
(() => {
  "use strict";

  const STEP = 0.01, GRID = Float64Array.from({ length: 4001 }, (_, i) => -20 + STEP * i);

  /** log p(x) on the grid for p = Σ_k w_k N(m_k, s_k²). */
  function logPdf({ means, scales, weights }) {
    return GRID.map((x) => {
      const parts = means.map((m, k) => Math.log(weights[k] / scales[k]) - ((x - m) / scales[k]) ** 2 / 2);
      const top = Math.max(...parts);
      return top + Math.log(parts.reduce((sum, a) => sum + Math.exp(a - top), 0)) - Math.log(2 * Math.PI) / 2;
    });
  }

  function integral(f) {
    let sum = 0;
    for (let i = 0; i < GRID.length; i++) sum += f(i) * (i === 0 || i === GRID.length - 1 ? 0.5 : 1);
    return sum * STEP;
  }

  /** KL both ways, JSD (nats), total variation, W₁, and E_q[D*]: the mean slope that the minimax loss leaves to G. */
  function measure(p, q) {
    const a = logPdf(p), b = logPdf(q);
    const m = a.map((v, i) => Math.max(v, b[i]) + Math.log1p(Math.exp(-Math.abs(v - b[i]))) - Math.LN2);
    const mean = (of, f) => integral((i) => Math.exp(of[i]) * f(i));
    let run = 0, w1 = 0, before = 0;
    for (let i = 1; i < GRID.length; i++) {
      run += (STEP * (Math.exp(a[i]) - Math.exp(b[i]) + Math.exp(a[i - 1]) - Math.exp(b[i - 1]))) / 2;
      w1 += (STEP * (Math.abs(run) + before)) / 2;
      before = Math.abs(run);
    }
    return {
      klpq: mean(a, (i) => a[i] - b[i]),
      klqp: mean(b, (i) => b[i] - a[i]),
      jsd: mean(a, (i) => a[i] - m[i]) / 2 + mean(b, (i) => b[i] - m[i]) / 2,
      tv: integral((i) => Math.abs(Math.exp(a[i]) - Math.exp(b[i]))) / 2,
      w1,
      slope: mean(b, (i) => 1 / (1 + Math.exp(b[i] - a[i]))),
      p: a, q: b,
    };
  }

  const APART = 2; // of p's two bumps from its centre
  const mixture = (shape, m, s) => (shape === "two"
    ? { means: [m - APART, m + APART], scales: [s, s], weights: [0.5, 0.5] } : { means: [m], scales: [s], weights: [1] });

  /** The least KL(p ‖ q) over normal q: that of the normal with p's own mean and variance. */
  const matched = (shape, m, s) => {
    const { klpq } = measure(mixture(shape, m, s), mixture("one", m, Math.sqrt(s * s + (shape === "two" ? APART ** 2 : 0))));
    return klpq;
  };

  function start(ui) {
    const { say } = globalThis.explorables, { state, html } = ui, peak = 1 / Math.sqrt(2 * Math.PI);
    const see = Array.from({ length: 281 }, (_, i) => 1300 + 5 * i), xs = see.map((i) => GRID[i]); // −7 to 7
    const top = ui.chart({ label: "The densities p and q; each has a handle", x: [-7, 7], y: [0, 1.4], height: 200, ylabel: "density" });
    const best = ui.chart({ label: "The best discriminator D*", x: [-7, 7], y: [0, 1], height: 130, xlabel: "x", ylabel: "D*(x) = p / (p + q)" });
    const areas = [top.line("data", { area: true }), top.line("model", { area: true })], curve = best.line("third");
    const key = html("ul", { class: "ex-key" }, ...[["data", "p, the data"], ["model", "q, the model"], ["third", "D*"]].map(([c, t]) =>
      html("li", { class: `ex-${c}` }, html("span", {}, t))));
    ui.figures.append(top.node, key, best.node);
    ui.choice("shape", "p is", { one: "one bump", two: "two bumps" }, "one");
    const place = { min: -5, max: 5, step: 0.05 }, width = { min: 0.3, max: 2.5, step: 0.05 };
    ui.slider("pm", "centre of p", { ...place, value: -1 });
    ui.slider("ps", "width of p", { ...width, value: 0.8 });
    ui.slider("qm", "centre of q", { ...place, value: 1.5 });
    ui.slider("qs", "width of q", { ...width, value: 1.2 });
    ui.values({ klpq: ["KL(p ‖ q)"], klqp: ["KL(q ‖ p)"], jsd: ["JSD", (v) => say(v, 3)], tv: ["TV", (v) => say(v, 3)],
      w1: ["W₁"], slope: ["E_q[D*]", (v) => say(v, 3)] });

    // A handle stands at its bump's peak: along x it moves the centre, up it makes the bump narrower.
    const round = (v, { min, max }) => Math.min(max, Math.max(min, Math.round(v / 0.05) * 0.05));
    const high = (which) => (which === "p" && state.shape === "two" ? 0.5 : 1) * peak;
    const grip = (which) => top.handle(which === "p" ? "data" : "model", `${which}: arrows left and right move it, up makes it narrower`, (x, y) =>
      ui.set({ [`${which}m`]: round(x, place), [`${which}s`]: round(high(which) / Math.max(y, 0.02), width) }),
      { step: [0.1, 0.06], shape: which === "p" ? "circle" : "square" });
    const grips = { p: grip("p"), q: grip("q") };

    ui.task("Leave G nothing to follow: bring E_q[D*], the mean of D* on q's draws, below 0.005, so that the minimax loss is flat.", {
      done: (v) => v.slope < 0.005, ask: "Move q still further away. Which of these goes on growing?", options: ["the JSD", "TV", "W₁"], right: 2,
      why: "The JSD stands at log 2 and TV at 1 wherever nothing overlaps; W₁ charges for distance.",
    });
    ui.task("Give p two bumps and find the q with the least KL(p ‖ q), to within 0.01 nats.", { done: (v, s) => s.shape === "two" && v.klpq < v.least + 0.01 });
    ui.task("The same p, its width at most 0.8: bring KL(q ‖ p) within 0.03 of log 2.", { done: (v, s) => s.shape === "two" && s.ps <= 0.8 && Math.abs(v.klqp - Math.LN2) < 0.03 });

    return () => {
      const p = mixture(state.shape, state.pm, state.ps), q = mixture("one", state.qm, state.qs), found = measure(p, q);
      areas[0].set(xs, see.map((i) => Math.exp(found.p[i])));
      areas[1].set(xs, see.map((i) => Math.exp(found.q[i])));
      curve.set(xs, see.map((i) => 1 / (1 + Math.exp(found.q[i] - found.p[i]))));
      for (const which of ["p", "q"]) grips[which].set(state[`${which}m`], high(which) / state[`${which}s`],
        `centre ${say(state[`${which}m`])}, width ${say(state[`${which}s`])}`);
      const { klpq, klqp, jsd, tv, w1, slope } = found, least = matched(state.shape, state.pm, state.ps);
      const shape = state.shape === "two" ? `two bumps ${2 * APART} apart about ${say(state.pm)}, each` : `one bump about ${say(state.pm)},`;
      return {
        values: { klpq, klqp, jsd, tv, w1, slope, least },
        text: `p: ${shape} ${say(state.ps)} wide; q: about ${say(state.qm)}, ${say(state.qs)} wide. They share ${say(100 * (1 - tv), 0)} % of their mass. `
          + `KL(p ‖ q) = ${say(klpq)}, KL(q ‖ p) = ${say(klqp)}, JSD = ${say(jsd)} of at most 0.69 nats, W₁ = ${say(w1)}. `
          + `D* is ${say(slope)} in the mean on q's draws: ${slope < 0.005 ? "the minimax loss is flat there" : slope > 0.45 ? "it can hardly tell them apart" : "there is a slope for G to follow"}.`,
      };
    };
  }

  globalThis.explorables.define("two-densities", { maths: { measure: (p, q) => {
    const { p: _, q: __, ...numbers } = measure(p, q);
    return numbers;
  }, matched, mixture }, start });
})();
