"""The recipe chat: models that stay loaded and answer what comes into their inbox, word by word, until nobody asks.

inbox.jsonl is appended to while the run lives: a line `{"id", "model", "messages", "settings", "seed"}` asks the model
of that name in run.json's `models` for an answer; `{"stop": [ids]}` ends answers where they are. An answer is told by
events of type `answer`: `{id, begin: true}`, then `{id, delta}` as it is written, then `{id, done: {text, tokens,
latency_ms, seed, finish_reason}}` or `{id, done: {error}}`. What had been told before a crash is not asked again.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .config import ChatSettings, GenerateSettings
from .data import Fitting
from .directory import RunDirectory
from .errors import TrainingError
from .generate import context_of
from .models import Base, base_of, load_tokenizer
from .networks.decoding import Chooser, Decoding, end_tokens
from .networks.encoder_decoder import tokens_of
from .networks.sources import DecoderRows
from .outputs import stream_seed, with_system
from .side_by_side import load_side_by_side

INBOX = "inbox.jsonl"
TOLD_EVERY = 0.25  # seconds between two deltas of an answer: as often as an eye needs
LOOK_EVERY = 0.1  # seconds between two looks into an inbox that is empty
ASKED = ("max_new_tokens", "temperature", "top_p", "repetition_penalty", "system")


class Inbox:
    """The lines of a file that another process appends to; a torn last one is left until it is whole."""

    def __init__(self, path: Path):
        self.path = path
        self.offset = 0

    def new(self) -> list[dict]:
        with suppress(FileNotFoundError):
            if self.path.stat().st_size > self.offset:
                with self.path.open("rb") as file:
                    file.seek(self.offset)
                    block = file.read()
                whole = block[: block.rfind(b"\n") + 1]
                self.offset += len(whole)
                rows = (json.loads(line) for line in whole.splitlines() if line.strip())
                return [row for row in rows if isinstance(row, dict)]
        return []


class Speaker:
    """A loaded model with what it has read last: of a conversation that goes on, only what is new is computed."""

    def __init__(self, base: Base, model):
        self.tokenizer = load_tokenizer(base.path)
        self.chat = tokens_of(self.tokenizer, base.path)
        self.context = context_of(base.path) or 1 << 30
        self.model = model
        self.ends = end_tokens(self.model, self.tokenizer)
        self.cache, self.held = None, []  # the keys and values of what it has read, and its tokens

    def prompt(self, messages: list[dict], settings: GenerateSettings) -> list[int]:
        """The conversation in tokens; its beginning is cut where it would leave no room for an answer."""
        tokens = self.chat.prompt(with_system(messages, settings.system))
        fitted = self.chat.fit(Fitting(self.context), tokens, settings.max_new_tokens, 0)
        if fitted is None:
            words = f"max_new_tokens {settings.max_new_tokens} leaves no room: the model sees {self.context} tokens."
            raise TrainingError("too_long", words)
        return fitted

    @torch.inference_mode()
    def speak(self, prompt: list[int], settings: GenerateSettings, seed: int) -> Iterator[int]:
        """Token after token, without the one that ends it."""
        how = Decoding(*(getattr(settings, name) for name in ASKED[:4]))
        rows = self._rows(prompt)
        size = self.model.config.get_text_config().vocab_size
        choose = Chooser(how, rows.seen, [seed], size, self.model.device)
        try:
            for _ in range(settings.max_new_tokens):
                token = choose(rows.logits(), [0])
                if token.item() in self.ends:
                    return
                yield token.item()
                rows.take(token)
        finally:
            if isinstance(rows, Onward):
                self.cache, self.held = rows.cache, rows.held

    def _rows(self, prompt: list[int]) -> "DecoderRows | Onward":
        if self.model.config.is_encoder_decoder:
            return DecoderRows(self.model, [prompt], self.tokenizer.eos_token_id)
        # An answer has the cache to itself: another that begins meanwhile reads its conversation anew.
        rows = Onward(self.model, prompt, self.cache, self.held)
        self.cache, self.held = None, []
        return rows


class Onward:
    """One conversation of a causal model, behind what a cache holds of it. As decoding.PromptRows, of one row.

    held: the tokens that the cache holds; those beyond their common beginning with the prompt are forgotten.
    """

    def __init__(self, model, prompt: list[int], cache, held: list[int]):
        from transformers import DynamicCache

        common = 0
        while common < min(len(held), len(prompt) - 1) and held[common] == prompt[common]:
            common += 1
        if cache is None or not common or not cache.is_croppable or any(cache.is_sliding):
            cache, common = DynamicCache(config=model.config), 0
        elif beyond := len(held) - common:
            cache.crop(-beyond)
        self.model, self.seen, self.cache = model, [prompt], cache
        self.held, self.ids = held[:common], prompt[common:]

    def logits(self) -> torch.Tensor:
        """[1, vocabulary] of the next token, fp32."""
        given = torch.tensor([self.ids], device=self.model.device)
        out = self.model(input_ids=given, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.held += self.ids
        return out.logits[:, -1].float()

    def take(self, token: torch.Tensor) -> None:
        self.ids = token.tolist()


@dataclass
class Spoken:
    """An answer on its way."""

    id: int
    speaker: Speaker
    seed: int
    most: int
    stream: Iterator[int]
    started: float = field(default_factory=time.monotonic)
    told_at: float = 0.0
    tokens: list[int] = field(default_factory=list)
    told: str = ""

    def step(self) -> bool:
        """One more token; False when it has ended."""
        token = next(self.stream, None)
        if token is not None:
            self.tokens.append(token)
        return token is not None

    def text(self) -> str:
        return self.speaker.tokenizer.decode(self.tokens, skip_special_tokens=True)

    def delta(self) -> str:
        """What has come since; half a character waits for its other half."""
        text = self.text().lstrip()
        if text.endswith("\ufffd") or not text.startswith(self.told):
            return ""
        new, self.told = text[len(self.told) :], text
        return new

    def done(self, reason: str) -> dict:
        return {
            "text": self.text().strip(),
            "tokens": len(self.tokens),
            "latency_ms": round(1000 * (time.monotonic() - self.started)),
            "seed": self.seed,
            "finish_reason": reason,
        }


def speakers_of(spec: dict, precision: str) -> dict[str, Speaker]:
    """run.json's `models`, loaded; those of one base on one copy of its weights. Raises TrainingError."""
    bases = {name: base_of({"base": one}) for name, one in (spec.get("models") or {}).items()}
    if not bases:
        raise TrainingError("bad_run", 'run.json: a chat needs "models": {name: {"path", "adapter"?}, …}.')
    models = load_side_by_side(list(bases.values()), precision)
    return {name: Speaker(base, models[base]) for name, base in bases.items()}


