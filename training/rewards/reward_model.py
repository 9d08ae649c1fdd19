"""A reward model: a base with an adapter and heads that give an answer a number. The one place that scores answers.

The number is read at the answer's last token, which ends its turn (of an encoder at [CLS] or as the mean: encoders.py),
in training, in `score` and wherever a reward is wanted. Several heads on one backbone, each trained on a bootstrap of
the pairs, tell by their spread how sure it is (Osband et al. 2016, arXiv 1602.04621, for the shared backbone; Coste et
al. 2024, arXiv 2310.02743, for rewards).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data import Example
from ..directory import write_whole
from ..errors import TrainingError
from ..models import Base, adapter_shapes, fits, load_base
from ..networks.reading import is_encoder
from ..networks.scoring import Answered, Batch, answered_batch, example_batch
from .encoders import EncoderBatch, Layout, encoded, encoder_batch, load_encoder

HEADS = "reward_heads.safetensors"
ABOUT = "reward.json"
SCORE = "base_model.model.score.weight"  # where PEFT looks for a sequence classifier's head


class RewardModel(nn.Module):
    """The backbone (with its adapter, if any) of a causal model, and `heads` linear readings of its hidden states.

    layout: of the rows, where the backbone is an encoder.
    """

    def __init__(self, policy, heads: int, layout: Layout | None = None):
        super().__init__()
        self.policy, self.layout = policy, layout
        # From 0, where all answers are worth the same: heads drawn at random have first to unlearn their opinions. On
        # the public preference rows the first 540 pairs cost 0.663 instead of 0.680 nats. The bootstrap parts them.
        self.heads = nn.Parameter(torch.zeros(heads, policy.config.hidden_size, device=policy.device))
        self.temperature = 1.0

    @property
    def device(self) -> torch.device:
        return self.heads.device

    def example_batch(self, examples: Sequence[Example], pad: int, device=None) -> Batch | EncoderBatch:
        """Each answer in a row of its own, as the backbone reads it."""
        if self.layout:
            return encoder_batch(examples, self.layout, self.device)
        return example_batch(examples, pad, self.device)

    def answered_batch(self, rows: Sequence[Answered], pad: int) -> Batch | EncoderBatch:
        """Prompts with their answers, the prompts held once where the backbone allows it and it is less work."""
        if self.layout:
            return self.example_batch([Example(prompt, answer, None) for prompt, of in rows for answer in of], pad)
        return answered_batch(rows, pad, self)

    def forward(self, batch: Batch | EncoderBatch) -> Tensor:
        """The reward of each answer by each head; [answers, heads], fp32."""
        if self.layout:
            return encoded(self.policy, batch, self.layout) @ self.heads.T
        decoder = self.policy.get_decoder() if hasattr(self.policy, "get_decoder") else self.policy.model
        hidden = decoder(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
        ).last_hidden_state
        return hidden.flatten(0, 1)[last_positions(batch)].float() @ self.heads.T


def last_positions(batch: Batch) -> Tensor:
    """Where each answer's last token stands in the flattened rows; [answers].

    `predicts` holds, answer after answer, the position before each of its tokens; the last but one predicts the last.
    """
    last = torch.zeros(batch.answers, dtype=torch.long, device=batch.owner.device)
    order = torch.arange(len(batch.owner), device=batch.owner.device)
    last.scatter_reduce_(0, batch.owner, order, "amax", include_self=False)
    return batch.predicts[last] + 1


def rewards(model: RewardModel, batch: Batch | EncoderBatch) -> Tensor:
    """The rewards of a batch's answers by each head; [answers, heads]."""
    return model(batch)


@torch.no_grad()
def answer_rewards(
    model: RewardModel,
    answers: Sequence[Example],
    pad: int,
    *,
    batch_size: int,
    check_stop: Callable[[], None] = lambda: None,
    told: Callable[[int], None] = lambda done: None,
) -> list[list[float]]:
    """Each answer's reward by each head, over the temperature; in the order given. Longest first, so few are padded.

    check_stop: called before each batch; told: called after each with how many are done.
    """
    order = sorted(range(len(answers)), key=lambda row: -answers[row].length)
    found: dict[int, list[float]] = {}
    for start in range(0, len(order), batch_size):
        check_stop()
        part = order[start : start + batch_size]
        batch = model.example_batch([answers[row] for row in part], pad)
        found.update(zip(part, (rewards(model, batch) / model.temperature).tolist()))
        told(len(found))
    return [found[row] for row in range(len(answers))]


# --- Kept and loaded ----------------------------------------------------------------------------------------------


