// Esc leaves the comment, so that the keys act again.
document.addEventListener("keydown", ({ key, target }) => {
  if (key === "Escape" && target.matches("textarea")) target.blur();
});
