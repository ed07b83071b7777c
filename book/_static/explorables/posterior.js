// A posterior by hand: the linear-Gaussian model of the chapter on the bound, z ∈ R², x ∈ R⁵, where log p(x), the
// posterior, the ELBO of any Gaussian q and the gap are all formulas. q is moved, stretched and tilted.
(() => {
  "use strict";

  const W = [[1.0, 0.9], [0.5, 0.8], [-0.3, 0.1], [0.8, 1.0], [0.2, -0.4]], B = [0.5, 0, -0.5, 1, 0], S = 0.8;
  const X = [1.9, 0.2, -1.1, 1.3, 0.9]; // the one image, of five pixels
  const LOG_2PI = Math.log(2 * Math.PI);

  const inverse = ([[a, b], [c, d]]) => [[d / (a * d - b * c), -b / (a * d - b * c)], [-c / (a * d - b * c), a / (a * d - b * c)]];
  const det = ([[a, b], [c, d]]) => a * d - b * c;
  const WtW = [0, 1].map((i) => [0, 1].map((j) => W.reduce((sum, w) => sum + w[i] * w[j], 0)));
  const P = WtW.map((row, i) => row.map((v, j) => v / S ** 2 + (i === j))); // of the posterior: its precision
  const C = inverse(P); // and its covariance
  const R = X.map((v, i) => v - B[i]), WtR = [0, 1].map((i) => W.reduce((sum, w, k) => sum + w[i] * R[k], 0));
  const M = C.map((row) => (row[0] * WtR[0] + row[1] * WtR[1]) / S ** 2); // and its mean

  /** log N(x; b, WWᵀ + s² I), by the determinant lemma and Woodbury: no q in it. */
  const logEvidence = () => {
    const square = R.reduce((sum, v) => sum + v * v, 0), taken = (WtR[0] * M[0] + WtR[1] * M[1]);
    return -(5 * LOG_2PI + 5 * Math.log(S ** 2) + Math.log(det(P)) + (square - taken) / S ** 2) / 2;
  };

  /** Σ_q of widths s1, s2 along axes turned by `tilt` degrees. */
  function covariance({ s1, s2, tilt }) {
    const c = Math.cos((tilt * Math.PI) / 180), s = Math.sin((tilt * Math.PI) / 180), a = s1 * s1, b = s2 * s2;
    return [[a * c * c + b * s * s, (a - b) * c * s], [(a - b) * c * s, a * s * s + b * c * c]];
  }

  /** E_q[log p(x|z)], KL(q ‖ prior), ELBO, and the gap KL(q ‖ posterior), each from its own formula. */
  function bound(q) {
    const cov = covariance(q), mu = [q.m1, q.m2];
    const left = R.map((v, i) => v - W[i][0] * mu[0] - W[i][1] * mu[1]);
    const spread = WtW[0][0] * cov[0][0] + 2 * WtW[0][1] * cov[0][1] + WtW[1][1] * cov[1][1];
    const fit = -(left.reduce((sum, v) => sum + v * v, 0) + spread) / (2 * S ** 2) - 2.5 * (LOG_2PI + Math.log(S ** 2));
    const kl = (cov[0][0] + cov[1][1] + mu[0] ** 2 + mu[1] ** 2 - 2 - Math.log(det(cov))) / 2;
    const d = [M[0] - mu[0], M[1] - mu[1]];
    const quadratic = P[0][0] * (cov[0][0] + d[0] ** 2) + 2 * P[0][1] * (cov[0][1] + d[0] * d[1]) + P[1][1] * (cov[1][1] + d[1] ** 2);
    return { fit, kl, elbo: fit - kl, gap: (quadratic - 2 - Math.log(det(P)) - Math.log(det(cov))) / 2, evidence: logEvidence() };
  }

  const DIAGONAL = Math.log(P[0][0] * P[1][1] / det(P)) / 2; // the least gap of a q that is not tilted
  const known = () => ({ W, B, S, X, P, M, DIAGONAL });

  /** The ellipse at `r` standard deviations: 61 points. */
  function ellipse(mean, cov, r) {
    const l = Math.sqrt(cov[0][0]), m = cov[0][1] / l, n = Math.sqrt(Math.max(0, cov[1][1] - m * m));
    return Array.from({ length: 61 }, (_, i) => {
      const c = r * Math.cos((i * Math.PI) / 30), s = r * Math.sin((i * Math.PI) / 30);
      return [mean[0] + l * c, mean[1] + m * c + n * s];
    });
  }

  function start(ui) {
    const { say, clamp } = globalThis.explorables, { state, html } = ui;
    const plane = ui.chart({ label: "The plane of z: prior, posterior and q, whose centre and two axes have handles", square: true, x: [-2.6, 2.6], y: [-2.6, 2.6], xlabel: "z₁", ylabel: "z₂" });
    const ring = (kind, mean, cov) => [1, 2].map((r) => {
      const line = plane.line(kind), at = ellipse(mean, cov, r);
      line.set(at.map((p) => p[0]), at.map((p) => p[1]));
      return line;
    });
    ring("thin", [0, 0], [[1, 0], [0, 1]]);
    ring("data", M, C);
    const mine = [plane.line("model"), plane.line("model")];
    const key = html("ul", { class: "ex-key" }, ...[["data", "posterior p(z|x)"], ["model", "q(z|x)"], ["thin", "prior p(z)"]].map(([c, t]) =>
      html("li", { class: `ex-${c}` }, html("span", {}, t))));
    const top = logEvidence(), nats = ui.chart({ label: "ELBO and gap add up to log p(x)", height: 92, x: [top - 8, top + 1], y: [0, 1], xlabel: "nats", left: 12, scale: false });
    const bar = nats.add("rect", { class: "ex-bar ex-model" }), rest = nats.add("rect", { class: "ex-bar ex-gap" });
    nats.line("data").set([top, top], [0, 1]);
    const label = nats.add("text", { y: nats.Y(0.42) }), end = nats.add("text", { y: nats.Y(0.82), x: nats.X(top) - 4, "text-anchor": "end" });
    end.textContent = "log p(x)";
    ui.figures.append(plane.node, key);
    const to = { min: -2.6, max: 2.6, step: 0.01 }, wide = { min: 0.1, max: 2, step: 0.01 };
    ui.slider("m1", "centre, z₁", { ...to, value: 0.2 });
    ui.slider("m2", "centre, z₂", { ...to, value: 0.2 });
    ui.slider("s1", "first width", { ...wide, value: 0.7 });
    ui.slider("s2", "second width", { ...wide, value: 0.7 });
    ui.slider("tilt", "tilt", { min: -90, max: 90, step: 1, value: 0, text: (v) => `${say(v, 0)}°` });
    ui.values({ elbo: ["ELBO", (v) => say(v, 3)], gap: ["gap", (v) => say(v, 3)], evidence: ["log p(x)", (v) => say(v, 3)], kl: ["KL to the prior", (v) => say(v, 3)] });
    ui.side.append(nats.node);

    const hundredth = (v) => Math.round(100 * v) / 100;
    const centre = plane.handle("model", "centre of q", (x, y) => ui.set({ m1: hundredth(x), m2: hundredth(y) }));
    const along = (key, turn) => (x, y) => {
      const a = x - state.m1, b = y - state.m2, size = hundredth(clamp(Math.hypot(a, b), 0.1, 2));
      let tilt = Math.round((Math.atan2(b, a) * 180) / Math.PI) - turn;
      while (tilt > 90) tilt -= 180;
      while (tilt <= -90) tilt += 180;
      ui.set({ [key]: size, tilt });
    };
    const first = plane.handle("third", "end of q's first axis: length and tilt", along("s1", 0), { shape: "square" });
    const second = plane.handle("third", "end of q's second axis: length and tilt", along("s2", 90), { shape: "square" });

    const straight = (s) => Math.abs(s.tilt) < 0.5 || Math.abs(Math.abs(s.tilt) - 90) < 0.5;
    ui.task("Close the gap to less than 0.01 nats. Then q is the posterior, and the ELBO log p(x).", { done: (v) => v.gap < 0.01 });
    ui.task("A VAE's encoder cannot tilt. With tilt 0 come within 0.01 nats of the least gap that is possible so.", {
      done: (v, s) => straight(s) && v.gap < DIAGONAL + 0.01, ask: "How wide is this q beside the posterior's own z₁ and z₂?", options: ["as wide", "narrower", "wider"], right: 1,
      why: "The best diagonal q has variances 1/(S⁻¹)ⱼⱼ, less than Sⱼⱼ: it stays inside the tilted posterior." });
    ui.task("Make q the prior, so that the code costs nothing (a KL below 0.005). Read off what that costs in the gap.", { done: (v) => v.kl < 0.005 });

    return () => {
      const found = bound(state), cov = covariance(state), mean = [state.m1, state.m2];
      mine.forEach((line, r) => {
        const at = ellipse(mean, cov, r + 1);
        line.set(at.map((p) => p[0]), at.map((p) => p[1]));
      });
      const turn = (state.tilt * Math.PI) / 180, c = Math.cos(turn), s = Math.sin(turn);
      centre.set(...mean, `z₁ ${say(state.m1)}, z₂ ${say(state.m2)}`);
      first.set(state.m1 + state.s1 * c, state.m2 + state.s1 * s, `width ${say(state.s1)}, tilt ${say(state.tilt, 0)} degrees`);
      second.set(state.m1 - state.s2 * s, state.m2 + state.s2 * c, `width ${say(state.s2)}, tilt ${say(state.tilt, 0)} degrees`);
      const from = nats.X(top - 8), at = Math.max(from, nats.X(found.elbo));
      const size = { y: nats.Y(0.65), height: nats.Y(0.2) - nats.Y(0.65) };
      for (const [node, a, b] of [[bar, from, at], [rest, at, nats.X(top)]])
        for (const [name, v] of Object.entries({ ...size, x: a, width: Math.max(0, b - a) })) node.setAttribute(name, v);
      label.setAttribute("x", from + 4);
      label.textContent = found.elbo < top - 8 ? "ELBO: off this scale, to the left" : "ELBO";
      return {
        values: found,
        text: `q: centre (${say(state.m1)}, ${say(state.m2)}), widths ${say(state.s1)} and ${say(state.s2)}, tilt ${say(state.tilt, 0)}°. `
          + `ELBO ${say(found.elbo, 3)} + gap ${say(found.gap, 3)} = log p(x) ${say(found.evidence, 3)} nats. `
          + `Untilted, the gap cannot fall below ${say(DIAGONAL, 3)}. The ELBO is a fit of ${say(found.fit)} less ${say(found.kl)} for the code.`,
      };
    };
  }

  globalThis.explorables.define("posterior", { maths: { bound, covariance, known }, start });
})();
