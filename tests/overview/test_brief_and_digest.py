"""The project in one minute, and the same by mail once a week to those who asked for it."""

from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.overview import digest
from feedbackhub.overview.brief import brief
from feedbackhub.overview.models import DigestSubscription
from feedbackhub.projects.models import Membership
from feedbackhub.rating.models import PairTally

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair(project):
    parent = ModelVersion.objects.create(project=project, name="parent", kind="imported")
    return ModelVersion.objects.create(project=project, name="child", kind="imported", parent=parent), parent


@pytest.fixture
def tallied(project, pair):
    child, parent = pair
    counts = {"wins_a": 20, "wins_b": 60, "ties": 20}
    PairTally.objects.create(project=project, source="rater", model_a=parent, model_b=child, **counts)


@pytest.fixture
def mails(settings):
    settings.DIGEST_MAIL = True
    settings.SITE_URL = "https://hub.example"
    return mail.outbox


@pytest.fixture
def due(project, dave, mails):
    subscription = digest.digest_subscribe(project=project, user=dave, address="dave@example.com")
    subscription.next_at = timezone.now() - timedelta(minutes=1)
    subscription.save()
    return subscription


def test_a_minute_says_the_verdict_first(project, tallied):
    found = brief(project)
    assert found.sentences[0] == "child is better than parent. child wins 70 % of 100 votes (56 % to 82 %)."
    assert "child leads the board" in found.sentences[1]
    assert found.sentences[2] == "100 votes between 2 models count."


def test_a_project_without_anything_says_so_to_those_who_read_reports(project, dave, bob, client_of):
    assert brief(project).sentences == []
    assert "There is nothing to tell yet" in client_of(dave).get("/p/kitchen/").content.decode()
    assert "In one minute" not in client_of(bob).get("/p/kitchen/").content.decode()


def test_nobody_gets_mail_who_has_not_asked(project, tallied, dave, mails):
    digest.sweep()
    assert mails == []


def test_where_no_mail_is_set_up_nothing_is_offered_or_sent(project, dave, due, settings, client_of):
    settings.DIGEST_MAIL = False
    assert "every week" not in client_of(dave).get("/p/kitchen/").content.decode()
    digest.sweep()
    assert mail.outbox == []
    with pytest.raises(DomainError, match="EMAIL_URL"):
        digest.digest_subscribe(project=project, user=dave, address="dave@example.com")
    with pytest.raises(CommandError, match="EMAIL_URL"):
        call_command("digest")


def test_a_mail_a_week_in_words_with_numbers(project, tallied, due, mails):
    digest.sweep()
    digest.sweep()
    (sent,) = mails
    assert sent.to == ["dave@example.com"]
    assert sent.subject == "Kitchen: the week in feedback"
    assert "- child is better than parent. child wins 70 % of 100 votes" in sent.body
    assert "https://hub.example/p/kitchen/" in sent.body
    due.refresh_from_db()
    assert timedelta(days=6.9) < due.next_at - timezone.now() <= timedelta(days=7)


def test_the_link_in_the_mail_ends_it_with_a_click_that_is_meant(project, due, mails, dave):
    digest.sweep()
    header = mails[0].extra_headers["List-Unsubscribe"].strip("<>")
    address = header.removeprefix("https://hub.example")
    assert header in mails[0].body
    anyone = Client(enforce_csrf_checks=True)
    assert "Stop the weekly mail?" in anyone.get(address).content.decode()
    assert DigestSubscription.objects.exists(), "a scanner that opens links ends nothing"
    assert "It is stopped." in anyone.post(address, {"List-Unsubscribe": "One-Click"}).content.decode()
    assert not DigestSubscription.objects.exists()
    assert "It is stopped." in anyone.post(address).content.decode()
    assert anyone.get("/unsubscribe/forged/").status_code == 404


def test_who_may_not_read_the_reports_any_more_gets_none(project, due, mails, dave):
    Membership.objects.filter(user=dave).delete()
    digest.sweep()
    assert mails == []
    assert not DigestSubscription.objects.exists()


def test_a_mail_that_cannot_be_sent_is_tried_again_in_an_hour(project, due, mails, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens
    digest.sweep()
    due.refresh_from_db()
    assert due.last_sent_at is None
    assert due.next_at - timezone.now() <= timedelta(hours=1)


def test_one_asks_and_stops_on_the_page(project, dave, mails, client_of):
    browser = client_of(dave)
    assert 'name="address"' in browser.get("/p/kitchen/").content.decode()
    refused = browser.post("/p/kitchen/digest/", {"wanted": "1", "address": "nonsense"}, follow=True)
    assert "“nonsense” is no mail address." in refused.content.decode()
    browser.post("/p/kitchen/digest/", {"wanted": "1", "address": "dave@example.com"})
    assert "This comes to dave@example.com every week." in browser.get("/p/kitchen/").content.decode()
    browser.post("/p/kitchen/digest/", {"wanted": "0"})
    assert not DigestSubscription.objects.exists()


def test_raters_are_offered_no_mail(project, bob, mails, client_of):
    assert client_of(bob).post("/p/kitchen/digest/", {"wanted": "1", "address": "b@example.com"}).status_code == 403


def test_the_command_shows_and_sends(project, tallied, due, mails, capsys):
    call_command("digest", "kitchen", "--show")
    assert "Subject: Kitchen: the week in feedback" in capsys.readouterr().out
    assert mails == []
    call_command("digest", "kitchen")
    assert len(mails) == 1
    with pytest.raises(CommandError, match="no project"):
        call_command("digest", "nowhere")
