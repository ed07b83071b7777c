// The explorers of the book: a trained decoder, run in the page. No library, no network; works from file://.
// decoder.js computes, controls.js has the controls, both loaded before; this file has one function an explorer.
(() => {
  "use strict";

  const { decode, encode, asMNIST, dot, mix, lerp, slerp, prior, model } = globalThis.ganvae;
  const { element, slider, choice, picture, paint, button, reading, title, source, scatter, MAP, reach, placing }
    = globalThis.ganvae.pieces;

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
        button("draw from the prior", () => set(prior(m))), button("all to 0", () => set(z.map(() => 0))));
      return [
        element("div", { className: "explorer-side" }, canvas, read.node, buttons),
        element("div", { className: "explorer-controls" }, ...sliders.map((s) => s.node)),
      ];
    },

    // The plane of the codes' two widest directions, with the test images' codes in it.
    map(m) {
      const span = reach(m), place = placing(span);
      const canvas = element("canvas", { className: "explorer-map", width: MAP, height: MAP, tabIndex: 0 });
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-label", "Map of the codes. Drag, or use the arrow keys, to move the point that is decoded.");
      const image = picture("The image decoded at the point"), read = reading(m);
      const background = element("canvas", { width: MAP, height: MAP });
      const centres = m.means.map((mean) => m.axes.map((axis) => dot(mix(mean, m.mean, 1, -1), axis)));
      // It opens near a class: at the mean code that lies nearest to the plane, where the decoder draws that digit.
      const off = m.means.map((mean, digit) => {
        const rest = mix(mean, m.mean, 1, -1);
        return dot(rest, rest) - dot(centres[digit], centres[digit]);
      });
      const at = [...centres[off.indexOf(Math.min(...off))]];

      function draw() {
        const z = mix(mix(m.mean, m.axes[0], 1, at[0]), m.axes[1], 1, at[1]);
        paint(image, decode(m.name, z));
        read.set(z);
        const pen = canvas.getContext("2d"), [x, y] = place(at);
        pen.clearRect(0, 0, MAP, MAP);
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
        slider(text, { min: -span, max: span, value: at[i] }, (v) => ((at[i] = v), draw())));
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
        const way = ARROWS[event.key];
        if (!way) return;
        event.preventDefault();
        move(at[0] + way[0] * span / 40, at[1] - way[1] * span / 40);
      });
      scatter(background, m.points, m.digits, centres, place);
      draw();
      return [
        element("div", { className: "explorer-side" }, canvas),
        element("div", { className: "explorer-controls" }, image, read.node, ...sliders.map((s) => s.node)),
      ];
    },

    // From one code to another, straight or along an arc: a VAE's from a digit to a digit, a GAN's from draw to draw.
    walk(m) {
      const steps = 9, ends = m.examples ? [m.examples[3], m.examples[8]] : [prior(m), prior(m)];
      let t = 0.5, way = lerp;
      const canvas = picture("The image at this point of the walk"), read = reading(m);
      const strip = picture("The whole walk, from left to right", steps);
      strip.classList.add("explorer-strip");
      const at = (t) => way(...ends, t);
      const drawOne = () => (paint(canvas, decode(m.name, at(t))), read.set(at(t)));
      const draw = () => {
        for (let i = 0; i < steps; i++) paint(strip, decode(m.name, at(i / (steps - 1))), i);
        drawOne();
      };
      const set = (i, z) => ((ends[i] = z), draw());
      const digits = m.examples?.map((_, digit) => `a ${digit}`);
      const choosers = digits
        ? ["from", "to"].map((text, i) => choice(text, digits, String([3, 8][i]), (digit) => set(i, m.examples[digit])))
        : [element("div", { className: "explorer-buttons" },
          ...["new start", "new end"].map((text, i) => button(text, () => set(i, prior(m)))))];
      draw();
      return [
        element("div", { className: "explorer-side" }, canvas, read.node),
        element("div", { className: "explorer-controls" }, ...choosers,
          choice("along", { line: "a straight line", arc: "an arc" }, "line",
            (v) => ((way = v === "arc" ? slerp : lerp), draw())),
          slider("how far", { min: 0, max: 1, value: t }, (v) => ((t = v), drawOne())).node),
        strip,
      ];
    },

    // A drawing, made like MNIST's, through the encoder and back; then the code can be moved.
    draw(m) {
      const side = 140, thick = 12, step = 4; // as thick as MNIST's strokes once the drawing fills most of the board
      const strokes = [[[42, 42], [98, 42], [62, 106]]]; // a 7, until somebody draws
      const cursor = [side / 2, side / 2];
      let untouched = true, penDown = false, keys = false, x, z;
      const canvas = element("canvas", { className: "explorer-board", width: side, height: side, tabIndex: 0 });
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-label", "Drawing board. Draw with the mouse or a finger. With keys: arrows move the pen, "
        + "the space bar sets it down and lifts it, backspace takes back a stroke.");
      const given = picture("The drawing as the encoder is given it"), back = picture("What the decoder makes of its code");
      const read = reading(m), pen = canvas.getContext("2d", { willReadFrequently: true });
      const state = element("p", { className: "explorer-reading" });
      state.setAttribute("aria-live", "polite");
      const error = element("p");

      function decodeAgain() {
        const image = decode(m.name, z);
        paint(back, image);
        read.set(z);
        error.textContent = `squared error: ${image.reduce((sum, v, i) => sum + (v - x[i]) ** 2, 0).toFixed(1)} an image`;
      }
      const sliders = m.mean.map((_, i) => slider(`mu${i + 1}`, { min: -4, max: 4 }, (v) => ((z[i] = v), decodeAgain())));

      function draw() {
        pen.fillStyle = "#000";
        pen.fillRect(0, 0, side, side);
        Object.assign(pen, { strokeStyle: "#fff", lineWidth: thick, lineCap: "round", lineJoin: "round" });
        for (const stroke of strokes) {
          pen.beginPath();
          pen.moveTo(...stroke[0]);
          for (const [i, j] of stroke) pen.lineTo(i + 0.01, j); // a stroke of one point is a dot
          pen.stroke();
        }
        const ink = pen.getImageData(0, 0, side, side).data;
        x = asMNIST(Float32Array.from({ length: side * side }, (_, i) => ink[4 * i] / 255), side);
        z = encode(m.name, x).mu;
        sliders.forEach((s, i) => s.set(z[i]));
        paint(given, x);
        decodeAgain();
        if (keys) {
          Object.assign(pen, { strokeStyle: penDown ? "#E69F00" : "#56B4E9", lineWidth: 2 });
          pen.beginPath();
          pen.arc(...cursor, thick / 2 + 1, 0, 7);
          pen.stroke();
        }
      }
      const begin = (point) => {
        if (untouched) strokes.length = 0;
        untouched = false;
        strokes.push([point]);
      };
      const setPen = (down) => {
        penDown = down;
        state.textContent = down ? "the pen is down" : "the pen is up";
        if (down) begin([...cursor]);
      };
      const place = (event) => {
        const box = canvas.getBoundingClientRect();
        return [(event.clientX - box.left) / box.width * side, (event.clientY - box.top) / box.height * side];
      };
      const clear = () => ((strokes.length = 0), (untouched = false), setPen(false), draw());
      const undo = () => (strokes.pop(), setPen(false), draw());
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        keys = penDown = false;
        begin(place(event));
        draw();
      });
      canvas.addEventListener("pointermove", (event) => {
        if (!canvas.hasPointerCapture(event.pointerId) || !strokes.length) return;
        strokes[strokes.length - 1].push(place(event));
        draw();
      });
      canvas.addEventListener("keydown", (event) => {
        const way = ARROWS[event.key];
        if (way) {
          way.forEach((v, i) => (cursor[i] = Math.min(side - thick, Math.max(thick, cursor[i] + step * v))));
          if (penDown) strokes[strokes.length - 1].push([...cursor]);
        } else if (event.key === " ") setPen(!penDown);
        else if (event.key === "Backspace") undo();
        else return;
        event.preventDefault();
        keys = true;
        draw();
      });
      canvas.addEventListener("blur", () => ((keys = false), draw()));
      draw();
      const shown = (image, text) => element("div", { className: "explorer-shown" }, image, element("p", {}, text));
      return [
        element("div", { className: "explorer-side" }, canvas, state,
          element("div", { className: "explorer-buttons" }, button("clear", clear), button("take back a stroke", undo))),
        element("div", { className: "explorer-side explorer-both" },
          shown(given, "given to the encoder"), shown(back, "given back by the decoder")),
        element("div", { className: "explorer-controls" }, read.node, error, ...sliders.map((s) => s.node)),
      ];
    },

    // The same z through the decoder of each epoch that was kept; of a VAE, where the codes lay then.
    training(m) {
      const t = model(`${m.name}.training`), side = Math.sqrt(t.draws.length), last = t.epochs.length - 1;
      const grid = picture(`Images of the same ${t.draws.length} draws of z, at the epoch chosen`, side, side);
      grid.classList.add("explorer-grid");
      const images = new Map();
      const imagesAt = (n) => {
        if (!images.has(n)) images.set(n, t.draws.map((z) => decode(m.name, z, t.weights[n])));
        return images.get(n);
      };
      const map = t.points && element("canvas", { className: "explorer-map explorer-still", width: MAP, height: MAP });
      map?.setAttribute("role", "img");
      map?.setAttribute("aria-label", "The codes of test images at the epoch chosen, coloured by digit, in one plane for all epochs");
      const drawMap = (n) => {
        const points = t.points[n] ?? m.points.subarray(0, t.points[0].length);
        const sums = Array.from({ length: 10 }, () => [0, 0, 0]);
        for (let i = 0; 2 * i < points.length; i++) {
          const sum = sums[Number(m.digits[i])];
          [points[2 * i], points[2 * i + 1], 1].forEach((v, j) => (sum[j] += v));
        }
        scatter(map, points, m.digits, sums.map(([s, t, k]) => [s / k, t / k]), placing(reach(m)));
      };
      const draw = (n) => {
        imagesAt(n).forEach((image, i) => paint(grid, image, i));
        if (map) drawMap(n);
      };
      draw(last);
      return [
        element("div", { className: "explorer-side" }, grid),
        element("div", { className: "explorer-controls" },
          slider("epoch", { min: 0, max: last, step: 1, value: last, say: (n) => String(t.epochs[n]) }, draw).node),
        ...(map ? [element("div", { className: "explorer-side" }, map)] : []),
      ];
    },
  };

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const SOURCES = {
    draw: (m) => source(m, "Encoder and decoder"),
    training: (m) => source(m, "Decoder", model(`${m.name}.training`).epochs.join(", ").replace(/, (\d+)$/, " and $1")),
  };

  function mount(box) {
    try {
      const m = model(box.dataset.model), { kind } = box.dataset;
      const parts = KINDS[kind](m);
      box.replaceChildren(title(m), ...parts, (SOURCES[kind] ?? source)(m)); // only now: where something failed,
      box.classList.add("explorer-alive"); // the picture stays
    } catch (error) {
      console.error(error); // and the other explorers live
    }
  }

  // What modulated.js adds kinds of explorers with.
  Object.assign(globalThis.ganvae, { mount, KINDS });
  const start = () => document.querySelectorAll(".explorer").forEach((box) => KINDS[box.dataset.kind] && mount(box));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
