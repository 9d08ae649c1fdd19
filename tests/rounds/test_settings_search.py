"""A search for settings on a draft's page and through the API: it goes on by itself, run by run, and nobody waits."""

import sys
from pathlib import Path
from threading import Barrier, Thread

import pytest
from django.conf import settings as site
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import override

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.services import prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.rounds import searches, services
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.models import Round
from feedbackhub.rounds.search import share_error
from feedbackhub.runs.models import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue")]
GERMAN = {"Accept-Language": "de"}


@pytest.fixture
def base(project, weights, stand_in):
    return ModelVersion.objects.create(project=project, name="tiny", kind="local", base=str(weights))


@pytest.fixture
def dataset(project, alice, pair, judge):
    """20 pairs, 8 of them to validate on, and one that nobody may read."""
    for number in range(20):
        one, other = pair(f"question {number}", split="validation" if number < 8 else "train")
        judge([[one], [other]])
    one, other = pair("never to be read", split="test")
    judge([[one], [other]])
    return dataset_freeze(project=project, by=alice)


@pytest.fixture
def draft(project, alice, base, dataset):
    def make(recipe="dpo", **given):
        given = {"base_model": base, "dataset": dataset, "settings": {"seed": 5, "batch_size": 4}, **given}
        return services.round_create(project=project, by=alice, recipe=recipe, **given)

    return make


def tries():
    """The runs of searches, as they were made: those of drafts have a batch of prompts to sample."""
    return Run.objects.exclude(spec__settings__max_steps=None).order_by("pk")


def tried():
    return [tuple(run.spec["settings"][name] for name in ("learning_rate", "beta", "lora_r")) for run in tries()]


def end(run, accuracy):
    """The run comes to its end; None: it fails."""
    run.state = "failed" if accuracy is None else "completed"
    run.error_message = "the loss is no number any more" if accuracy is None else ""
    run.result, run.finished_at = {"metrics": {"validation_accuracy": accuracy}}, timezone.now()
    run.save()


def sweep():
    """As `manage.py sweep` does for this room."""
    for name in site.SWEEPS:
        if name.startswith("feedbackhub.rounds."):
            import_string(name)()


def play(search, accuracy):
    """Sweep until the search is over, each run ending with what accuracy(its settings) says."""
    for _ in range(10):
        sweep()
        search.refresh_from_db()
        if search.status != "running":
            break
        end(search.run, accuracy(search.run.spec["settings"]))
    return search


# --- It goes on by itself --------------------------------------------------------------------------------------------


def test_it_goes_rate_by_rate_then_beta_then_rank_from_the_drafts_settings(draft, alice):
    tuning_round = draft(settings={"seed": 5, "learning_rate": 1e-4})
    search = searches.search_create(tuning_round=tuning_round, by=alice, steps=12)
    assert [run.state for run in tries()] == ["queued"], "one at a time"
    play(search, lambda s: {3e-4: 0.9}.get(s["learning_rate"], 0.3) - (s["beta"] != 0.1) * 0.2)
    assert tried() == [
        *((1e-4, 0.1, 16), (3.33e-5, 0.1, 16), (3e-4, 0.1, 16)),
        *((3e-4, 0.0333, 16), (3e-4, 0.3, 16), (3e-4, 0.1, 8), (3e-4, 0.1, 32)),
    ]
    assert search.status == "done"
    assert search.finished_at
    assert search.result["pick"] == {"learning_rate": 3e-4, "beta": 0.1, "lora_r": 16}
    assert [one["score"] for one in search.result["tries"]] == pytest.approx([0.3, 0.3, 0.9, 0.7, 0.7, 0.9, 0.9])
    assert [one["run"] for one in search.result["tries"] if one["picked"]] == [tries()[2].pk]
    assert "the best validation accuracy of 7 tries, 0.9" in searches.search_shown(search)["reason"]
    for run in tries():
        assert (run.spec["settings"]["max_steps"], run.spec["settings"]["seed"]) == (12, 5)
        assert run.spec["settings"]["lora_alpha"] == 2 * run.spec["settings"]["lora_r"]
        written = "".join(path.read_text() for path in run.directory.rglob("*.jsonl"))
        assert "question 1" in written
        assert "never to be read" not in written


