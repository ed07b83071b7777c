// Sets formulas as they come near the view, a few at a time, so that a long page answers at once. Until then one reads
// its source. `courseMaths.all()` sets the rest, for paper and for tests; `near()` is done when what is near is set.
(() => {
  "use strict";

  const MARGIN = 800; // pixels around the view
  const SLICE = 8; // milliseconds at a stretch

  const waiting = new Set();
  let running = null;

  /** Let the browser answer what came in meanwhile. */
  const pause = () => new Promise((resume) => setTimeout(resume));

  async function work() {
    await MathJax.startup.promise;
    let several = 1;
    while (waiting.size) {
      const some = [...waiting].slice(0, several);
      some.forEach((formula) => waiting.delete(formula));
      const began = performance.now();
      await MathJax.typesetPromise(some);
      several = Math.max(1, Math.min(40, Math.round((several * SLICE) / (performance.now() - began))));
      await pause();
    }
  }

  const near = new IntersectionObserver(
    (entries) => set(entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target)),
    { rootMargin: `${MARGIN}px` },
  );

  function set(formulas) {
    for (const formula of formulas) {
      near.unobserve(formula);
      if (!formula.querySelector("mjx-container")) waiting.add(formula);
    }
    if (waiting.size) running ??= work().finally(() => (running = null)); // a formula that fails stops no other
    return running ?? Promise.resolve();
  }

  const unset = () => [...document.querySelectorAll(".math")].filter((one) => !one.querySelector("mjx-container"));

  /** All that is left, at one stretch. */
  async function all() {
    await set([]);
    const rest = unset();
    rest.forEach((formula) => near.unobserve(formula));
    if (rest.length) await MathJax.startup.promise.then(() => MathJax.typesetPromise(rest));
  }

  globalThis.courseMaths = { all, near: () => set([]) };
  unset().forEach((formula) => near.observe(formula));
  addEventListener("beforeprint", () => {
    const rest = unset();
    if (rest.length) globalThis.MathJax?.typeset?.(rest); // MathJax may not be there yet
  });
})();
