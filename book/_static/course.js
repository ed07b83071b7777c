// What every page does beyond the theme: buttons that say what they open, and regions that scroll and can be reached.
(() => {
  "use strict";

  /** A folded solution's button is named after its exercise, not 'Toggle hidden content'. */
  function nameButtons() {
    for (const button of document.querySelectorAll(".toggle-button")) {
      const title = button.closest(".admonition-title");
      if (title) button.setAttribute("aria-label", title.textContent.replace(/\s+/g, " ").trim());
    }
  }

  const MODES = { auto: "as the system", light: "light", dark: "dark" };

  /** The theme's switch says which of its three states it is in. */
  function nameSwitch() {
    for (const button of document.querySelectorAll(".theme-switch-button")) {
      const mode = document.documentElement.dataset.mode;
      button.setAttribute("aria-label", `Colour mode: ${MODES[mode] ?? mode}`);
    }
  }

  // What may be wider than the column. It scrolls in its own box, shows that it does, and the keyboard reaches it then.
  const WIDE = ["div.math > mjx-container", "mjx-container.long", "div.highlight pre", ".text_html", ".pst-scrollable-table-container"]
    .map((box) => `.bd-article ${box}`).join();

  /** An inline formula longer than its line gets a box of its own. */
  function markLong() {
    for (const formula of document.querySelectorAll(".bd-article mjx-container:not([display='true']):not(.long)")) {
      const line = formula.closest("p, li, td, th, dd, dt, figcaption, div");
      const inner = formula.firstElementChild;
      if (inner && line && line.clientWidth && inner.getBoundingClientRect().width > line.clientWidth) {
        formula.classList.add("long");
      }
    }
  }

  function markWide() {
    markLong();
    for (const box of document.querySelectorAll(WIDE)) {
      const wide = box.scrollWidth > box.clientWidth + 1;
      if (wide === box.classList.contains("scrolls")) continue;
      box.classList.toggle("scrolls", wide);
      if (wide) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }

  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(markWide, 120);
  };

  function start() {
    nameButtons();
    nameSwitch();
    markWide();
    new MutationObserver(nameSwitch).observe(document.documentElement, { attributeFilter: ["data-mode"] });
    addEventListener("resize", soon);
    const article = document.querySelector(".bd-article");
    if (article) new MutationObserver(soon).observe(article, { childList: true, subtree: true }); // formulas come late
  }

  if (document.readyState === "complete") start();
  else addEventListener("load", start); // after the extensions have made their buttons
})();
