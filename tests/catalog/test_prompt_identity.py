import pytest

from feedbackhub.catalog.content import messages_of, prompt_digest, split_of
from feedbackhub.catalog.models import Prompt
from feedbackhub.catalog.selectors import prompts_of
from feedbackhub.catalog.services import PromptRow, prompt_get_or_create, prompts_bulk_get_or_create
from feedbackhub.core.errors import DomainError


def test_the_same_words_are_the_same_prompt(project):
    first, created = prompt_get_or_create(project=project, prompt="How do I boil  an egg?")
    again, created_again = prompt_get_or_create(project=project, prompt="how do I boil an\u00a0EGG?\n")
    assert created
    assert not created_again
    assert again == first
    assert first.text == "How do I boil  an egg?"


def test_a_prompt_of_another_project_is_another_prompt(project, root):
    from feedbackhub.projects.services import project_create

    other = project_create(by=root, slug="garden", name="Garden")
    first, _ = prompt_get_or_create(project=project, prompt="Why?")
    second, created = prompt_get_or_create(project=other, prompt="Why?")
    assert created
    assert first.pk != second.pk


def test_messages_win_over_prompt_and_roles_are_part_of_the_identity(project):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    with_system, _ = prompt_get_or_create(project=project, messages=turns, prompt="ignored")
    plain, created = prompt_get_or_create(project=project, prompt="Why?")
    assert created
    assert with_system.messages[0]["content"] == [{"type": "text", "text": "Be brief."}]
    assert plain.pk != with_system.pk


def test_the_split_stated_first_stays(project):
    stated, _ = prompt_get_or_create(project=project, prompt="Why?", split="test")
    again, _ = prompt_get_or_create(project=project, prompt="why?", split="train")
    assert stated.split == again.split == "test"


def test_without_a_split_the_digest_decides(project):
    prompt, _ = prompt_get_or_create(project=project, prompt="Why?")
    assert prompt.split == split_of(prompt_digest(messages_of("Why?")))


def test_what_a_prompt_lacks_is_filled_in_and_what_it_has_stays(project):
    prompt_get_or_create(project=project, prompt="Why?", category="short")
    again, _ = prompt_get_or_create(
        project=project, prompt="Why?", category="long", references=["Because."], external_id="q7"
    )
    again.refresh_from_db()
    assert (again.category, again.references, again.external_id) == ("short", ["Because."], "q7")


def test_in_bulk_the_first_of_equal_rows_makes_the_prompt(project):
    prompt_get_or_create(project=project, prompt="old")
    texts = ["new", "old", "NEW", "newer"]
    answer = prompts_bulk_get_or_create(project=project, rows=[PromptRow(messages_of(text)) for text in texts])
    assert [created for _, created in answer] == [True, False, False, True]
    assert answer[0][0] == answer[2][0]
    assert Prompt.objects.count() == 3
    assert [prompt.text for prompt in prompts_of(project)] == ["old", "new", "newer"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"prompt": "  "}, "message 1 (user) has no text"),
        ({"messages": []}, "at least one"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role must be one of"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "nothing left to answer"),
        ({"prompt": "x", "split": "dev"}, 'split "dev" is none of'),
    ],
)
def test_a_prompt_without_text_or_with_an_unknown_split_is_refused_in_words(project, given, problem):
    with pytest.raises(DomainError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        prompt_get_or_create(project=project, **given)
    assert not Prompt.objects.exists()


def test_prompts_are_found_by_split_category_and_words(project):
    prompt_get_or_create(project=project, prompt="Boil an egg à la coque", category="kitchen", split="train")
    prompt_get_or_create(project=project, prompt="Peel a pear", split="test", external_id="pear-1")
    turns = [{"role": "system", "content": "You cook."}, {"role": "user", "content": "Fry an egg"}]
    prompt_get_or_create(project=project, messages=turns, category="kitchen", split="train")

    def found(**query):
        return [prompt.text for prompt in prompts_of(project, **query)]

    assert found(search="EGG") == ["Boil an egg à la coque", "Fry an egg"]
    assert found(search="egg boil") == ["Boil an egg à la coque"]
    assert found(search="à la") == ["Boil an egg à la coque"]
    assert found(search="pear-1") == ["Peel a pear"]
    assert found(search="role") == []
    assert found(split="test") == ["Peel a pear"]
    assert found(category="") == ["Peel a pear"]
    assert found(category="kitchen", search="you cook") == ["Fry an egg"]
