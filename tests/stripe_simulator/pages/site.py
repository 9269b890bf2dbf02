"""The hosted pages: plain forms over the same verbs that the API and the controls use."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.stripe_simulator.delivery import Courier
from tests.stripe_simulator.errors import StripeError
from tests.stripe_simulator.pages.words import say
from tests.stripe_simulator.simulator import Simulator

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(),
    trim_blocks=True,
    lstrip_blocks=True,
)
# form-action stays open: Checkout answers a form with a redirect to the seller's own site.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "form-action *; base-uri 'none'; frame-ancestors 'none'"
)


# Who may move clocks and trouble deliveries.
LOCAL = {"127.0.0.1", "::1", "testclient"}


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request for a page: what it names in its path and query, what it sends in its form."""

    method: str
    path: dict[str, str]
    query: dict[str, str]
    form: dict[str, str]


Page = Callable[[Simulator, Visit], Response]


def page(sim: Simulator, courier: Courier, path: str, show: Page, *methods: str) -> Route:
    """A route whose page works under the simulator's lock, as one unit."""

    def work(visit: Visit) -> Response:
        with sim.lock:
            try:
                response = show(sim, visit)
            except StripeError as refused:
                sim.store.rollback()
                response = message("Nothing to see here", str(refused), status=refused.status)
            except Exception as bug:
                sim.store.rollback()
                sim.violations.append(f"{visit.method} {path} crashed: {bug!r}")
                raise
            sim.store.commit()
        courier.wake()
        return response

    async def respond(request: Request) -> Response:
        if path.startswith("/_sim") and request.client and request.client.host not in LOCAL:
            return message("Local callers only", "This page moves clocks.", status=403)
        text = (await request.body()).decode("utf-8", "replace")
        visit = Visit(
            method=request.method,
            path=dict(request.path_params),
            query=dict(request.query_params),
            form=dict(parse_qsl(text, keep_blank_values=True)),
        )
        return await run_in_threadpool(work, visit)

    return Route(path, respond, methods=list(methods or ("GET", "POST")))


def html(name: str, status: int = 200, *, locale: str = "en", **context: Any) -> Response:
    words = partial(say, locale)
    text = TEMPLATES.get_template(name).render(locale=locale, _=words, **context)
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(text, status, headers)


def message(
    title: str, text: str, status: int = 200, *, locale: str = "en", **link: Any
) -> Response:
    """`link` and `link_text` lead on, where there is somewhere to go."""
    title, text = say(locale, title), say(locale, text)
    return html("message.html", status, locale=locale, title=title, text=text, **link)


def redirect(url: str) -> Response:
    return RedirectResponse(url, 303)