def test_swept_again_and_again_it_makes_no_run_twice_and_reads_no_row(draft, alice):
    search = searches.search_create(tuning_round=draft(), by=alice)
    stale = searches.search_latest(search.round)
    with CaptureQueriesContext(connection) as made:
        sweep()
        sweep()
    assert tries().count() == 1
    end(tries().get(), 0.5)
    sweep()
    searches.search_advance(search=stale)  # another sweeper, that has looked before
    assert tries().count() == 2
    Run.objects.filter(state="queued").update(state="draft")  # its transaction came through, its job did not
    with CaptureQueriesContext(connection) as replayed:
        search.refresh_from_db()
        searches.search_advance(search=search)
    assert [run.state for run in tries()] == ["completed", "queued"]
    asked = "".join(query["sql"] for query in (*made, *replayed))
    assert "rounds_settingssearch" in asked
    assert "rounds_preferencerow" not in asked, "what is there is not written again"


@pytest.mark.django_db(transaction=True)
def test_sweepers_that_meet_make_the_next_run_once(draft, alice):
    search = searches.search_create(tuning_round=draft(), by=alice)
    end(search.run, 0.5)
    together = Barrier(4)

    def advance():
        together.wait()
        searches.search_advance(search=search)
        connection.close()

    threads = [Thread(target=advance) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.state for run in tries()] == ["completed", "queued"]


def test_the_job_of_a_run_that_ends_goes_on_with_the_search(draft, alice):
    from feedbackhub.rounds.jobs import measure

    search = searches.search_create(tuning_round=draft(), by=alice)
    end(search.run, 0.5)
    measure(search.run.pk)
    assert [run.state for run in tries()] == ["completed", "queued"]


def test_without_an_adapter_no_rank_is_tried(draft, alice):
    search = searches.search_create(tuning_round=draft(settings={"method": "full"}), by=alice)
    play(search, lambda s: 0.5)
    assert [set(one["settings"]) for one in search.result["tries"]] == [{"learning_rate", "beta"}] * 5
    assert searches.search_shown(search)["tries_at_most"] == 5


def test_a_try_that_fails_is_passed_over_and_said(draft, alice, client_of, project):
    search = searches.search_create(tuning_round=draft(), by=alice)
    play(search, lambda s: None if s["learning_rate"] > 3e-4 else 0.6)
    assert (search.status, len(search.result["tries"]), len(search.result["failed"])) == ("done", 7, 1)
    page = client_of(alice).get(f"/p/{project.slug}/rounds/{search.round.number}/").content.decode()
    assert "the loss is no number any more" in page


def test_a_search_of_which_nothing_came_says_why_and_can_be_made_again(draft, alice, client_of, project):
    search = searches.search_create(tuning_round=draft(), by=alice)
    play(search, lambda s: None)
    assert search.status == "failed"
    page = client_of(alice).get(f"/p/{project.slug}/rounds/{search.round.number}/").content.decode()
    assert "None of the tries came to its end" in page
    assert "Search again" in page
    assert "every 2s" not in page
    with override("de"):
        german = client_of(alice).get(f"/p/{project.slug}/rounds/{search.round.number}/", headers=GERMAN)
    assert "Keiner der Versuche kam ans Ende" in german.content.decode()
    with pytest.raises(DomainError, match="picked no settings"):
        searches.search_draft(search=search, by=alice)
    count = tries().count()
    again = searches.search_create(tuning_round=search.round, by=alice)
    play(again, lambda s: 0.6)
    assert (again.status, tries().count()) == ("done", count), "the runs that had failed were tried once more"


# --- Stop ------------------------------------------------------------------------------------------------------------


