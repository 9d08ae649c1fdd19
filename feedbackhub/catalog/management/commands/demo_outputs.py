"""`manage.py demo_outputs`: have the embedded model answer the demo's prompts anew, in each contender's voice."""

import json
import shutil
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from feedbackhub.catalog.content import messages_of
from feedbackhub.catalog.generations import OUTPUTS_FILE, PROMPTS_FILE, chat
from feedbackhub.runs.child import Child
from feedbackhub.runs.directory import directory_place, directory_stage, log_tail, result_read, rows_read
from feedbackhub.runs.events import lines_after

FOLDER = Path(__file__).parents[2] / "demo"


class Command(BaseCommand):
    help = "Write feedbackhub/catalog/demo/outputs.jsonl anew: real answers of the embedded model. Minutes on a CPU."

    def add_arguments(self, parser):
        parser.add_argument("--folder", type=Path, default=FOLDER, help="with prompts.jsonl and contenders.json")

    def handle(self, *args, folder: Path, **options):
        if not (settings.EMBEDDED_MODEL_DIR / "config.json").exists():
            where = settings.EMBEDDED_MODEL_DIR
            raise CommandError(
                f"The embedded base model is not in {where}; get it with: python -m training fetch-base {where}"
            )
        prompts = [json.loads(line) for line in (folder / "prompts.jsonl").open(encoding="utf-8")]
        contenders = json.loads((folder / "contenders.json").read_text(encoding="utf-8"))
        # Kept until all is done: interrupted, it goes on after its last answer.
        work = settings.FEEDBACKHUB_HOME / "demo-outputs"
        answers = {one["name"]: self._answers(work / one["name"], one, prompts) for one in contenders}
        written = folder / "outputs.jsonl.tmp"
        with written.open("w", encoding="utf-8") as file:
            for row in prompts:
                outputs = [{"model": name, **given[row["id"]]} for name, given in answers.items()]
                file.write(json.dumps({**row, "outputs": outputs}, ensure_ascii=False) + "\n")
        written.replace(folder / "outputs.jsonl")
        shutil.rmtree(work)
        count = len(prompts) * len(contenders)
        self.stdout.write(f"{count} answers of {len(contenders)} contenders written to {folder / 'outputs.jsonl'}")

    def _answers(self, directory: Path, contender: dict, prompts: list[dict]) -> dict[str, dict]:
        """The contender's answers by prompt id, from a run in `directory`."""
        spec = {
            "recipe": "generate",
            "base": {"path": str(settings.EMBEDDED_MODEL_DIR)},
            "data": {"prompts": PROMPTS_FILE},
            "settings": {**contender["decoding"], "n": 1},
            "seed": contender["decoding"].get("seed", 0),
        }
        rows = [{"id": row["id"], "messages": chat(messages_of(row["prompt"]))} for row in prompts]
        _directory_ready(directory, spec, rows)
        with tqdm(total=len(rows), desc=contender["name"], unit="answer") as bar:
            _run(directory, bar)
        if (result := result_read(directory)) is None or result["status"] != "completed":
            why = ((result or {}).get("error") or {}).get("message") or log_tail(directory, 5)
            raise CommandError(f"{contender['name']}: {why or 'the run was stopped; call this again to go on'}")
        found = rows_read(directory / OUTPUTS_FILE)
        return {row["id"]: {name: row[name] for name in ("text", "tokens", "seed")} for row in found}


def _directory_ready(directory: Path, spec: dict, rows: list[dict]) -> None:
    """The run directory as it was left, if it was made for the same wish; else a new one."""
    staged = directory_stage(directory.parent, spec=spec, files={PROMPTS_FILE: rows})
    same = directory.exists() and all(
        (directory / name).read_bytes() == (staged / name).read_bytes() for name in ("run.json", PROMPTS_FILE)
    )
    if same:
        shutil.rmtree(staged)
    else:
        shutil.rmtree(directory, ignore_errors=True)
        directory_place(staged, directory)


def _run(directory: Path, bar: tqdm) -> None:
    """Run it to its end, showing its progress; Ctrl-C stops it in good order."""
    child = Child.start(directory)
    offset = 0
    try:
        while not child.wait(0.5):
            for line in lines_after(directory / "events.jsonl", offset):
                offset = line.end
                if line.type == "status" and (progress := line.data.get("progress")) is not None:
                    bar.update(round(progress * bar.total) - bar.n)
    except KeyboardInterrupt:
        child.terminate()
        child.wait(settings.RUN_STOP_GRACE_SECONDS)
        raise CommandError("Stopped; call this again to go on.") from None
    bar.update(bar.total - bar.n if child.exit_code == 0 else 0)
