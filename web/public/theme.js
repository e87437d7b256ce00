// Before anything is drawn: the reader's own choice of light or dark; without it the system's counts. lib/theme.ts keeps it so.
const root = document.documentElement;
try {
  const theme = localStorage.getItem("whet.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
} catch {
  // a browser that keeps nothing follows the system
}
root.toggleAttribute("data-dark", root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
