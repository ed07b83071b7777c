// What the book's explorers are put together from: controls with their names and values, pictures, the map of codes.
// decoder.js, loaded before, computes; explorer.js and modulated.js, loaded after, use this.
(() => {
  "use strict";

  const { dot, mix, normal } = globalThis.ganvae;

  function element(tag, properties = {}, ...children) {
    const { dataset, ...rest } = properties;
    const node = Object.assign(document.createElement(tag), rest);
    Object.assign(node.dataset, dataset);
    node.append(...children);
    return node;
  }

  let count = 0;

  const twoDecimals = (v) => (Math.round(100 * v) / 100 || 0).toFixed(2).replace("-", "−");

  /** A control under its name. */
  const labelled = (text, control, ...more) =>
    element("div", { className: "explorer-slider" }, element("label", { htmlFor: control.id }, text), control, ...more);

  /** A labelled range with its value shown, as `say` has it; onInput gets the number. */
  function slider(text, { min, max, step = 0.01, value = 0, say = twoDecimals }, onInput) {
    const id = `explorer-${++count}`;
    const shown = element("output", { htmlFor: id });
    const input = element("input", { type: "range", id, min, max, step, value });
    const show = () => {
      shown.value = say(Number(input.value));
      input.setAttribute("aria-valuetext", shown.value);
    };
    input.addEventListener("input", () => (show(), onInput(Number(input.value))));
    const set = (v) => ((input.value = v), show());
    show();
    return { node: labelled(text, input, shown), set };
  }

  /** A labelled choice among texts; onChange gets the value chosen. */
  function choice(text, options, value, onChange) {
    const select = element("select", { id: `explorer-${++count}` },
      ...Object.entries(options).map(([key, shown]) => element("option", { value: key, selected: key === value }, shown)));
    select.addEventListener("change", () => onChange(select.value));
    return labelled(text, select);
  }

  function picture(label, columns = 1, rows = 1) {
    const canvas = element("canvas", { className: "explorer-image", width: 28 * columns, height: 28 * rows });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", label);
    return canvas;
  }

  /** Paint the n-th image of a picture, counted row by row. */
  function paint(canvas, pixels, n = 0) {
    const image = new ImageData(28, 28), columns = canvas.width / 28;
    for (let i = 0; i < 784; i++) {
      image.data.fill(Math.round((pixels[i] + 1) * 127.5), 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 28 * (n % columns), 28 * Math.floor(n / columns));
  }

  const button = (text, onClick) => {
    const node = element("button", { type: "button", className: "explorer-button" }, text);
    node.addEventListener("click", onClick);
    return node;
  };

  /** Which digit's mean code is nearest, or for a GAN, which has no codes, how long z is: read out when it changes. */
  function reading(m) {
    const node = element("p", { className: "explorer-reading" });
    node.setAttribute("aria-live", "polite");
    const usual = Math.sqrt(m.latent_dim).toFixed(1);
    return {
      node,
      set(z) {
        const far = m.means?.map((mean) => mix(z, mean, 1, -1)).map((v) => dot(v, v));
        const text = far ? `nearest mean code: that of the digit ${far.indexOf(Math.min(...far))}`
          : `length of z: ${Math.sqrt(dot(z, z)).toFixed(1)}; a draw's is near √${m.latent_dim} = ${usual}`;
        if (node.textContent !== text) node.textContent = text;
      },
    };
  }

  const KIND = { vae: "VAE", gan: "GAN" };
  const title = (m) => element("p", { className: "explorer-title" },
    m.variation === "report" ? `The report's ${KIND[m.model]}`
      : `A ${m.variation === "default" ? "" : `${m.variation} `}${KIND[m.model]}, not the report's`);
  const source = (m, part = "Decoder", epochs = m.epochs) => element("p", { className: "explorer-source" },
    `${part} of the run ${m.run}, after ${epochs} epochs, in this page.`);

  // Okabe & Ito's palette with grey and black, as in the book's figures (ganvae_lib.plots.COLOURS).
  const DIGITS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D00", "#7F3C8D", "#8A8A8A", "#000000"];

  const LABEL = 10; // radius of a digit's label on a map

  /** Places pushed from each other until none is nearer than `least` to another: labels that hide nothing. */
  function apart(places, least) {
    const moved = places.map((place) => [...place]);
    for (let round = 0; round < 60; round++) {
      let close = false;
      moved.forEach((a, i) => moved.slice(i + 1).forEach((b) => {
        const [x, y] = [b[0] - a[0] || 0.01, b[1] - a[1]], far = Math.hypot(x, y);
        if (far >= least) return;
        close = true;
        const push = (least - far) / 2 / far;
        [a[0], a[1], b[0], b[1]] = [a[0] - push * x, a[1] - push * y, b[0] + push * x, b[1] + push * y];
      }));
      if (!close) break;
    }
    return moved;
  }

  /** The points of a map, coloured by digit, with each digit written at its centre; `place` gives pixels of the canvas. */
  function scatter(canvas, points, digits, centres, place) {
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.globalAlpha = 0.6;
    for (let i = 0; 2 * i < points.length; i++) {
      const [x, y] = place([points[2 * i], points[2 * i + 1]]);
      pen.fillStyle = DIGITS[Number(digits[i])];
      pen.fillRect(x - 1.25, y - 1.25, 2.5, 2.5);
    }
    pen.globalAlpha = 1;
    pen.font = "bold 15px sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    apart(centres.map(place), 2 * LABEL + 2).forEach(([x, y], digit) => {
      pen.fillStyle = "#fff";
      pen.beginPath();
      pen.arc(x, y, LABEL, 0, 7);
      pen.fill();
      pen.strokeStyle = DIGITS[digit];
      pen.lineWidth = 2;
      pen.stroke();
      pen.fillStyle = "#000";
      pen.fillText(digit, x, y + 1);
    });
  }

  const MAP = 320; // pixels a side
  const reach = (m) => 2.6 * Math.max(...m.spread); // of a map, from its middle
  const placing = (span) => ([s, t]) => [(s / span + 1) * MAP / 2, (1 - t / span) * MAP / 2];

  Object.assign(globalThis.ganvae, {
    KIND,
    pieces: { element, slider, choice, picture, paint, button, reading, title, source, scatter, MAP, reach, placing, normal },
  });
})();
