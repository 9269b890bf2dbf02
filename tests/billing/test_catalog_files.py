"""A catalogue file either loads, or says which key is wrong, one readable line per mistake."""

import copy
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as within
from hypothesis import strategies as st

from billing import catalog
from billing.catalog import loading

SUITE = tomllib.loads(loading.path_of("suite").read_text(encoding="utf-8"))
GONE = object()

BROKEN = [
    ("default_plan", "gold", "default_plan: no plan is called 'gold'"),
    ("default_plan", "pro", "default_plan: 'pro' is paid; it must be free"),
    ("currencies", ["usd", "xyz"], "currencies.1: 'xyz' is not a currency that Stripe charges"),
    ("currencies", ["usd", "vnd", "eur"], "plans.pro.prices.month.eur: is missing"),
    ("name", {"en": "Suite"}, "name: has no text in vi"),
    ("plans.pro.name.fr", "Pro", "plans.pro.name: is in fr, which locales does not list"),
    ("plans.pro.colour", "red", "plans.pro.colour: is not a key the catalogue knows"),
    ("plans.pro.summary", GONE, "plans.pro.summary: is missing"),
    ("plans.pro.prices", GONE, "plans.pro.prices: is missing; a paid plan needs a price"),
    ("plans.pro.prices.month.usd", "6.00", "plans.pro.prices.month.usd: "),
    ("plans.pro.prices.month.usd", 6.0, "plans.pro.prices.month.usd: "),
    ("plans.pro.prices.month.usd", -600, "plans.pro.prices.month.usd.amount: "),
    ("plans.pro.prices.week", {"usd": 100}, "plans.pro.prices.week: "),
    ("plans.hobby.prices", {"month": {"usd": 1, "vnd": 1}}, "plans.hobby.prices: a free plan has"),
    ("plans.hobby.limits.storage", GONE, "plans.hobby.limits.storage: is missing; write 0"),
    (
        "plans.hobby.limits.storage",
        "2 XB",
        "plans.hobby.limits.storage.amount: '2 XB' is no amount",
    ),
    ("plans.hobby.limits.storage", True, "plans.hobby.limits.storage.amount: True is no amount"),
    ("plans.hobby.limits.storage", -1, "plans.hobby.limits.storage.amount: -1 is outside 0"),
    ("plans.hobby.limits.storage", 10**15 + 1, "plans.hobby.limits.storage.amount: 1000000000000"),
    ("plans.hobby.limits.members", "5 GB", "plans.hobby.limits.members: '5 GB' is no amount of"),
    ("plans.hobby.limits.storge", 5, "plans.hobby.limits.storge: no meter is called 'storge'"),
    ("plans.hobby.features.wings", True, "plans.hobby.features.wings: no feature is called"),
    ("plans.hobby.features.sso", False, "plans.hobby.features.sso: a plan without the feature"),
    (
        "plans.hobby.limits.storage",
        {"amount": 5, "per": "seat"},
        "plans.hobby.limits.storage.per: a limit per seat needs a plan with per_seat = true",
    ),
    (
        "plans.hobby.limits.ai_queries",
        {"amount": 5, "hard": False, "overage": {"rates": {"usd": "1", "vnd": "1"}}},
        "plans.hobby.limits.ai_queries.overage: a free plan has no card",
    ),
    (
        "plans.pro.limits.storage",
        {"amount": 5, "hard": False, "overage": {"rates": {"usd": "1", "vnd": "1"}}},
        "plans.pro.limits.storage.overage: storage is available and a level: only flows",
    ),
    ("plans.pro.prices.month.eur", 500, "plans.pro.prices.month.eur: currencies does not list it"),
    (
        "env.prices",
        {"P": {"plan": "hobby", "interval": "month", "currency": "usd"}},
        "env.prices.P: ",
    ),
    (
        "env.prices",
        {"PRICE_X": {"plan": "hobby", "interval": "month", "currency": "usd"}},
        "env.prices.PRICE_X: hobby has no month price in usd",
    ),
    ("promotions", {"credits": {"WELCOME": {"amounts": {"eur": 5}}}}, "amounts.eur: currencies"),
    ("plans.hobby.seats", {"max": 9}, "plans.hobby.seats: only a plan with per_seat = true"),
    ("plans.hobby.everything_in", "pro", "plans.hobby.everything_in: must name a plan above it"),
    ("plans.pro.seats.max", 0, "plans.pro.seats.max: "),
    ("plans.pro.seats.cover", "storage", "plans.pro.seats.cover: no meter of rows is called"),
    ("plans.pro.limits.ai_queries.hard", True, "plans.pro.limits.ai_queries.overage: only a soft"),
    ("plans.pro.limits.ai_queries.overage.rates.usd", 0.04, "overage.rates.usd: 0.04 is no rate"),
    ("plans.pro.limits.ai_queries.overage.rates.vnd", GONE, "overage.rates.vnd: is missing"),
    ("plans.pro.limits.ai_queries.overage.per", 3, "overage.rates.usd: one unit would need over"),
    ("plans.pro.limits.members.contract", True, "plans.pro.limits.members.contract: only a plan"),
    ("plans.enterprise.trial", {"days": 3}, "plans.enterprise.trial: only a paid plan is tried"),
    ("plans.pro.trial.card", True, "plans.pro.trial: a trial with a card is Stripe's own"),
    ("meters.storage.reset", "day", "meters.storage.reset: a level never resets"),
    ("meters.storage.kind", "gauge", "meters.storage.kind: input should be"),
    (
        "features.storage",
        {"name": {"en": "S", "vi": "S"}},
        "features.storage: a meter has the same",
    ),
    ("statuses.paused", GONE, "statuses.paused: is missing"),
    ("statuses.incomplete.grants", "full", 'statuses: incomplete must say grants = "none"'),
    ("roles.admin", ["billing.rob"], "roles.admin: no capability is called 'billing.rob'"),
    (
        "transitions.rules",
        [{"from": "pro", "to": "x", "when": "at_once"}],
        "transitions.rules.0.to",
    ),
    ("dunning.refused_during_grace", ["cpu"], "dunning.refused_during_grace: no meter is called"),
    ("dunning.cancel_at_stripe", True, 'dunning: cancel_at_stripe belongs to at_end = "downgrade"'),
    ("enforcement.meters", {"cpu": "observe"}, "enforcement.meters.cpu: no meter is called 'cpu'"),
    ("beta.enabled", True, "beta: beta needs required_env"),
    ("addons.storage_10gb.plans", ["gold"], "addons.storage_10gb.plans: no plan is called 'gold'"),
    ("credit_packs.ai_10k.prices.vnd", GONE, "credit_packs.ai_10k.prices.vnd: is missing"),
    ("matrix", [{"name": {"en": "L", "vi": "L"}, "rows": ["cpu"]}], "matrix.0.rows: no meter or"),
    ("env.prices", {"P": {"plan": "pro", "interval": "day", "currency": "usd"}}, "env.prices.P"),
    ("contacts.sales", "", "contacts.sales: "),
    ("tax.code", "saas", "tax.code: "),
]


