// Light or dark, as somebody chose in this browser (see ui/theme.js). Runs before anything is painted, or the page
// would flash in the other one: so it is no module, stands in the head, and does nothing else.
(() => {
  const colours = [...document.querySelectorAll('meta[name="theme-color"]')].map((meta) => ({
    meta: /** @type {HTMLMetaElement} */ (meta),
    own: /** @type {HTMLMetaElement} */ (meta).content,
  }));

  function apply() {
    let chosen = null;
    try {
      chosen = localStorage.getItem("halley-theme");
    } catch {
      // Storage is switched off: as the system wants it.
    }
    const theme = chosen === "light" || chosen === "dark" ? chosen : "auto";
    document.documentElement.dataset.theme = theme;
    // The frame of the browser goes along; the first of the two colours is the light one.
    for (const { meta, own } of colours) {
      meta.content = theme === "auto" ? own : colours[theme === "light" ? 0 : 1]?.own ?? own;
    }
  }

  apply();
  // Another tab, this tab, and a page that comes back from the history as it was.
  for (const name of ["storage", "halley-theme", "pageshow"]) addEventListener(name, apply);
})();