def test_stop_ends_the_search_and_its_run_and_a_new_one_goes_on_there(draft, alice):
    search = searches.search_create(tuning_round=draft(), by=alice)
    end(search.run, 0.5)
    sweep()
    search.refresh_from_db()
    searches.search_stop(search=search)
    sweep()
    search.refresh_from_db()
    assert (search.status, search.run.state) == ("stopped", "stopped")
    assert tries().count() == 2
    with pytest.raises(DomainError, match="is over"):
        searches.search_stop(search=search)
    again = searches.search_create(tuning_round=search.round, by=alice)
    assert again.run == search.run
    assert [run.state for run in tries()] == ["completed", "queued"]
    play(again, lambda s: 0.5)
    assert (len(again.result["tries"]), again.result["failed"]) == (7, [])


def test_while_a_stopped_run_writes_its_checkpoint_no_search_begins(draft, alice, client_of, project):
    search = searches.search_create(tuning_round=draft(), by=alice)
    Run.objects.filter(pk=search.run.pk).update(state="running")
    searches.search_stop(search=search)
    assert tries().get().state == "stopping"
    page = client_of(alice).get(f"/p/{project.slug}/rounds/{search.round.number}/").content.decode()
    assert "its last run writes a checkpoint" in page
    with pytest.raises(DomainError, match="just stopping"):
        searches.search_create(tuning_round=search.round, by=alice)


def test_two_drafts_that_want_the_same_run_share_it_and_one_stop_leaves_it(draft, alice):
    one = searches.search_create(tuning_round=draft(), by=alice)
    other = searches.search_create(tuning_round=draft(), by=alice)
    assert one.run == other.run
    searches.search_stop(search=one)
    assert tries().get().state == "queued"
    searches.search_stop(search=other)
    assert tries().get().state == "stopped"


# --- What is refused -------------------------------------------------------------------------------------------------


def test_what_cannot_be_searched_is_refused_in_words(draft, alice, project, base, dataset, make_prompt):
    def refused(tuning_round, words, **given):
        with pytest.raises(DomainError, match=words):
            searches.search_create(tuning_round=tuning_round, by=alice, **given)

    refused(draft(), "steps must be from 1 to 1000", steps=0)
    prompts = dataset_freeze(project=project, by=alice, kind="prompts")
    for recipe in ("grpo", "rloo", "ppo"):
        online = draft(recipe, dataset=prompts, settings={"rule_max_words": 20})
        refused(online, "cannot be compared on validation rows")
    for split in ("train", "validation"):
        make_prompt(f"say {split}", split=split, references=["it is"])
    several = [(dataset_freeze(project=project, by=alice, kind="sft"), 1.0) for _ in range(2)]
    refused(draft("sft", dataset=None, mixture=several, settings={}), "A mixture of datasets is not searched")
    launched = draft()
    services.round_launch(tuning_round=launched)
    refused(launched, "no draft any more")
    search = searches.search_create(tuning_round=draft(), by=alice)
    refused(search.round, "under way already")
    dataset.counts["validation"] = 0
    dataset.save()
    refused(draft(), "no validation row")
    assert tries().filter(recipe="dpo").count() == 1


# --- The page --------------------------------------------------------------------------------------------------------


