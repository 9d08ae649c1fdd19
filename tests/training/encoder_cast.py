"""Tiny encoders with a tokenizer that puts two texts together as theirs does."""

from pathlib import Path

from training_cast import WORDS


def tiny_encoder(folder: Path, kind: str = "bert", **config) -> Path:
    """A randomly initialised encoder of two or three layers, saved as a base without a chat template."""
    import torch
    import transformers as library
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pair = "[CLS] $A [SEP] [SEP] $B [SEP]" if kind == "roberta" else "[CLS] $A [SEP] $B:1 [SEP]:1"
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    named = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}
    tokenizer = library.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{f"{name}_token": token for name, token in named.items()},
        model_input_names=["input_ids", "attention_mask", *(["token_type_ids"] if kind == "bert" else [])],
    )
    names = {"bert": "Bert", "modernbert": "ModernBert", "roberta": "Roberta"}
    shape = {
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3 if kind == "modernbert" else 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 65 if kind == "roberta" else 64,
        "pad_token_id": 0,
        "initializer_range": 0.3,
        **(
            {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2} if kind == "modernbert" else {}
        ),
        **({"local_attention": 16} if kind == "modernbert" else {}),
        **config,
    }
    torch.manual_seed(0)
    made = getattr(library, f"{names[kind]}Config")(**shape)
    getattr(library, f"{names[kind]}ForMaskedLM")(made).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
