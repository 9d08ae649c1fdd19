"""How a base reads conversations: by its chat template, or as two segments where it is an encoder. Imports no torch."""

import json
from pathlib import Path

from ..data import ChatTokens, Fitting
from ..errors import TrainingError
from . import encoder_decoder

# Encoders that a reward model can stand on, by their configuration's model_type.
KINDS = ("bert", "modernbert", "roberta", "xlm-roberta", "distilbert", "electra")
OFFSET_KINDS = ("roberta", "xlm-roberta")  # their positions begin after that of the padding token
# What never asks a model to write, or asks another than the base.
WITHOUT_WRITING = ("reward", "score", "estimate", "weights")
SUITES_WITHOUT_WRITING = ("reward", "text-overlap", "answer-match")


def tokens_of(tokenizer, path: str) -> ChatTokens:
    """How conversations are written for the model of a folder or hub id, of any kind. Raises TrainingError."""
    return SegmentTokens(tokenizer, path) if is_encoder(path) else encoder_decoder.tokens_of(tokenizer, path)


def is_encoder(path: str) -> bool:
    """Whether the base in a folder (or of a hub id) is an encoder that a reward model can stand on."""
    return kind_of(path) in KINDS


def kind_of(path: str) -> str | None:
    """The model_type of a folder's configuration, or a hub id's; None of a decoder, or where none can be read."""
    if (folder := Path(path)).is_dir():
        try:
            config = json.loads((folder / "config.json").read_text())
        except (OSError, ValueError):
            return None
        return None if config.get("is_decoder") else config.get("model_type")
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError):
        return None
    return None if getattr(config, "is_decoder", False) else config.model_type


def encoder_check(recipe: str, spec: dict) -> None:
    """Raise TrainingError where a recipe would have an encoder write, or tune it in a way that is not known.

    Looks at folders only.
    """
    base, settings = spec.get("base"), spec.get("settings") or {}
    path = base.get("path") if isinstance(base, dict) else None
    if not isinstance(path, str) or not Path(path).is_dir() or not is_encoder(path):
        return
    suite = settings.get("suite", "text-overlap") if recipe == "evaluate" else None
    if recipe not in WITHOUT_WRITING and suite not in SUITES_WITHOUT_WRITING:
        message = (
            f"{path} is an encoder ({kind_of(path)}): it reads texts and writes none, so {recipe} cannot use it. An "
            "encoder can be the base of a reward model (recipe reward); take a causal model here."
        )
        raise TrainingError("bad_run", message)
    if recipe != "reward":
        return
    if settings.get("method") == "qlora" or base.get("quantisation"):
        message = "qlora needs a causal base; encoders are small: use lora, frozen or full."
        raise TrainingError("bad_setting", message)
    if base.get("adapter"):
        message = f"{path} is an encoder, and an adapter on one cannot be tuned further: leave base.adapter out."
        raise TrainingError("bad_run", message)


class SegmentTokens(ChatTokens):
    """Conversations in tokens as `data.ChatTokens` has them, for an encoder: the answer begins and ends with [SEP].

    [CLS] is added when a batch is made. The prompt is its text, or where there are several messages a line for each
    with its role: such models have no chat template.
    """

    def __init__(self, tokenizer, path: str):
        from transformers import AutoConfig

        self.tokenizer = tokenizer
        whole = tokenizer([""], [""])["input_ids"][0]
        if len(whole) < 3 or tokenizer.pad_token_id is None:
            message = (
                f"The tokenizer of {path} does not say how two texts are put together for it ([CLS], [SEP], [PAD])."
            )
            raise TrainingError("base_missing", message)
        self.first, self.middle, self.last = whole[0], whole[1:-1], whole[-1]
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        offset = config.pad_token_id + 1 if config.model_type in OFFSET_KINDS else 0
        self.positions = config.max_position_embeddings - offset

    def prompt(self, messages: list[dict]) -> list[int]:
        if len(messages) == 1 and messages[0]["role"] == "user":
            return self._text(messages[0]["content"])
        return self._text("\n".join(f"{message['role']}: {message['content']}" for message in messages))

    def answer(self, messages: list[dict], text: str) -> list[int]:
        return [*self.middle, *self._text(text), self.last]

    def fit(self, fitting: Fitting, prompt: list[int], answer_tokens: int, line: int) -> list[int] | None:
        """As far as the encoder has positions; [CLS] needs one."""
        beyond = max(0, fitting.max_length - self.positions)
        return fitting.prompt(prompt, answer_tokens + beyond + 1, line)

    def _text(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]
