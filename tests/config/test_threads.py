"""WSGI in threads on an RSGI server: the real Granian, asked over a socket."""

import http.client
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from config.threads import LARGEST_BODY, _address
from tests import children
from tests.config.rsgi_probe import PARTS
from tests.processes import ROOT, running, wait_until
from tests.stripe_simulator.process import free_port


@pytest.fixture(scope="module")
def port(django_db_setup, django_db_blocker):
    number = free_port()
    server = (sys.executable, "-m", "granian", "--interface", "rsgi", "--host", "127.0.0.1")
    with (
        django_db_blocker.unblock(),
        running(
            *server,
            *("--no-ws", "--port", str(number), "tests.config.rsgi_probe:application"),
            cwd=ROOT,
            **children.measured(),
        ),
    ):
        wait_until(lambda: is_open(number), seconds=30)
        yield number


def is_open(port):
    try:
        return ask(port, "GET", "/").status == 200
    except OSError:
        return False


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.getheaders()
        self.content = response.read()

    @property
    def asked(self):
        return json.loads(self.content)


def ask(port, method, path, body=None, headers=(), **options):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path)
        chunked = options.get("chunked", False)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif body is not None:
            connection.putheader("Content-Length", str(len(body)))
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(
            iter([body[:3], body[3:]]) if chunked else body, encode_chunked=chunked
        )
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_a_request_reaches_the_application_as_pep_3333_has_it(port):
    headers = [("Cookie", "a=1"), ("Cookie", "b=2"), ("X-Two", "1"), ("X-Two", "2")]

    asked = ask(port, "POST", "/o/%C3%A9%20x?a=1%202&b", b"{}", headers).asked

    assert asked["REQUEST_METHOD"] == "POST"
    assert asked["PATH_INFO"].encode("latin-1").decode() == "/o/é x"
    assert asked["QUERY_STRING"] == "a=1%202&b"
    assert asked["HTTP_COOKIE"] == "a=1; b=2"
    assert asked["HTTP_X_TWO"] == "1,2"
    assert (asked["CONTENT_LENGTH"], asked["body"]) == ("2", "{}")
    assert (asked["REMOTE_ADDR"], asked["SERVER_PORT"]) == ("127.0.0.1", str(port))
    assert asked["HTTP_HOST"] == f"127.0.0.1:{port}"


def test_an_address_of_six_is_an_address_to_django_too():
    assert _address("[2001:db8::7]:443") == ("2001:db8::7", "443")


def test_a_header_with_an_underscore_cannot_pass_for_another(port):
    headers = [("X_Forwarded_For", "10.0.0.1")]

    asked = ask(port, "GET", "/", None, headers).asked

    assert "HTTP_X_FORWARDED_FOR" not in asked


def test_every_cookie_is_set_for_itself(port):
    headers = ask(port, "GET", "/").headers

    assert [value for name, value in headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]


def test_a_body_without_a_length_is_read_to_its_end(port):
    assert ask(port, "POST", "/", b"in two chunks", chunked=True).asked["body"] == "in two chunks"


def test_a_body_that_nothing_accepts_is_refused_unread(port):
    answer = ask(port, "POST", "/", b"", [("Content-Length", str(LARGEST_BODY + 1))])

    assert answer.status in {400, 413}


def test_a_download_is_sent_whole_and_closed(port):
    content = ask(port, "GET", "/download").content

    assert content == b"".join(f"{number},".encode() * 1_000 for number in range(PARTS))
    assert ask(port, "GET", "/closed").content == b"1"


def test_a_bug_is_an_answer_of_500_and_the_next_request_is_served(port):
    assert ask(port, "GET", "/fails").status == 500
    assert ask(port, "GET", "/").status == 200


def test_requests_are_served_beside_each_other(port):
    """Four that wait for each other: one after the other they would never end."""
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(lambda _: ask(port, "GET", "/together").status, range(4)))

    assert answers == [200] * 4
