"""Encoder–decoder models (T5, BART and their kin): what tells them, which recipes tune them, how rows are written.

The encoder reads the prompt, the decoder writes the answer. Rows carry `start`, the token that the decoder begins with;
the recipes are the same. Their tensors: sources.py.
"""

from ..data import ChatTokens, Fitting
from ..errors import TrainingError

# The recipes that need nothing but log-probabilities of answers.
RECIPES = ("sft", "dpo", "kto", "orpo", "simpo")


def seq2seq_config(path: str):
    """The configuration of a folder or hub id whose model is an encoder–decoder; None of any other."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError):  # whoever loads the weights says what is wrong
        return None
    return config if config.is_encoder_decoder else None


def start_of(path: str) -> int | None:
    """The token that the decoder of a folder or hub id begins with; None of a model that is no encoder–decoder."""
    config = seq2seq_config(path)
    if config is None:
        return None
    return start_in(config)


def start_in(config) -> int:
    """The token that the decoder of an encoder–decoder with this configuration begins with. Raises TrainingError."""
    start = getattr(config, "decoder_start_token_id", None)
    if start is None:
        start = config.get_text_config(decoder=True).bos_token_id
    if start is None:
        message = "This encoder–decoder's config.json has no decoder_start_token_id. Add it."
        raise TrainingError("base_missing", message)
    return start


def recipe_check(path: str, recipe: str) -> None:
    """Raise TrainingError (`bad_run`) where a recipe has no meaning for an encoder–decoder, or is not made for one."""
    if recipe not in RECIPES and seq2seq_config(path):
        raise TrainingError(
            "bad_run",
            f"{path} is an encoder–decoder, and {recipe} is for causal models: {', '.join(RECIPES)} tune it. Name a "
            "causal base, or learn from pairs with dpo.",
        )


# --- Tokens ----------------------------------------------------------------------------------------------------------


def tokens_of(tokenizer, path: str) -> ChatTokens:
    """How conversations are written for the model of a folder or hub id. Raises TrainingError."""
    start = start_of(path)
    return ChatTokens(tokenizer, path) if start is None else SourceTokens(tokenizer, path, start)


def plainly(messages: list[dict]) -> str:
    """A conversation for a model without a chat template: one message as it is, below the system's; of several turns a
    line each with who says it, up to where the assistant is to speak."""
    said = [message for message in messages if message["role"] != "system"]
    system = [message["content"] for message in messages if message["role"] == "system"]
    if len(said) == 1:
        return "\n".join([*system, said[0]["content"]])
    lines = [f"{message['role'].capitalize()}: {message['content']}" for message in said]
    return "\n".join([*system, *lines, "Assistant:"])


class SourceTokens(ChatTokens):
    """Conversations in tokens for an encoder–decoder: by the chat template where there is one, else plainly.

    A prompt and an answer are each as the tokenizer writes a text, with its own tokens around it, the last one the end.
    """

    def __init__(self, tokenizer, place_of_base: str, start: int):
        self.tokenizer, self.start = tokenizer, start
        config = seq2seq_config(place_of_base)
        self.context = getattr(config.get_text_config(), "max_position_embeddings", None)

    def prompt(self, messages: list[dict]) -> list[int]:
        if self.tokenizer.chat_template:
            return super().prompt(messages)
        return self._ended(self.tokenizer(plainly(messages))["input_ids"])

    def answer(self, messages: list[dict], text: str) -> list[int]:
        if self.tokenizer.chat_template:
            return super().answer(messages, text)
        return self._ended(self.tokenizer(text_target=text)["input_ids"])

    def _ended(self, ids: list[int]) -> list[int]:
        end = self.tokenizer.eos_token_id
        return ids if ids[-1:] == [end] else [*ids, end]

    def fit(self, fitting: Fitting, prompt: list[int], answer_tokens: int, line: int) -> list[int] | None:
        """Prompt and answer each have the whole length, for each stands in a row of its own.

        A prompt that is cut keeps the token that begins a text (BART's <s>).
        """
        room = min(fitting.max_length, self.context or fitting.max_length)
        if answer_tokens > room:
            fitting.dropped.append(line)
            return None
        kept = fitting.prompt(prompt, fitting.max_length - room, line)
        if kept is not None and len(kept) < len(prompt) and prompt[0] in self.tokenizer.all_special_ids:
            kept[0] = prompt[0]
        return kept
