// Before anything is drawn: the reader's own choice of light or dark, if there is one. Without it the system's counts.
try {
  const theme = localStorage.getItem("whet.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // a browser that keeps nothing follows the system
}
