// Light, dark, or as the system has it. Loaded blocking in <head>, so that no page flashes in the wrong theme.
(() => {
  const KEY = "feedbackhub-theme";
  const root = document.documentElement;
  // The catalogue is there by the time that the page is; before, there is no label to fill.
  const gettext = (text) => globalThis.django?.gettext?.(text) ?? text;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is forbidden: follow the system
    }
  };

  function apply(theme) {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    const words = { light: gettext("Theme: light"), dark: gettext("Theme: dark") }[theme] ?? gettext("Theme: as the system has it");
    for (const label of document.querySelectorAll("[data-theme-label]")) label.textContent = words;
    for (const button of document.querySelectorAll("[data-theme-toggle]")) button.title = words;
    document.dispatchEvent(new CustomEvent("themechange", { detail: { theme: theme ?? "system" } }));
  }

  // The first press always changes what one sees; the third goes back to following the system.
  function next(theme) {
    const [shown, other] = system.matches ? ["dark", "light"] : ["light", "dark"];
    if (theme === other) return shown;
    return theme === shown ? null : other;
  }

  root.classList.add("js");
  apply(stored());
  document.addEventListener("DOMContentLoaded", () => apply(stored()));
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || !event.target.closest("[data-theme-toggle]")) return;
    const theme = next(stored());
    try {
      if (theme) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch {
      // the choice then lasts for this page only
    }
    apply(theme);
  });
  // The event comes before the styles follow: whoever reads colours (charts) is told a frame later.
  system.addEventListener("change", () => requestAnimationFrame(() => setTimeout(() => apply(stored()))));
  window.addEventListener("storage", (event) => event.key === KEY && apply(event.newValue));
})();
