"""Two threads of one process that write at once."""

import threading

import pytest
from django.db import connection, transaction

from feedbackhub.projects.models import Project


@pytest.mark.django_db(transaction=True)
def test_writers_of_one_process_take_turns(project):
    """On SQLite the second waits for the first without an error; on PostgreSQL both go on."""
    begun, end, order = threading.Event(), threading.Event(), []

    def first():
        with transaction.atomic():
            Project.objects.filter(pk=project.pk).update(name="first")
            begun.set()
            end.wait(30)
            order.append("first")
        connection.close()

    def second():
        begun.wait(30)
        with transaction.atomic():
            Project.objects.filter(pk=project.pk).update(name="second")
            order.append("second")
        connection.close()

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    end.set()
    for thread in threads:
        thread.join(60)

    assert order == ["first", "second"]
    assert Project.objects.get().name == "second"
