"""No content, prompt, path or secret of customers enters the ledger (document 003)."""

from uuid import uuid4

import pytest

from quotas.engine import asking
from quotas.engine.decisions import Line
from quotas.exceptions import InvalidRequest
from quotas.models import Verb

STRIPE_KEY = "sk_live_" + "51CanaryCanaryCanary"
TOKEN = "lls_" + "canarycanarycanary"
PROMPT = "please summarise the contract with Acme in two lines"


def request(*, key="k", member="", **dimensions):
    line = Line("ai_queries", 1, member)
    return asking.use(Verb.CONSUME, uuid4(), [line], key, dimensions=dimensions)


@pytest.mark.parametrize("value", [PROMPT, "/srv/ann/plan.docx", "C:\\plan", "~/x", STRIPE_KEY])
def test_a_dimension_is_a_label_and_no_sentence_path_or_secret(value):
    with pytest.raises(InvalidRequest) as refused:
        request(model=value)

    assert refused.value.extra["field"] == "dimensions.model"
    assert value not in str(refused.value)


@pytest.mark.parametrize("secret", [STRIPE_KEY, TOKEN, f"bearer {TOKEN}"])
def test_a_secret_is_no_key_and_no_member(secret):
    with pytest.raises(InvalidRequest, match="looks like a secret"):
        request(key=secret)
    with pytest.raises(InvalidRequest, match="looks like a secret"):
        request(member=secret)


@pytest.mark.parametrize("value", ["gpt-5", "meta/llama-4:70b", "GPT 5 mini", "répertoire"])
def test_labels_as_services_use_them_pass(value):
    assert value in str(request(model=value).dimensions)
