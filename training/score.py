"""The recipe score: what a reward model thinks of answers; a line each in scores.jsonl."""

from . import data
from .config import ScoreSettings
from .directory import RunDirectory, to_json, write_whole
from .models import base_of, load_tokenizer
from .networks.reading import tokens_of
from .rewards.reward_model import answer_rewards, reward_load

SCORES = "scores.jsonl"


def score(run: RunDirectory, spec: dict, settings: ScoreSettings) -> dict:
    """Run the recipe; returns what result.json is to say.

    run.json's `reward` (else `base`) names the reward model: {path, adapter}. data.answers: rows {id, prompt,
    completion}, conversational. scores.jsonl: {id, reward, heads}: the mean of the heads and each of them, over the
    temperature that was found on the validation pairs, so that σ of a difference is the probability of being preferred.
    """
    base = base_of({"base": spec.get("reward") or spec.get("base")})
    name = data.data_file(spec, "answers")
    tokenizer = load_tokenizer(base.path)
    fitting = data.Fitting(settings.max_length)
    read = list(data.read_rows(run.path, name))
    rows = data.answered(tokens_of(tokenizer, base.path), read, fitting)
    if words := fitting.words(name, len(read)):
        run.warn(words)
    data.need_rows(rows, name, "there is no answer to score.")
    run.check_stop()
    model = reward_load(base, settings.precision)
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def told(done: int) -> None:
        progress = 0.05 + 0.9 * done / len(rows)
        run.status("scoring", progress=progress, message=f"{done} of {len(rows)} answers")

    found = answer_rewards(model, rows, pad, batch_size=settings.batch_size, check_stop=run.check_stop, told=told)
    lines = (
        {"id": row.id, "reward": sum(found[number]) / len(found[number]), "heads": found[number]}
        for number, row in enumerate(rows)
    )
    write_whole(run.path / SCORES, "".join(to_json(line) + "\n" for line in lines))
    return {"steps": len(rows), "rows": len(rows), "metrics": {}}