@pytest.mark.parametrize(
    ("key", "value", "line"), BROKEN, ids=[f"{k}-{n}" for n, (k, *_) in enumerate(BROKEN)]
)
def test_a_broken_file_names_itself_and_the_key_in_one_line(key, value, line):
    document = _with(key, value)

    with pytest.raises(catalog.CatalogInvalid) as caught:
        loading.parse(document, Path("/somewhere/broken.toml"))

    lines = str(caught.value).splitlines()
    assert all(found.startswith("broken.toml: ") for found in lines)
    assert any(line in found for found in lines), lines
    assert all(len(found) < 200 for found in lines)


def test_a_price_that_stripe_cannot_charge_is_refused(tmp_path):
    document = copy.deepcopy(SUITE)
    document["currencies"] = ["kwd"]
    document["plans"]["pro"]["prices"] = {"month": {"kwd": 5125}}

    with pytest.raises(catalog.CatalogInvalid) as caught:
        loading.parse(document, tmp_path / "kuwait.toml")

    assert (
        "kuwait.toml: plans.pro.prices.month.kwd: Stripe charges KWD in multiples of 10"
        in str(caught.value).splitlines()
    )


def _paths(value, path=()):
    yield path
    for key, part in value.items() if isinstance(value, dict) else ():
        yield from _paths(part, (*path, key))


