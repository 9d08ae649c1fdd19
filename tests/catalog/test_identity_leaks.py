"""Answers that say who wrote them are known by the first person, not by a name."""

import pytest

from feedbackhub.catalog.content import text_parts
from feedbackhub.catalog.identity import masked, reveals_identity, shown_span, stored_span, sweep, unmasked
from feedbackhub.catalog.models import Output
from feedbackhub.catalog.services import model_get_or_create_imported, prompt_get_or_create

REVEALING = """
I am Claude, made by Anthropic.
I'm Claude.
I'm Claude 3.5 Sonnet
I’m **Gemini**, a large language model built by Google.
I'm Claude, an AI assistant made by Anthropic. How can I help?
I am ChatGPT, a large language model trained by OpenAI.
I am a large language model, trained by Google.
I'm an AI assistant called Claude.
I am an artificial intelligence model known as Llama.
I am based on the GPT-4 architecture.
I'm powered by GPT-4o.
I am an OpenAI language model.
I'm an AI model by Meta
I am Mistral Large, from Mistral AI
I'm DeepSeek-V3, an AI assistant created by DeepSeek.
I am SmolLM, trained by Hugging Face.
I am Grok, built by xAI.
I am Copilot.
Hello! I'm Qwen, created by Alibaba Cloud.
As ChatGPT, I cannot do that.
As Claude, my answer is no.
As an AI language model developed by OpenAI, I don't have feelings.
My name is Claude and I'm happy to help.
You can call me Bard.
I was created by Anthropic to be helpful.
My creators at Anthropic taught me.
Anthropic trained me to be honest.
I'm sorry, but that goes against OpenAI's use case policy.
Ich bin ChatGPT, ein Sprachmodell von OpenAI.
Je suis ChatGPT, un modèle créé par OpenAI
Soy Claude, un asistente
我是通义千问，由阿里云开发。
我是由OpenAI训练的语言模型
""".strip().splitlines()

REVEALING_NOTHING = """
I asked Claude Monet about his garden.
“I am Claude Monet,” said the painter.
Claude Monet painted water lilies; as Claude grew older his sight failed.
I am Claude, a painter from Giverny.
My name is Claude Dupont.
Claude's garden is where I am happy.
I am reading about Claude Shannon, who worked at Bell Labs.
If I were Claude, I would rest.
Je suis Claude et Marie
I am a Gemini, born in June.
Gemini is the third sign of the zodiac.
The bard sang: I am the bard of Avon.
I met a llama in Peru. I am fond of llamas.
As Falcon 9 lifts off, I cheer.
The mistral is a cold wind; I am cold.
Call me Ishmael.
ChatGPT is a language model developed by OpenAI.
OpenAI released GPT-4 in March 2023.
Anthropic was founded in 2021.
I asked ChatGPT to write a poem.
I think that OpenAI's new model is good.
Critics say Google's policy is unfair, and I agree.
I use a phone made by Google.
I am working on a project powered by GPT-4.
I took a course in AI from Google.
As a student I read a book about AI by Google
I am an assistant professor; my laptop is from Microsoft.
As an AI language model, I cannot have opinions.
Meta-analysis: I am sure.
""".strip().splitlines()


@pytest.mark.parametrize("text", REVEALING)
def test_it_reveals(text):
    assert reveals_identity(text_parts(f"Well.\n\n{text} Anything else?"))
    assert "[name hidden]" in masked(text)


@pytest.mark.parametrize("text", REVEALING_NOTHING)
def test_it_does_not(text):
    assert not reveals_identity(text_parts(f"Well. {text}"))
    assert masked(text) == text


def test_the_versions_own_name():
    text = text_parts("SmolLM2-135m-r3 says hello.")
    assert reveals_identity(text, "smollm2-135m-r3")
    assert not reveals_identity(text, "smollm2-135m"), "another version's name begins so"
    assert not reveals_identity(text_parts("The large red one, small or not."), "large")
    assert masked("Ask smollm2-135m!", "smollm2-135m") == "Ask [name hidden]!"


def test_once_named_every_name_of_the_author_is_hidden():
    text = "I'm **Claude**, made by Anthropic. Claude likes Monet; ChatGPT (OpenAI) is another. Anthropic's rules hold."
    hidden = "I'm **[name hidden]**, made by [name hidden]. [name hidden] likes Monet; ChatGPT (OpenAI) is another. "
    assert masked(text) == hidden + "[name hidden]'s rules hold."


def test_a_correction_of_masked_text_has_its_names_again():
    original = "I am Claude, made by Anthropic. Roses are blue."
    assert masked(original) == "I am [name hidden], made by [name hidden]. Roses are blue."
    corrected = "I am [name hidden], made by [name hidden]. Roses are red."
    assert unmasked(corrected, original) == "I am Claude, made by Anthropic. Roses are red."
    assert unmasked("Roses, says [name hidden], are red.", original) == "Roses, says Claude, are red."
    assert unmasked("[name hidden] [name hidden] [name hidden]", original) == "Claude Anthropic Anthropic"
    assert unmasked("Roses are red.", original) == "Roses are red."


@pytest.mark.parametrize(
    ("shown", "stored"),
    [("I am", "I am"), ("[name hidden], made", "Claude, made"), ("hidden], made by [na", "Claude, made by Anthropic")]
    + [("Roses", "Roses"), ("[name hidden]", "Claude"), (". Roses", ". Roses"), ("by [name", "by Anthropic")],
)
def test_a_span_of_masked_text_and_the_same_of_the_original(shown, stored):
    original = "I am Claude, made by Anthropic. Roses are blue."
    start = masked(original).index(shown)
    span = stored_span(start, start + len(shown), original)
    assert original[slice(*span)] == stored
    again = masked(original)[slice(*shown_span(*span, original))]
    assert shown in again


@pytest.mark.django_db
def test_outputs_that_nobody_has_looked_at_are_looked_at_by_the_sweeper(project):
    prompt, _ = prompt_get_or_create(project=project, prompt="Who are you?")
    model = model_get_or_create_imported(project=project, name="red")
    for text in ("I am Claude.", "Nobody."):
        Output.objects.create(prompt=prompt, model=model, parts=text_parts(text), content_key=text)
    sweep()
    assert {one.text: one.reveals_identity for one in Output.objects.all()} == {"I am Claude.": True, "Nobody.": False}
