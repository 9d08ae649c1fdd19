"""Tiny encoder–decoders, T5 and BART, with a tokenizer trained on their few words; rows with known optima."""

import json
from pathlib import Path

from training_cast import WORDS, assistant, user

from training.data import Fitting, Place, examples, pairs
from training.models import load_tokenizer
from training.networks.encoder_decoder import tokens_of

# A dialogue is summed up by what the buyer wants: the word after "say".
NAMES = ["one", "two", "three", "four"]


def words_tokenizer(*, begin: str | None):
    """A word-level tokenizer trained on the words; a text ends with </s>, and begins with `begin` if there is one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "</s>", "<unk>", *([begin] if begin else [])]
    backend = Tokenizer(models.WordLevel(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    texts = [" ".join([*WORDS, "User:", "Assistant:", "System:"])]
    backend.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=special))
    single = [*([begin] if begin else []), "$A", "</s>"]
    ids = [(token, backend.token_to_id(token)) for token in special]
    backend.post_processor = processors.TemplateProcessing(single=" ".join(single), special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token=begin
    )


def tiny_t5(folder: Path, *, tied: bool = True, dropout: float = 0.0) -> Path:
    """A T5 of two layers; untied it has a head of its own and gated layers, as Flan-T5."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    tokenizer = words_tokenizer(begin=None)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        dropout_rate=dropout,
        decoder_start_token_id=0,
        initializer_factor=1.5,
        feed_forward_proj="relu" if tied else "gated-gelu",
        tie_word_embeddings=tied,
    )
    model = T5ForConditionalGeneration(config)
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(0.5 * torch.randn_like(model.lm_head.weight))
    return _saved(model, tokenizer, folder)


def tiny_bart(folder: Path) -> Path:
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(0)
    tokenizer = words_tokenizer(begin="<s>")
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=128,
        init_std=0.2,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=3,
        decoder_start_token_id=1,
        forced_bos_token_id=3,
        forced_eos_token_id=None,
        dropout=0.0,
    )
    return _saved(BartForConditionalGeneration(config), tokenizer, folder)


def _saved(model, tokenizer, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def dialogues() -> list[dict]:
    """{messages}: `NAME say WORD … NAME …` is summed up as `NAME WORD`."""
    rows = []
    for number, word in enumerate(WORDS[:16]):
        name = NAMES[number % 4]
        rows.append({"messages": [user(f"say {name} what ? {name} say {word} ."), assistant(f"{name} {word}")]})
    return rows


def rows_in(path: Path, rows: list[dict], kind=examples, max_length: int = 64) -> list:
    tokens = tokens_of(load_tokenizer(str(path)), str(path))
    return kind(tokens, [(Place("rows", n), row) for n, row in enumerate(rows, 1)], Fitting(max_length))


def pairs_in(path: Path, rows: list[dict]) -> list:
    return rows_in(path, rows, pairs)


def written_by_transformers(path: Path, prompts: list[str], most: int, **how) -> list[str]:
    """What transformers' own generate makes of each prompt by itself, greedily."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model = AutoModelForSeq2SeqLM.from_pretrained(path, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    texts = []
    for prompt in prompts:
        given = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        written = model.generate(**given, max_new_tokens=most, do_sample=False, num_beams=1, **how)
        texts.append(tokenizer.decode(written[0], skip_special_tokens=True).strip())
    return texts


def config_of(path: Path) -> dict:
    return json.loads((path / "config.json").read_text())
