// Metrics on the plane: a real set of six modes and a generated one that is moved, blurred and robbed of modes by hand.
// Fréchet distance, precision, recall, density and coverage are those of ganvae_lib.metrics on the same points.
(() => {
  "use strict";

  const K = 5, MODES = 6, SCALE = 0.25;
  const CENTRES = Array.from({ length: MODES }, (_, k) => [2 * Math.cos((k * Math.PI) / 3), 2 * Math.sin((k * Math.PI) / 3)]);

  /** Mean and covariance (divisor n − 1) of points [[x, y], …]. */
  function moments(points) {
    const n = points.length, m = [0, 1].map((i) => points.reduce((sum, p) => sum + p[i], 0) / n);
    const c = (i, j) => points.reduce((sum, p) => sum + (p[i] - m[i]) * (p[j] - m[j]), 0) / (n - 1);
    return { m, c: [c(0, 0), c(0, 1), c(1, 1)] };
  }

  /** ‖m_a − m_b‖² + tr C_a + tr C_b − 2 tr (C_a C_b)^½; in the plane the last trace is √(tr C_aC_b + 2 √det C_aC_b). */
  function frechet(a, b) {
    const { m: u, c: [p, q, r] } = moments(a), { m: v, c: [s, t, w] } = moments(b);
    const trace = p * s + 2 * q * t + r * w, det = Math.max(0, (p * r - q * q) * (s * w - t * t));
    return Math.max(0, (u[0] - v[0]) ** 2 + (u[1] - v[1]) ** 2 + p + r + s + w - 2 * Math.sqrt(Math.max(0, trace + 2 * Math.sqrt(det))));
  }

  const square = (a, b) => (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2;

  /** Squared distance to the k-th nearest other point of the set. */
  const radii = (set) => set.map((a, i) => set.map((b, j) => (i === j ? Infinity : square(a, b))).sort((u, v) => u - v)[K - 1]);

  /** Kynkäänniemi et al. (2019), Naeem et al. (2020): balls without their rim, k = 5. */
  function prdc(a, b) {
    const ra = radii(a), rb = radii(b), near = b.map(() => Infinity), held = b.map(() => false);
    let inside = 0, balls = 0;
    for (let j = 0; j < a.length; j++) {
      let here = 0;
      for (let i = 0; i < b.length; i++) {
        const d = square(a[j], b[i]);
        if (d < rb[i]) here += 1;
        if (d < ra[j]) held[i] = true;
        if (d < near[i]) near[i] = d;
      }
      inside += here > 0;
      balls += here;
    }
    const share = (list) => list.filter(Boolean).length / list.length;
    return { precision: inside / a.length, recall: share(held), density: balls / (K * a.length), coverage: share(near.map((d, i) => d < rb[i])) };
  }

  const measure = (a, b) => ({ frechet: frechet(a, b), ...prdc(a, b) });

  /** n points of modes in turn, from draws fixed beforehand: changing a control moves points, and draws none anew. */
  const place = (draws, n, kept, blur, shift) => Array.from({ length: n }, (_, i) => {
    const [a, b] = CENTRES[kept[i % kept.length]];
    return [a + shift[0] + SCALE * blur * draws[2 * i], b + shift[1] + SCALE * blur * draws[2 * i + 1]];
  });

  function start(ui) {
    const { say, generator } = globalThis.explorables, { state, html } = ui, most = 300;
    const plane = ui.chart({ label: "Real and generated points; the generated ones have a handle", square: true, x: [-4, 4], y: [-4, 4] });
    const real = plane.marks("data", 2.2), made = plane.marks("model", 2.6);
    const key = html("ul", { class: "ex-key" }, ...[["data", "real"], ["model", "generated"]].map(([c, t]) => html("li", { class: `ex-${c}` }, html("span", {}, t))));
    ui.figures.append(plane.node, key);
    let draws, others;
    const redraw = (seed) => {
      const from = generator(seed);
      draws = Array.from({ length: 2 * most }, from.normal);
      others = Array.from({ length: 2 * most }, from.normal);
    };
    redraw(7);
    let seed = 7;
    ui.slider("dx", "moved right", { min: -2, max: 2, step: 0.05, value: 0 });
    ui.slider("dy", "moved up", { min: -2, max: 2, step: 0.05, value: 0 });
    ui.slider("blur", "width", { min: 0.05, max: 4, step: 0.05, value: 1, text: (v) => `× ${say(v)}` });
    ui.slider("n", "points of each", { min: 60, max: most, step: 60, value: 180, text: (v) => say(v, 0) });
    const where = ["right", "upper right", "upper left", "left", "lower left", "lower right"];
    const modes = html("fieldset", { class: "ex-modes" }, html("legend", {}, "generated modes"));
    where.forEach((name, k) => {
      const input = ui.tick(`mode${k}`, name, true);
      modes.append(input.parentElement);
    });
    ui.controls.append(modes);
    ui.buttons(["Draw again", () => redraw(++seed)], ["As the real ones", () => ui.set({ dx: 0, dy: 0, blur: 1, ...Object.fromEntries(where.map((_, k) => [`mode${k}`, true])) })]);
    const three = (v) => say(v, 3);
    ui.values({ frechet: ["Fréchet", three], precision: ["precision", three], recall: ["recall", three], density: ["density", three], coverage: ["coverage", three] });
    const twentieth = (v) => Math.round(20 * Math.min(2, Math.max(-2, v))) / 20;
    const grip = plane.handle("model", "the generated points, as a whole", (x, y) => ui.set({ dx: twentieth(x), dy: twentieth(y) }));

    ui.task("Good but few kinds: precision above 0.9, coverage below 0.6.", { done: (v) => v.precision > 0.9 && v.coverage < 0.6 });
    ui.task("Fool the Fréchet distance: keep it below 0.15 with three modes gone.", { done: (v) => v.frechet < 0.15 && v.modes === 3,
      ask: "Why does it not notice?", options: ["it has too few points", "it compares means and covariances, and those still agree", "it looks at precision only"], right: 1,
      why: "Every other corner of a hexagon is a triangle with the same centre and the same covariance." });
    ui.task("Better than real? Bring the density above 1.3.", { done: (v) => v.density > 1.3 });

    return () => {
      const all = where.map((_, k) => k), kept = all.filter((k) => state[`mode${k}`]);
      const b = place(draws, state.n, all, 1, [0, 0]), a = kept.length ? place(others, state.n, kept, state.blur, [state.dx, state.dy]) : [];
      real.set(b);
      made.set(a);
      grip.set(state.dx, state.dy, `moved right ${say(state.dx)}, up ${say(state.dy)}`);
      const nothing = { frechet: NaN, precision: NaN, recall: NaN, density: NaN, coverage: NaN };
      const found = a.length ? measure(a, b) : nothing, gone = where.filter((_, k) => !state[`mode${k}`]);
      ui.box.points = { a, b };
      return {
        values: { ...found, modes: kept.length },
        text: !a.length ? "No generated points: all 6 modes are dropped." : `${say(state.n, 0)} points each. The generated ones are moved by (${say(state.dx)}, ${say(state.dy)}), `
          + `${say(state.blur)} times as wide as the real ones, ${gone.length ? `and lack ${gone.length} of 6 modes: ${gone.join(", ")}` : "in all 6 modes"}. `
          + `Fréchet distance ${three(found.frechet)}; precision ${three(found.precision)}, recall ${three(found.recall)}, density ${three(found.density)}, coverage ${three(found.coverage)}.`,
      };
    };
  }

  globalThis.explorables.define("metrics", { maths: { measure, frechet, prdc }, start });
})();
