"""A model as a GGUF file: read back by another's reader it says the same."""

import json

import pytest
import torch
from training_cast import WORDS, tiny_model

from training.command import main


@pytest.fixture(scope="module")
def smol(tmp_path_factory):
    """A tiny Llama, keys and values shared by two heads each, with a tokenizer of SmolLM2's kind."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    folder = tiny_model(tmp_path_factory.mktemp("models") / "smol")
    backend = Tokenizer(models.BPE())
    cut = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Sequence(cut), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<pad>", "<end>"], initial_alphabet=alphabet)
    backend.train_from_iterator([" ".join(WORDS), "what is the good answer? 1234"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<end>")
    tokenizer.add_tokens([AddedToken("<mine>", special=False)])
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    torch.manual_seed(0)
    model.resize_token_embeddings(310, mean_resizing=False)  # more rows than tokens
    model.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def no_llama_cpp(monkeypatch):
    monkeypatch.delenv("LLAMA_CPP", raising=False)


def test_read_back_it_cuts_and_answers_alike(smol, tmp_path):
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "made" / "model.gguf"
    assert main(["gguf", str(smol), str(out)]) == 0
    fields = {name: field.contents() for name, field in GGUFReader(out).fields.items()}
    assert fields["tokenizer.ggml.pre"] == "smollm"
    assert fields["tokenizer.chat_template"] == "{{ messages[0]['content'] }}"
    assert fields["tokenizer.ggml.add_bos_token"] is False
    tokenizer = AutoTokenizer.from_pretrained(smol)
    kinds = {
        text: fields["tokenizer.ggml.token_type"][tokenizer.convert_tokens_to_ids(text)] for text in ("<end>", "a")
    }
    assert kinds == {"<end>": 3, "a": 1}  # control, normal
    assert fields["tokenizer.ggml.tokens"][309] == "[PAD309]"

    read = AutoTokenizer.from_pretrained(out.parent, gguf_file=out.name)
    text = "what is the good answer ? <mine> <end>"
    ids = tokenizer(text)["input_ids"]
    assert read(text)["input_ids"] == ids
    tokens = torch.tensor([ids])
    with torch.no_grad():
        ours = AutoModelForCausalLM.from_pretrained(smol, dtype=torch.float32)(tokens).logits
        theirs = AutoModelForCausalLM.from_pretrained(out.parent, gguf_file=out.name, dtype=torch.float32)(
            tokens
        ).logits
    assert (ours - theirs).abs().max() < 1e-4 * ours.abs().max()
    assert [path.name for path in out.parent.iterdir()] == ["model.gguf"]


def test_what_cannot_be_written_is_said(smol, tiny, tmp_path, capsys):
    out = tmp_path / "model.gguf"
    assert main(["gguf", str(tiny), str(out)]) == 1
    said = capsys.readouterr().err
    assert "cannot be written as GGUF here: its tokenizer is not SmolLM2's. llama.cpp's own converter can" in said
    assert not out.exists()
    out.write_text("mine")
    assert main(["gguf", str(smol), str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_llama_cpp_does_it_where_it_is_at_hand(tiny, tmp_path, capsys, monkeypatch):
    """A stand-in for its converter: what it is asked for, and what becomes of its refusal."""
    tree = tmp_path / "llama.cpp"
    tree.mkdir()
    converter = tree / "convert_hf_to_gguf.py"
    converter.write_text("import json, sys; open(sys.argv[3], 'w').write(json.dumps(sys.argv[1:]))")
    monkeypatch.setenv("LLAMA_CPP", str(tree))
    out = tmp_path / "model.gguf"
    assert main(["gguf", str(tiny), str(out)]) == 0
    asked = json.loads(out.read_text())
    assert asked[0] == str(tiny)
    assert asked[1::2] == ["--outfile", "--outtype"]
    converter.write_text("raise SystemExit('Model TinyForCausalLM is not supported')")
    assert main(["gguf", str(tiny), str(tmp_path / "other.gguf")]) == 1
    assert "could not convert" in (said := capsys.readouterr().err)
    assert "Model TinyForCausalLM is not supported" in said
