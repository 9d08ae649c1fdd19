"""One base, four roles: policy, reference, reward model and critic on one copy of the base's weights.

Each role is the base with another LoRA switched on (PEFT's named adapters), and a head of its own: the policy with the
adapter that is trained, the reference with none, the reward model with its own and its heads, the critic with a second
one that is trained and a value head. Santacroce et al. 2023 (Hydra-RLHF, arXiv 2309.00754), section 3.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import Online
from ..directory import RunDirectory
from ..loop.tuning import Prepared, parent_copy
from ..models import Base, fingerprint
from ..networks.scoring import Batch
from ..rewards.reward_model import RewardModel, reward_load, reward_onto

POLICY, REWARD, CRITIC, AUDIT = "default", "reward", "critic", "audit"


class Roles(nn.Module):
    """The models of a reinforcement recipe. Its parameters that require a gradient are those that are trained.

    policy: what is trained. body: the weights that the other roles share. With LoRA both are one; when
    weights of the base are trained the body is a frozen copy of the parent, for it must stay what it was.
    """

    def __init__(self, ready: Prepared, settings: Online, *, critic: bool = False):
        super().__init__()
        self.policy = ready.model
        self.shared = hasattr(ready.model, "peft_config")
        self.body = self.policy if self.shared else parent_copy(ready)
        self.trained = [weight for weight in self.policy.parameters() if weight.requires_grad]
        self.value_head = None
        self.reward_models = nn.ModuleDict()  # by name: what the policy is paid by, and what it is not paid by
        self._on_the_body: set[str] = set()  # those of them that share it
        if critic:
            self._critic_add(settings)

    @property
    def device(self) -> torch.device:
        return self.policy.device

    def _critic_add(self, settings: Online) -> None:
        """A fresh LoRA that changes nothing yet, and a value head that says 0 (Huang et al. 2024, arXiv 2403.17031)."""
        from peft import LoraConfig, get_peft_model

        from ..networks.lora import quickened

        torch.manual_seed(settings.seed + 1)
        if self.shared:
            config = copy.deepcopy(self.policy.peft_config[POLICY])  # the same layers, rank and scale as the policy's
            self.body.add_adapter(CRITIC, config, autocast_adapter_dtype=False)
        else:
            shape = {"r": settings.lora_r, "lora_alpha": settings.lora_alpha, "lora_dropout": settings.lora_dropout}
            config = LoraConfig(**shape, target_modules="all-linear", task_type="CAUSAL_LM")
            self.body = get_peft_model(self.body, config, adapter_name=CRITIC, autocast_adapter_dtype=False)
        quickened(self.body)
        self.trained += [weight for name, weight in self.body.named_parameters() if f".{CRITIC}." in name]
        self.value_head = nn.Parameter(torch.zeros(self.body.config.hidden_size, device=self.device))
        self.trained.append(self.value_head)
        self._rest()

    def reward_add(self, base: Base, path: str, settings: Online, run: RunDirectory, name: str = REWARD) -> RewardModel:
        """A reward model: on the shared body when it was made for these very weights, else on a copy of its own.

        path: folder or hub id of the policy's base. name: REWARD, or AUDIT for one that only looks on.
        """
        if same_weights(base.path, path):
            run.status(message=f"the {name} model shares the policy's base")
            if getattr(self.body.config, "quantization_config", None) is not None and not base.quantisation:
                run.warn(
                    "The reward model shares the policy's base, which is held in fewer bits than the reward model was "
                    "made for: its opinions are a little off. They are those of score with the same quantisation."
                )
            model = reward_onto(self.body, base, name)
            if not self.shared:
                self.body = model.policy
                for other in self._on_the_body:  # an adapter that came since wraps what they read
                    self.reward_models[other].policy = self.body
            self._on_the_body.add(name)
        else:
            run.warn(
                f"The {name} model belongs to other weights ({base.path}) than those that are tuned ({path}): a second "
                "copy of a base is held in memory. Train a reward model on the base that is tuned to save it."
            )
            model = reward_load(base, settings.precision)
        self.reward_models[name] = model
        model.requires_grad_(False)
        self._rest()
        return model

    # --- Roles -------------------------------------------------------------------------------------------------------

    def acting(self):
        """The policy, to be asked or trained."""
        self._rest()
        return self.policy

    @contextmanager
    def reference(self) -> Iterator:
        """The parent, as a causal model."""
        with self._as(None):
            yield self.body

    @contextmanager
    def rewarding(self, name: str = REWARD) -> Iterator[RewardModel]:
        """The reward model of this name."""
        model = self.reward_models[name]
        if name not in self._on_the_body:
            yield model
            return
        with self._as(name if _has_adapter(self.body, name) else None):
            yield model

    def values(self, batch: Batch) -> Tensor:
        """The critic's value of the state before each of the answers' tokens; [tokens], fp32.

        The body stays the critic until another role is asked for: where activations are computed again in the backward
        pass, that must be by the same adapter.
        """
        self._switch(CRITIC)
        hidden = self.body.get_decoder()(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
        ).last_hidden_state
        return hidden.flatten(0, 1)[batch.predicts].float() @ self.value_head

    @contextmanager
    def _as(self, adapter: str | None) -> Iterator[None]:
        """Within it the body computes with this adapter, or with none."""
        try:
            self._switch(adapter)
            yield
        finally:
            self._rest()

    def _rest(self) -> None:
        """A shared body is the policy."""
        self._switch(POLICY)

    def _switch(self, adapter: str | None) -> None:
        """PEFT gives gradients to the adapter that is switched on, and takes them from the others; here all that is
        trained keeps them."""
        for layer in _lora_layers(self.body):
            layer.enable_adapters(adapter is not None)
            if adapter is not None:
                layer.set_adapter(adapter, inference_mode=True)
        for weight in self.trained:
            weight.requires_grad_(True)


def same_weights(one: str, other: str) -> bool:
    """Whether two bases (folders or hub ids) are the same weights."""
    if one == other:
        return True
    return Path(one).is_dir() and Path(other).is_dir() and fingerprint(Path(one)) == fingerprint(Path(other))


def _lora_layers(model) -> list:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _has_adapter(model, name: str) -> bool:
    return name in getattr(model, "peft_config", {})
