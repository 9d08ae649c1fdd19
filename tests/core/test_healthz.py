"""/healthz is what a supervisor, a container or a load balancer asks."""

from ports import free_port


def test_200_when_database_and_queue_answer(client, db, queue):
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


def test_503_that_names_the_queue_when_it_is_away(client, db, settings):
    away = f"redis://127.0.0.1:{free_port()}/0"
    settings.RQ_QUEUES = {name: {**queue, "URL": away} for name, queue in settings.RQ_QUEUES.items()}
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "failing"
    assert "queue" in answer.json()
    assert "database" not in answer.json()
