// The Dirac-GAN (Mescheder et al. 2018): data at 0, G's one point at θ, D's logit φx. Two numbers, and their orbit.
(() => {
  "use strict";

  const sigmoid = (a) => 1 / (1 + Math.exp(-a));

  /** (dθ/dt, dφ/dt): what each player's gradient asks of it; R1 charges D with γ/2 φ². */
  function field(theta, phi, { loss = "minimax", gamma = 0 } = {}) {
    const s = phi * theta;
    const g = { minimax: sigmoid(s), "non-saturating": sigmoid(-s), wasserstein: 1 }[loss], d = loss === "wasserstein" ? 1 : sigmoid(s);
    return [g * phi, -d * theta - gamma * phi];
  }

  /** One step of size η: at once, or in turn, where G answers the D that has already moved. */
  function step(theta, phi, options) {
    const { eta = 0.1, turn = "once" } = options, [g, d] = field(theta, phi, options);
    const moved = phi + eta * d;
    return [theta + eta * (turn === "once" ? g : field(theta, moved, options)[0]), moved];
  }

  /** The path [θ, φ] over n steps, the start with it. */
  function orbit(theta, phi, n, options) {
    const path = [[theta, phi]];
    for (let i = 0; i < n; i++) path.push(step(...path.at(-1), options));
    return path;
  }

  /** By what factor a step multiplies a small distance in the long run: the spectral radius of the linearised step. */
  function factor({ loss = "minimax", eta = 0.1, gamma = 0, turn = "once" }) {
    const a = eta * (loss === "wasserstein" ? 1 : 0.5), b = 1 - eta * gamma;
    const m = turn === "once" ? [1, a, -a, b] : [1 - a * a, a * b, -a, b];
    const half = (m[0] + m[3]) / 2, det = m[0] * m[3] - m[1] * m[2], under = half * half - det;
    return under < 0 ? Math.sqrt(det) : Math.abs(half) + Math.sqrt(under);
  }

  function start(ui) {
    const { say } = globalThis.explorables, { state } = ui, REACH = 3;
    const plane = ui.chart({ label: "The orbit of θ and φ; its start has a handle", square: true, x: [-REACH, REACH], y: [-REACH, REACH], xlabel: "θ, where G is", ylabel: "φ, the slope of D" });
    const path = plane.line("thin"), dots = plane.marks("data", 1.8), end = plane.marks("third", 4), home = plane.marks("thin", 3);
    home.set([[0, 0]]);
    path.set([], []);
    const radius = ui.chart({ label: "Distance from the equilibrium, step by step", height: 150, x: [0, 300], y: [0, 3], xlabel: "step", ylabel: "√(θ² + φ²)" });
    const line = radius.line("data");
    ui.figures.append(plane.node);
    ui.choice("loss", "loss", { minimax: "minimax", "non-saturating": "non-saturating", wasserstein: "Wasserstein" }, "minimax");
    ui.choice("turn", "steps", { once: "at once", turn: "in turn, D first" }, "once");
    ui.slider("eta", "step size η", { min: 0.02, max: 2, step: 0.02, value: 0.2 });
    ui.slider("gamma", "R1, weight γ", { min: 0, max: 2, step: 0.02, value: 0 });
    ui.slider("n", "how many", { min: 20, max: 600, step: 20, value: 100, text: (v) => say(v, 0) });
    ui.slider("theta", "start θ", { min: -REACH, max: REACH, step: 0.05, value: 1 });
    ui.slider("phi", "start φ", { min: -REACH, max: REACH, step: 0.05, value: 0 });
    ui.values({ first: ["at the start", (v) => say(v, 3)], last: ["at the end", (v) => say(v, 3)], factor: ["factor near 0", (v) => say(v, 4)] });
    ui.side.append(radius.node);
    const grip = plane.handle("model", "start of the orbit", (x, y) => ui.set({ theta: Math.round(x * 20) / 20, phi: Math.round(y * 20) / 20 }), { step: [0.05, 0.05] });

    ui.task("Minimax, steps at once, no R1, a step of at most 0.2: let the distance more than double.", {
      done: (v, s) => s.loss === "minimax" && s.turn === "once" && s.gamma === 0 && s.eta <= 0.2 && v.first > 0 && v.last > 2 * v.first });
    ui.task("From 1 or more away, end within 0.01 of the equilibrium.", { done: (v) => v.first >= 1 && v.last < 0.01,
      ask: "Which control did it?", options: ["a smaller step", "steps in turn", "R1"], right: 2,
      why: "Without the penalty no step size and no order gets there within 600 steps; with it the path spirals inwards." });
    ui.task("The penalty does not always win: with γ at 0.1 or more and steps at once, make the factor near 0, by which a step multiplies a small distance, greater than 1.", {
      done: (v, s) => s.gamma >= 0.1 - 1e-9 && s.turn === "once" && v.factor > 1 });

    return () => {
      const way = orbit(state.theta, state.phi, state.n, state), far = way.map(([a, b]) => Math.hypot(a, b));
      path.set(way.map((p) => p[0]), way.map((p) => p[1]));
      const near = way.filter(([a, b]) => Math.abs(a) < 2 * REACH && Math.abs(b) < 2 * REACH);
      dots.set(near.slice(1));
      end.set(near.length === way.length ? [way.at(-1)] : []);
      radius.range([0, state.n], [0, Math.min(1e6, Math.max(0.5, ...far.filter(Number.isFinite))) * 1.1]);
      line.set(far.map((_, i) => i), far);
      grip.set(state.theta, state.phi, `θ ${say(state.theta)}, φ ${say(state.phi)}`);
      const first = far[0], last = far.at(-1), by = factor(state);
      const how = first === 0 ? "It stands at the equilibrium" : last < 0.99 * first ? "It comes nearer" : last > 1.01 * first ? "It goes outwards" : "It keeps its distance";
      return {
        values: { first, last, factor: by },
        text: `${say(state.n, 0)} steps ${state.turn === "once" ? "at once" : "in turn"} of size ${say(state.eta)} from θ = ${say(state.theta)}, φ = ${say(state.phi)}; `
          + `loss ${state.loss}, γ = ${say(state.gamma)}. ${how}: from ${say(first, 3)} to ${say(last, 3)} away from the equilibrium. `
          + `Near it a step multiplies the distance by ${say(by, 4)} in the long run.`,
      };
    };
  }

  globalThis.explorables.define("dirac-gan", { maths: { field, step, orbit, factor }, start });
})();
