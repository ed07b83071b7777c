// What every page does beyond the theme: buttons that say what they open, and regions that scroll and can be reached.
(() => {
  "use strict";

  /** A folded solution's button is named after the exercise before it, not 'Toggle hidden content'. */
  function nameButtons() {
    const text = (node) => node.textContent.replace(/\s+/g, " ").trim();
    let exercise = "";
    for (const title of document.querySelectorAll(".admonition > .admonition-title")) {
      if (title.parentElement.matches(".exercise")) exercise = text(title.querySelector(".caption-number") ?? title);
      const button = title.querySelector(".toggle-button");
      const solved = title.parentElement.matches(".solution") && exercise;
      if (button) button.setAttribute("aria-label", solved ? `Solution to ${exercise}` : text(title));
    }
  }

  /** The theme takes the focus away from a button that was pressed. From the keyboard it comes back. */
  function keepFocus() {
    for (const button of document.querySelectorAll(".theme-switch-button, .primary-toggle, .secondary-toggle")) {
      button.addEventListener("click", (event) => event.detail === 0 && button.focus());
    }
  }

  /** Tab goes through what a page does; its headings are reached through the contents. */
  function shortenTab() {
    for (const link of document.querySelectorAll("a.headerlink")) link.tabIndex = -1;
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
  const WIDE = ["div.math > mjx-container", "mjx-container.long", "div.highlight pre", ".text_html", ".pst-scrollable-table-container", ".panels"]
    .map((box) => `.bd-article ${box}`).join();

  /** Two panels side by side are too small for a phone: such a figure keeps its size there and scrolls in its own box. */
  function boxPanels() {
    for (const figure of document.querySelectorAll(".bd-article .cell_output img")) {
      const { naturalWidth: width, naturalHeight: height } = figure;
      if (width < 600 || width < 1.6 * height || width > 3.6 * height) continue;
      const box = document.createElement("span");
      box.className = "panels";
      figure.replaceWith(box);
      box.append(figure);
    }
  }

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
    keepFocus();
    shortenTab();
    boxPanels();
    markWide();
    new MutationObserver(nameSwitch).observe(document.documentElement, { attributeFilter: ["data-mode"] });
    addEventListener("resize", soon);
    const article = document.querySelector(".bd-article");
    if (article) new MutationObserver(soon).observe(article, { childList: true, subtree: true }); // formulas come late
  }

  if (document.readyState === "complete") start();
  else addEventListener("load", start); // after the extensions have made their buttons
})();
