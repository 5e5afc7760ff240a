// Runs before the page is drawn, so that it never flashes in the other colours. Not a module: modules run later.
(() => {
  const chosen = localStorage.getItem("impasto-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
