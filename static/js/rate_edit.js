// A judgment that is said again: the same controls as on the rating page, one task, sent as a plain form.
import { startMarks } from "./rate_marks.js";
import { startRanking } from "./rate_ranking.js";
import { readAgain, readTask } from "./rate_reading.js";
import { startScores } from "./rate_scores.js";
import { typeset } from "./maths.js";

const task = document.querySelector(".rate-task");
startRanking(task);
startScores(task);
startMarks(task);
readTask(task);
typeset(task).then(readAgain);
task.addEventListener("keydown", ({ key, target }) => {
  if (key === "Escape" && target.matches("textarea, input")) task.querySelector("#question").focus();
});
