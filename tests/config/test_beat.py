"""Many beats, one sender; tasks by kind, and a worker that takes them all."""

import os
from functools import partial

import psycopg
import pytest
from celery import Celery
from django.db import connection

import billing.tasks  # noqa: F401  registered when they are imported
import quotas.tasks  # noqa: F401
from config import queues
from config.beat import LOOK_SECONDS, OneBeat
from config.celery import app
from tests.processes import wait_until

TASK = "tests.nothing"


@pytest.fixture
def beats(transactional_db, redis_server, tmp_path):
    """Two, as on two hosts: with files and connections of their own, and one broker."""
    own = Celery("beats", broker=os.environ["REDIS_URL"], set_as_current=False)
    own.conf.update(
        beat_schedule={"often": {"task": TASK, "schedule": 0.01}}, broker_transport_options={}
    )
    made = [
        OneBeat(own, schedule_filename=str(tmp_path / name), lazy=False)
        for name in ("first", "second")
    ]
    yield made
    for beat in made:
        beat.close()
    own.close()


def sends(beat, redis):
    """Whether a tick of this beat, or one of the next, puts a task into the queue."""
    before = redis.llen(queues.REST)
    waits = [beat.tick() for _ in range(20)]
    assert max(waits) <= LOOK_SECONDS
    return redis.llen(queues.REST) > before


def end_its_connection():
    parameters = connection.get_connection_params()
    for name in ("cursor_factory", "context"):
        parameters.pop(name, None)
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d"
            " ON d.oid = l.database AND d.datname = current_database()"
            " WHERE l.locktype = 'advisory' AND l.granted"
        )


def test_of_two_beats_one_sends_until_it_is_gone(beats, redis_server):
    first, second = beats

    assert sends(first, redis_server)
    assert not sends(second, redis_server)

    end_its_connection()
    wait_until(partial(sends, second, redis_server), seconds=20)
    assert not sends(first, redis_server)

    second.close()
    wait_until(partial(sends, first, redis_server), seconds=20)


def test_every_kind_of_task_has_its_queue_and_a_plain_worker_takes_all():
    assert set(queues.ROUTES) <= set(app.tasks)
    assert {route["queue"] for route in queues.ROUTES.values()} | {queues.REST} == set(queues.NAMES)
    assert set(app.amqp.queues) == set(queues.NAMES)
    assert app.amqp.router.route({}, "quotas.tasks.roll_up_usage")["queue"].name == "rollups"
    assert app.amqp.router.route({}, "billing.tasks.beat")["queue"].name == queues.REST
    assert app.conf.beat_scheduler == "config.beat:OneBeat"