def chat(run: RunDirectory, spec: dict, settings: ChatSettings) -> dict:
    """Run the recipe; returns what result.json is to say. It ends `idle_seconds` after the last answer."""
    run.check_stop()
    speakers = speakers_of(spec, settings.precision)
    known = {event["id"] for event in run.events() if event["type"] == "answer" and "done" in event}
    inbox, answers, written = Inbox(run.path / INBOX), 0, 0
    run.status("answering", message=f"{len(speakers)} models are loaded")
    under_way: list[Spoken] = []
    idle_since = time.monotonic()
    while under_way or time.monotonic() - idle_since < settings.idle_seconds or inbox_waits(inbox):
        run.check_stop()
        for line in inbox.new():
            if "stop" in line:
                for spoken in [one for one in under_way if one.id in line["stop"]]:
                    under_way.remove(spoken)
                    tell(run, spoken, "stopped")
                known.update(line["stop"])
            elif line.get("id") not in known:
                known.add(line["id"])
                if (begun := _begin(run, speakers, line)) is not None:
                    under_way.append(begun)
        for spoken in list(under_way):  # in turns, so that answers grow side by side
            if spoken.step() and len(spoken.tokens) < spoken.most:
                if time.monotonic() - spoken.told_at > TOLD_EVERY and (new := spoken.delta()):
                    spoken.told_at = time.monotonic()
                    run.emit("answer", id=spoken.id, delta=new)
                continue
            under_way.remove(spoken)
            answers, written = answers + 1, written + len(spoken.tokens)
            tell(run, spoken, "length" if len(spoken.tokens) >= spoken.most else "stop")
        if under_way:
            idle_since = time.monotonic()
        else:
            time.sleep(min(LOOK_EVERY, settings.idle_seconds))
    return {"steps": answers, "rows": answers, "metrics": {}, "tokens": written}


def inbox_waits(inbox: Inbox) -> bool:
    with suppress(FileNotFoundError):
        return inbox.path.stat().st_size > inbox.offset
    return False


def tell(run: RunDirectory, spoken: Spoken, reason: str) -> None:
    spoken.stream.close()
    run.emit("answer", id=spoken.id, done=spoken.done(reason))


def _begin(run: RunDirectory, speakers: dict[str, Speaker], line: dict) -> Spoken | None:
    """An answer as it is asked for; what cannot be asked is told as an error of that answer alone."""
    run.emit("answer", id=line["id"], begin=True)
    try:
        if (speaker := speakers.get(line.get("model"))) is None:
            raise TrainingError("unknown_model", f'"{line.get("model")}" is none of {", ".join(speakers)}.')
        asked = GenerateSettings.from_dict({k: v for k, v in (line.get("settings") or {}).items() if k in ASKED})
        prompt = speaker.prompt(line["messages"], asked)
    except TrainingError as error:
        run.emit("answer", id=line["id"], done={"error": error.message})
        return None
    seed = stream_seed(line.get("seed", 0), line["id"])
    return Spoken(line["id"], speaker, seed, asked.max_new_tokens, speaker.speak(prompt, asked, seed))