def test_an_admin_searches_watches_and_drafts_the_pick_on_the_page(draft, alice, dave, project, client_of):
    tuning_round, admin = draft(), client_of(alice)
    url = f"/p/{project.slug}/rounds/{tuning_round.number}/"
    page = admin.get(url).content.decode()
    assert "learning rate, β, rank" in page
    assert "7 short runs at most" in page
    assert "Only validation rows judge, here 8" in page
    assert "take the pick as a hint" in page
    assert "Measure the draft above" in page
    assert 'value="40"' in page
    assert "Search for settings" not in client_of(dave).get(url).content.decode()
    assert client_of(dave).post(url + "search/").status_code == 403
    assert "must be a whole number" in admin.post(url + "search/", {"steps": "1.5"}, follow=True).content.decode()

    assert admin.post(url + "search/", {"steps": "12"}).status_code == 302
    search = tuning_round.searches.get()
    assert search.steps == 12
    fragment = admin.get(url, headers={"HX-Request": "true", "HX-Target": "search"}).content.decode()
    heads = (">Run</th>", ">Validation accuracy</th>", ">Learning rate</th>", ">β</th>", ">Rank</th>", ">State</th>")
    assert sorted(heads, key=fragment.index) == list(heads)
    assert "<h1" not in fragment
    assert 'hx-trigger="every 2s"' in fragment
    assert "Run 1 of 7 at most" in fragment
    assert 'data-state="queued"' in fragment
    end(search.run, 0.75)
    sweep()
    fragment = admin.get(url, headers={"HX-Request": "true", "HX-Target": "search"}).content.decode()
    assert "0.7500 ± 0.1470" in fragment  # six of eight: √(0.75 · 0.25 / 8 + 1 / 256) / (1 + 1/8)
    assert "Run 2 of 7 at most" in fragment

    play(search, lambda s: 0.1)
    page = admin.get(url).content.decode()
    assert "every 2s" not in page
    assert page.count("<strong>picked</strong>") == 1
    assert "lora_r 16: the best validation accuracy of 7 tries, 0.75 ± 0.15" in page
    with override("de"):
        german = admin.get(url, headers=GERMAN).content.decode()
    assert "der beste Wert auf den Validierungszeilen (Genauigkeit) von 7 Versuchen" in german
    assert "Draft a round with these settings" not in client_of(dave).get(url).content.decode()
    answer = admin.post(url + "search/draft/")
    made = Round.objects.latest("pk")
    assert answer.url == f"/p/{project.slug}/rounds/{made.number}/"
    assert (made.run.state, made.recipe, made.base_model, made.dataset) == (
        *("draft", "dpo", tuning_round.base_model),
        tuning_round.dataset,
    )
    pick = search.result["pick"]
    assert made.settings == {"seed": 5, "batch_size": 4, **pick, "lora_alpha": 2 * pick["lora_r"]}


def test_a_few_rows_all_rightly_told_are_not_held_for_certain():
    assert share_error(1.0, 1) == pytest.approx(0.25)  # √(1/4) / 2
    assert share_error(0.0, 1) == share_error(1.0, 1)
    assert share_error(0.5, 10_000) == pytest.approx(0.005, rel=1e-3)


def test_enough_validation_rows_are_no_hint_only(draft, monkeypatch):
    tuning_round = draft()
    assert searches.search_plan(tuning_round)["few"]
    monkeypatch.setattr(searches, "FEW", 8)  # as many as there are
    assert not searches.search_plan(tuning_round)["few"]


def test_the_page_says_how_long_it_would_take_once_the_draft_is_measured(draft, alice, project, client_of):
    from feedbackhub.rounds.estimates import estimate_create

    tuning_round = draft()
    estimate = estimate_create(tuning_round=tuning_round, by=alice)
    found = {"seconds": 1.0, "steps": 20, "memory": {"peak_bytes": 1, "fits": True}}
    found |= {"parts": {"loading": 10.0, "training": 100.0, "evaluations": 30.0}, "measured": {"settings": {}}}
    found |= {"rows": {"tokens": {}, "cut": 0, "dropped": 0, "given": 12}, "device": {"memory_bytes": 2}}
    estimate.run.state, estimate.run.result = "completed", {"estimate": found}
    estimate.run.save()
    # Seven runs: loading, 40 steps of five seconds, two of five looks at the validation rows.
    assert searches.search_plan(tuning_round)["seconds"] == pytest.approx(7 * (10 + 40 * 5 + 12))
    page = client_of(alice).get(f"/p/{project.slug}/rounds/{tuning_round.number}/").content.decode()
    assert "With 40 steps a run about 26 min in all" in page


def test_the_page_says_why_a_draft_cannot_be_searched(draft, alice, project, dataset, client_of):
    dataset.counts["validation"] = 0
    dataset.save()
    tuning_round = draft()
    page = client_of(alice).get(f"/p/{project.slug}/rounds/{tuning_round.number}/").content.decode()
    assert "no validation row to choose on" in page
    assert 'id="search-steps"' not in page


