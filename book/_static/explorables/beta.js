// Along β: rate and distortion of trained VAEs, and the same digits decoded by each. Numbers and images are the records'
// (beta.data.js, written by book/explorable_data.py); nothing is drawn between two records.
(() => {
  "use strict";

  /** 16 greys, two pixels a byte, base64 → greys 0 to 255. */
  function greys(text) {
    return Uint8Array.from({ length: 2 * atob(text).length }, function (_, i) {
      const byte = this.charCodeAt(i >> 1);
      return 17 * (i % 2 ? byte & 15 : byte >> 4);
    }, atob(text));
  }

  /** How many nats of distortion a nat of rate buys between two records: eq-vfail-slope's middle. */
  const price = (low, high) => (high.D - low.D) / (low.R - high.R);

  function start(ui) {
    const { say } = globalThis.explorables, { state, html } = ui, data = globalThis.explorableData.beta, runs = data.runs;
    const low = Math.min(...runs.flatMap((r) => r.D)) - 6, high = Math.max(...runs.flatMap((r) => r.D)) + 16;
    const span = [0, Math.max(...runs.flatMap((r) => r.R)) * 1.06];
    const plane = ui.chart({ label: "Distortion against rate; the chosen β has a handle", x: span, y: [low, high], height: 250, xlabel: "rate R, nats per image", ylabel: "distortion D, nats" });
    const curve = plane.line("data"), dots = plane.marks("data", 3.5), more = plane.marks("model", 3), tangent = plane.line("thin");
    const first = runs.map((r) => ({ R: r.R[0], D: r.D[0] }));
    curve.set(first.map((r) => r.R), first.map((r) => r.D));
    dots.set(first.map((r) => [r.R, r.D]));
    more.set(runs.flatMap((r) => r.R.slice(1).map((v, i) => [v, r.D[i + 1]])));
    runs.forEach((r, i) => {
      const text = plane.add("text", { x: plane.X(r.R[0]) + (i ? 8 : -4), y: plane.Y(r.D[0]) - 8, "text-anchor": i ? "start" : "end" });
      text.textContent = `β = ${r.beta}`;
    });
    const key = html("ul", { class: "ex-key" }, html("li", { class: "ex-data" }, html("span", {}, "records, seed 0")),
      html("li", { class: "ex-model" }, html("span", {}, "crosses: another seed")), html("li", { class: "ex-thin" }, html("span", {}, "equal D + βR at this β")));
    const shown = data.digits, sheet = html("canvas", { width: 28 * shown, height: 28 * 3, role: "img", class: "ex-digits" });
    const caption = html("p", { class: "ex-caption" });
    ui.figures.append(plane.node, key, sheet, caption);
    ui.slider("run", "β", { min: 0, max: runs.length - 1, step: 1, value: 2, text: (v) => String(runs[v].beta) });
    ui.values({ R: ["rate R"], D: ["distortion D"], elbo: ["ELBO"], cost: ["D + βR"], price: ["price of a nat", (v) => (Number.isNaN(v) ? "–" : say(v))] });
    const nearest = (x, y) => {
      const far = first.map((r) => Math.hypot(plane.X(r.R) - plane.X(x), plane.Y(r.D) - plane.Y(y)));
      return far.indexOf(Math.min(...far));
    };
    const grip = plane.handle("model", "the chosen β, along the curve", (x, y) => {
      // An arrow key goes to the next record that way; a drag to the one nearest.
      const here = first[state.run], by = Math.sign(Math.round(1e6 * (x - here.R))) || -Math.sign(Math.round(1e6 * (y - here.D)));
      const step = Math.abs(x - here.R) < 1.5e-3 * (span[1] - span[0]) && Math.abs(y - here.D) < 1.5e-3 * (high - low);
      ui.set({ run: step ? Math.min(runs.length - 1, Math.max(0, state.run - by)) : nearest(x, y) });
    }, { step: [1e-3 * (span[1] - span[0]), 1e-3 * (high - low)] });

    const best = runs.map((r) => r.elbo[0]).indexOf(Math.max(...runs.map((r) => r.elbo[0])));
    ui.task("Go to the β whose ELBO is highest.", { done: (v, s) => visited.size > 3 && s.run === best, ask: "Which is it?", options: runs.map((r) => String(r.beta)), right: best,
      why: "The ELBO is −(D + R): only at β = 1 is it what training asks for." });
    const kinds = Math.log(10), enough = runs.map((r) => r.R[0] >= kinds).lastIndexOf(true);
    ui.task("To name one of ten equally frequent digits takes log 10 ≈ 2.3 nats. Go to the largest β here whose rate is still more than that, then past it, and look at the digits.", {
      done: () => visited.has(enough) && (enough + 1 === runs.length || visited.has(enough + 1)) });
    const priced = first.slice(1).filter((r, i) => price(first[i], r) >= runs[i].beta && price(first[i], r) <= runs[i + 1].beta).length;
    ui.task("Between two neighbours a nat of rate should be worth a number of nats of distortion that lies between their β. Go through all of them.", {
      done: () => visited.size === runs.length, ask: "For how many of the five pairs is it so?", options: [0, 1, 2, 3, 4, 5].map(String), right: priced,
      why: "The theorem speaks of exact minima; trained models need not obey it." });
    const visited = new Set();

    return () => {
      visited.add(state.run);
      const run = runs[state.run], { R, D } = first[state.run], next = first[state.run + 1];
      grip.set(R, D, `β ${run.beta}: rate ${say(R)}, distortion ${say(D)}`);
      tangent.set(span, span.map((v) => D - run.beta * (v - R)));
      const pen = sheet.getContext("2d"), image = new ImageData(28, 28);
      [data.originals, run.reconstructions, run.samples].forEach((text, row) => {
        const pixels = greys(text);
        for (let k = 0; k < shown; k++) {
          for (let i = 0; i < 784; i++) {
            image.data.fill(pixels[784 * k + i], 4 * i, 4 * i + 3);
            image.data[4 * i + 3] = 255;
          }
          pen.putImageData(image, 28 * k, 28 * row);
        }
      });
      sheet.setAttribute("aria-label", `First row: ${shown} test digits. Second: each coded and decoded at β = ${run.beta}. Third: decoded draws from the prior.`);
      caption.textContent = `Test digits; the same, coded and decoded at β = ${run.beta}; decoded draws from the prior. After ${data.epochs} epochs.`;
      const values = { R, D, elbo: run.elbo[0], cost: D + run.beta * R, price: next ? price(first[state.run], next) : NaN };
      return {
        values,
        text: `β = ${run.beta}: rate ${say(R)}, distortion ${say(D)}, ELBO ${say(run.elbo[0])} nats per test image (record ${run.name}). `
          + (next ? `From here to β = ${runs[state.run + 1].beta} a nat of rate is worth ${say(values.price)} nats of distortion. ` : "")
          + `Mean squared error of the reconstructions on [0, 1]: ${say(run.mse[0], 3)}.`,
      };
    };
  }

  globalThis.explorables.define("beta", { maths: { greys: (text) => Array.from(greys(text)), price }, start });
})();