PATHS = [path for path in _paths(SUITE) if path]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["unlimited", "2 GB", "50 h", "usd", "pro", "storage", "month", "en"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=10) | st.sampled_from(["en", "usd", "amount"]), inner)
    ),
    max_leaves=6,
)


@within(max_examples=300, deadline=None)
@given(st.sampled_from(PATHS), ANYTHING)
def test_whatever_somebody_writes_it_loads_or_says_why(path, value):
    document = copy.deepcopy(SUITE)
    *parents, last = path
    table = document
    for parent in parents:
        table = table[parent]
    table[last] = value

    said = _said_of(document)

    assert said is None or (said and all("\n" not in line for line in said))


def test_every_mistake_is_reported_not_only_the_first(tmp_path):
    document = copy.deepcopy(SUITE)
    document["default_plan"] = "gold"
    del document["plans"]["hobby"]["limits"]["members"]

    with pytest.raises(catalog.CatalogInvalid) as caught:
        loading.parse(document, tmp_path / "two.toml")

    assert [problem.key for problem in caught.value.problems] == [
        "default_plan",
        "plans.hobby.limits.members",
    ]


@pytest.mark.parametrize("content", [b"key = ", b"\xff\xfe", b'key = "a"\nkey = "b"'])
def test_a_file_that_is_no_toml_is_one_line_too(tmp_path, content):
    path = tmp_path / "torn.toml"
    path.write_bytes(content)

    with pytest.raises(catalog.CatalogInvalid) as caught:
        loading.load(path)

    assert str(caught.value).startswith("torn.toml: file: cannot be read: ")


def test_an_unknown_name_says_which_catalogues_there_are(settings):
    settings.CATALOG = "atlantis"

    with pytest.raises(catalog.CatalogInvalid, match=r"no such file; try .*suite"):
        catalog.current()


@pytest.mark.parametrize("name", loading.shipped())
def test_each_shipped_catalogue_is_valid_and_carries_its_own_name(name):
    found = loading.load(loading.path_of(name))

    assert found.key == name
    assert found.plans[found.default_plan].kind == "free"


def test_all_five_documents_have_a_catalogue():
    assert loading.shipped() == ["containers", "sessions", "suite", "tokens", "workspaces"]


def test_the_setting_may_be_a_path(settings, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(loading.path_of("suite").read_text().replace('"suite"', '"mine"', 1))
    settings.CATALOG = str(path)

    assert catalog.current().key == "mine"


def test_no_catalogue_is_named_in_code():
    root = Path(__file__).resolve().parents[2]
    code = [
        path
        for app in ("orgs", "billing", "quotas", "config", "templates")
        for path in (root / app).rglob("*")
        if path.suffix in {".py", ".html", ".sql"}
    ]

    named = [
        f"{path.relative_to(root)}: {name}"
        for path in code
        for name in loading.shipped()
        if f'"{name}"' in path.read_text(encoding="utf-8") and not _is_an_everyday_word(path, name)
    ]

    assert named == []


def _is_an_everyday_word(path, name):
    """The setting's default, and words that Django and Python use themselves."""
    defaults = {("settings.py", "suite"), ("variables.py", "suite")}
    return (path.name, name) in defaults or name in {"sessions", "tokens"}


def _said_of(document):
    """The lines of a refusal, or None for a document that loads. Anything else is a crash."""
    try:
        loading.parse(document, Path("/any.toml"))
    except catalog.CatalogInvalid as error:
        return [str(problem) for problem in error.problems]
    return None


def _with(key, value):
    document = copy.deepcopy(SUITE)
    *parents, last = key.split(".")
    table = document
    for parent in parents:
        table = table.setdefault(parent, {})
    if value is GONE:
        del table[last]
    else:
        table[last] = value
    return document