def test_launched_meanwhile_the_round_still_shows_the_search_and_its_stop(draft, alice, project, client_of):
    search = searches.search_create(tuning_round=draft(), by=alice)
    services.round_launch(tuning_round=search.round)
    admin, url = client_of(alice), f"/p/{project.slug}/rounds/{search.round.number}/"
    assert 'id="search-stop"' in admin.get(url).content.decode()
    admin.post(url + "search/stop/")
    search.refresh_from_db()
    assert search.status == "stopped"


# --- The API ---------------------------------------------------------------------------------------------------------


def test_the_api_begins_tells_and_stops_a_search(draft, alice, bob, api_of):
    tuning_round, api = draft(), api_of(alice)
    url = f"/api/v1/rounds/{tuning_round.pk}/search/"
    assert (api.get(url).status_code, api.get(url).json()["code"]) == (404, "not_found")
    assert api.post(url + "stop/").status_code == 404
    assert api_of(bob).post(url).status_code == api_of(bob).get(url).status_code == 403
    for wrong in ({"steps": 0}, {"steps": "many"}, {"speed": 1}):
        refused = api.post(url, wrong, "json")
        assert (refused.status_code, list(refused.json()["fields"])) == (400, list(wrong))
    begun = api.post(url, {"steps": 3}, "json")
    assert begun.status_code == 202, begun.json()
    assert (begun.json()["status"], begun.json()["steps"], begun.json()["pick"]) == ("running", 3, None)
    assert [one["state"] for one in begun.json()["tries"]] == ["queued"]
    assert api.post(url).status_code == 409
    stopped = api.post(url + "stop/")
    assert (stopped.status_code, stopped.json()["status"]) == (202, "stopped")
    assert api.post(url + "stop/").status_code == 409

    assert api.post(url, {"steps": 3}, "json").status_code == 202
    play(tuning_round.searches.latest("pk"), lambda s: 0.5)
    told = api.get(url).json()
    assert (told["status"], told["metric"], told["rows"], len(told["tries"])) == ("done", "accuracy", 8, 7)
    assert told["pick"] == {"learning_rate": 2e-4, "beta": 0.1, "lora_r": 16}
    assert told["settings"] == {"seed": 5, "batch_size": 4, **told["pick"], "lora_alpha": 32}
    assert told["reason"].startswith("learning_rate 0.0002, beta 0.1, lora_r 16: ")


# --- For real --------------------------------------------------------------------------------------------------------


@pytest.mark.trains
@pytest.mark.django_db(transaction=True)
def test_a_search_trains_a_tiny_model_and_picks_by_its_validation_loss(
    project, alice, tmp_path, settings, monkeypatch, queue
):
    from training_cast import tiny_model

    settings.RUNS_DIR = tmp_path / "runs"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    base = ModelVersion.objects.create(
        project=project, name="tiny", kind="local", base=str(tiny_model(tmp_path / "real"))
    )
    for number in range(8):
        split = "validation" if number < 2 else "train"
        prompt_get_or_create(project=project, prompt=f"say {number}", references=[f"it is {number}"], split=split)
    # Every weight, and from a learning rate of 1 down only: two runs.
    tuning_round = services.round_create(
        project=project,
        by=alice,
        recipe="sft",
        base_model=base,
        dataset=dataset_freeze(project=project, by=alice, kind="sft"),
        settings={"method": "full", "learning_rate": 1.0, "batch_size": 2},
    )
    search = searches.search_create(tuning_round=tuning_round, by=alice, steps=2)
    queue()
    search.refresh_from_db()
    assert search.status == "done", [run.error_message for run in Run.objects.all()]
    told = searches.search_shown(search)
    assert (told["metric"], told["rows"], len(told["tries"]), told["failed"]) == ("loss", 2, 2, [])
    best = min(told["tries"], key=lambda one: one["score"])
    picked = next(one for one in told["tries"] if one["picked"])
    assert picked["score"] <= best["score"] * 1.01 + 1e-9
    assert len({one["score"] for one in told["tries"]}) == 2, "each was trained with settings of its own"
