// A judgment that is said again: the same controls as on the rating page, one task, sent as a plain form.
import { startRanking } from "./rate_ranking.js";
import { startScores } from "./rate_scores.js";

const task = document.querySelector(".rate-task");
startRanking(task);
startScores(task);
task.addEventListener("keydown", ({ key, target }) => {
  if (key === "Escape" && target.matches("textarea, input")) task.querySelector("#question").focus();
});