def reward_save(model: RewardModel, folder: Path, about: dict) -> None:
    """Write heads and what they were found to be into an adapter's folder, or a whole model's.

    The mean head is also added to a causal model's adapter as `score`, so that PEFT loads it as a sequence classifier
    of one label; to an encoder's only where there is no LoRA, for an adapter must hold something.
    """
    from safetensors.torch import load_file, save_file

    heads = model.heads.detach().cpu().float().contiguous()
    save_file({"heads": heads}, folder / HEADS)
    about = {"heads": len(heads), **({"encoder": asdict(model.layout)} if model.layout else {}), **about}
    write_whole(folder / ABOUT, json.dumps(about, indent=2) + "\n")
    path = folder / "adapter_model.safetensors"
    if (folder / "config.json").is_file() or (model.layout and path.is_file()):  # PEFT's read encoders elsewhere
        return
    weights = load_file(path) if path.is_file() else {}
    save_file({**weights, SCORE: heads.mean(0, keepdim=True).contiguous()}, path)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text()) if path.is_file() else {"peft_type": "LORA", "target_modules": []}
    config |= {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    write_whole(path, json.dumps(config, indent=2, sort_keys=True) + "\n")


def reward_check(base: Base) -> Path:
    """The folder of the reward model: its adapter's, or a whole model's. Raises TrainingError unless it is one."""
    folder = base.adapter or Path(base.path)
    if not (folder / HEADS).is_file():
        message = f"{folder} is no reward model: it has no {HEADS}. Train one with the recipe reward."
        raise TrainingError("adapter_missing", message)
    return folder


def reward_load(base: Base, precision: str = "auto") -> RewardModel:
    """The reward model in base.adapter (or, whole, in base.path), in evaluation mode. Raises TrainingError."""
    reward_check(base)
    encoder = is_encoder(base.path)
    policy = load_encoder(base.path, precision) if encoder else load_base(base.path, precision, base.quantisation)
    return reward_onto(policy, base)


def reward_onto(policy, base: Base, name: str = "default") -> RewardModel:
    """The reward model of base.adapter on a copy of its base that is loaded already. Raises TrainingError.

    policy: a causal model, or a PEFT model, which gets one more adapter called `name`. A reward model without a LoRA
    (method frozen) adds none.
    """
    from safetensors.torch import load_file

    folder = reward_check(base)
    if base.adapter and adapter_shapes(folder):
        fits(policy.get_base_model() if hasattr(policy, "peft_config") else policy, base)
        policy = _attached(policy, folder, name)
    found = load_file(folder / HEADS)["heads"]
    about = json.loads((folder / ABOUT).read_text())
    if found.shape[1] != policy.config.hidden_size:
        message = f"The heads of {folder} were made for a base of width {found.shape[1]}; {base.path} is another."
        raise TrainingError("adapter_mismatch", message)
    model = RewardModel(policy, len(found), layout=Layout(**about["encoder"]) if "encoder" in about else None)
    model.heads.data.copy_(found)
    model.temperature = float(about.get("temperature", 1.0))
    return model.eval()


def _attached(policy, folder: Path, name: str):
    """The LoRA part of a reward adapter on a causal model: its head is ours, not PEFT's."""
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    from ..networks.lora import quickened

    config = LoraConfig.from_pretrained(folder)
    if config.task_type != "FEATURE_EXTRACTION":  # an encoder's
        config.task_type, config.modules_to_save = "CAUSAL_LM", None
    config.inference_mode = True
    if hasattr(policy, "peft_config"):
        policy.add_adapter(name, config, autocast_adapter_dtype=False)
    else:
        policy = get_peft_model(policy, config, adapter_name=name, autocast_adapter_dtype=False)
    weights = load_file(folder / "adapter_model.safetensors")
    weights = {key: weight for key, weight in weights.items() if key != SCORE}
    set_peft_model_state_dict(policy, weights, adapter_name=name)
    return quickened(policy)


# --- What the numbers are worth -----------------------------------------------------------------------------------


def temperature_of(margins: Sequence[float]) -> float:
    """T that makes σ(margin / T) likeliest for pairs whose chosen answer has this margin over the rejected one.

    Platt scaling without an intercept (Guo et al. 2017, arXiv 1706.04599). Between 0.05 and 20 in units of the margins'
    mean size; 1 where there is nothing to learn from.
    """
    values = torch.tensor(margins, dtype=torch.float64)
    size = values.abs().mean().item() if len(values) else 0.0
    if size == 0:
        return 1.0
    candidates = size * torch.logspace(-1.3, 1.3, 261, dtype=torch.float64)
    losses = torch.stack([nn.functional.softplus(-values / candidate).mean() for candidate in candidates])
    return float(candidates[int(losses.argmin())])


def reliability(margins: Sequence[float], temperature: float, bins: int = 5) -> list[dict]:
    """Said and seen: pairs in equal parts by how sure the model is, {confidence, accuracy, n}, the least sure first.

    confidence: mean of σ(|margin| / T); accuracy: how often the preferred answer was the chosen one, a tie being half.
    """
    values = torch.tensor(margins, dtype=torch.float64)
    order = values.abs().argsort()
    found = []
    for part in torch.tensor_split(order, min(bins, len(values))):
        chosen = values[part]
        right = (chosen > 0).double() + (chosen == 0).double() / 2
        sure = torch.sigmoid(chosen.abs() / temperature)
        found.append({"confidence": sure.mean().item(), "accuracy": right.mean().item(), "n": len(part)})
    return found
