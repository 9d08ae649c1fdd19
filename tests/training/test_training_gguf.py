"""A model as a GGUF file: read back by another's reader it says the same."""

import json

import pytest
import torch
from training_cast import smol_model

from training.command import main


@pytest.fixture(scope="module")
def smol(tmp_path_factory):
    return smol_model(tmp_path_factory.mktemp("models") / "smol", template="{{ messages[0]['content'] }}")


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
