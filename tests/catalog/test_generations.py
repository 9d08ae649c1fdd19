"""Models are asked for answers; what they write becomes outputs, once, whatever is lost on the way."""

import pytest

from feedbackhub.catalog import services
from feedbackhub.catalog.models import Generation, Output
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.services import project_create
from feedbackhub.tracing.models import Delivery, TracedRun

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model_of(project, weights):
    def create(name="tiny", **decoding):
        return services.model_create(project=project, name=name, kind="local", base=str(weights), decoding=decoding)

    return create


@pytest.fixture
def prompts(project):
    texts = [("salt", "train"), ("pepper", "train"), ("thyme", "validation"), ("dill", "test")]
    return [services.prompt_get_or_create(project=project, prompt=text, split=split)[0] for text, split in texts]


@pytest.fixture
def generate(project, stand_in, queue, prompts):
    """generate(models, …): a generation that the queue has worked off."""

    def create(models, **wish) -> Generation:
        generation = services.generation_create(project=project, models=models, **wish)
        queue()
        generation.refresh_from_db()
        return generation

    return create


def test_every_model_answers_every_prompt_n_times(generate, model_of, prompts):
    models = [model_of("cold", temperature=0.5, seed=7), model_of("hot", temperature=1.5)]
    generation = generate(models, n=2)
    assert (generation.status, generation.error) == ("done", "")
    assert generation.prompts == [prompt.pk for prompt in prompts]
    assert Output.objects.count() == 4 * 2 * 2
    output = Output.objects.get(model=models[0], prompt=prompts[0], content_key__endswith=":1")
    assert (output.text, output.tokens, output.latency_ms, output.seed) == ("tlas 1", 4, 12.5, 8)
    assert (output.finish_reason, output.decoding) == ("stop", {"temperature": 0.5, "n": 2})
    progress = services.generation_progress(generation)
    assert (progress["progress"], progress["stored"], progress["expected"]) == (1.0, 16, 16)
    assert [model["state"] for model in progress["models"]] == ["completed", "completed"]


def test_split_and_limit_choose_the_prompts_and_fix_them(generate, model_of, prompts, project):
    assert generate([model_of("a")], split="train", limit=1).prompts == [prompts[0].pk]
    assert generate([model_of("b")], prompts=prompts[2:]).prompts == [prompts[2].pk, prompts[3].pk]


def test_several_answers_are_sampled_where_the_model_does_not_say(generate, model_of):
    assert generate([model_of("a")], n=2).parts.get().run.spec["settings"] == {"temperature": 1.0, "n": 2}
    assert generate([model_of("b")]).parts.get().run.spec["settings"] == {"n": 1}


def test_storing_twice_stores_once(generate, model_of):
    from feedbackhub.catalog.generations import generation_store

    generation = generate([model_of()])
    assert Output.objects.count() == 4
    assert generation_store(run=generation.parts.get().run) == 0
    assert Output.objects.count() == 4
    assert generation.parts.get().stored == 4


def test_a_job_lost_between_the_end_and_the_storing_is_made_good_by_the_sweeper(
    project,
    model_of,
    prompts,
    stand_in,
    queue,
):
    from feedbackhub.runs.services import run_supervise

    generation = services.generation_create(project=project, models=[model_of()])
    assert run_supervise(run_id=generation.parts.get().run_id).state == "completed"
    assert Output.objects.count() == 0
    services.sweep()
    generation.refresh_from_db()
    assert (generation.status, Output.objects.count()) == ("done", 4)


def test_a_failure_is_told_in_words_and_what_was_written_is_kept_and_resumed(generate, model_of, project, queue):
    services.prompt_get_or_create(project=project, prompt="[once] parsley")
    generation = generate([model_of()])
    assert generation.status == "failed"
    assert generation.error == "tiny: The model does not fit into memory."
    assert Output.objects.count() == 4
    services.generation_resume(generation=generation)
    assert generation.status == "pending" or generation.status == "running"
    queue()
    generation.refresh_from_db()
    assert (generation.status, generation.error, Output.objects.count()) == ("done", "", 5)


def test_stopping_a_waiting_generation_ends_it(project, model_of, prompts, stand_in, queue):
    generation = services.generation_create(project=project, models=[model_of("a"), model_of("b")])
    services.generation_stop(generation=generation)
    queue()
    generation.refresh_from_db()
    assert generation.status == "failed"
    assert generation.error == "a: was stopped\nb: was stopped"
    with pytest.raises(DomainError, match="nothing to stop"):
        services.generation_stop(generation=generation)


def test_outputs_are_traced_in_the_transaction_that_stores_them(generate, model_of, settings):
    settings.LANGSMITH_API_KEY = "key"
    settings.LANGSMITH_ENDPOINT = "http://127.0.0.1:9"
    generate([model_of()])
    assert set(TracedRun.objects.values_list("run_uuid", flat=True)) == set(
        Output.objects.values_list("run_uuid", flat=True)
    )
    sent = [delivery.payload["inputs"] for delivery in Delivery.objects.filter(operation="run_create")]
    assert {"messages": [{"role": "user", "content": "salt"}]} in sent


def test_what_cannot_be_generated_is_refused_in_words(project, model_of, prompts, root, stand_in, weights):
    create = services.generation_create
    model = model_of()
    imported = services.model_get_or_create_imported(project=project, name="gpt")
    judge = services.model_create(
        project=project, name="remote", kind="openai", base="gpt-x", endpoint="https://api.example/v1", role="reward"
    )
    other = project_create(by=root, slug="garage", name="Garage")
    stranger = services.model_create(project=other, name="x", kind="local", base=str(weights))
    for wish, words in [
        ({"models": []}, "Choose 1 to 20 models"),
        ({"models": [model, model]}, "named twice"),
        ({"models": [imported]}, "imported outputs or votes only"),
        ({"models": [judge]}, "tells no likelihoods"),
        ({"models": [stranger]}, "belongs to another project"),
        ({"models": [model], "split": "dev"}, 'split "dev" is none of train, validation, test'),
        ({"models": [model], "split": "test", "prompts": prompts}, "not both"),
        ({"models": [model], "n": 0}, "from 1 to 16"),
        ({"models": [model], "limit": 0}, "from 1 on"),
        ({"models": [model], "prompts": []}, "no prompt to answer"),
        ({"models": [model_of("greedy", temperature=0)], "n": 2}, "one and the same"),
    ]:
        with pytest.raises(DomainError, match=words):
            create(project=project, **wish)
    (weights / "config.json").unlink()
    with pytest.raises(DomainError, match="has no config.json"):
        create(project=project, models=[model])
    assert not Generation.objects.exists()
