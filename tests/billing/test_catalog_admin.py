"""Staff look at plans; the file alone changes them."""

import pytest
from django.contrib import admin
from django.urls import reverse

from billing.admin.plans import SubscriptionPlanAdmin
from billing.models import SubscriptionPlan
from tests.factories.plans import PlanLimitFactory, PlanPriceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def look(rf, admin_user):
    """A rendered page of the plan admin, as a superuser sees it."""
    plans = SubscriptionPlanAdmin(SubscriptionPlan, admin.site)

    def page(view, *args):
        request = rf.get(reverse("admin:billing_subscriptionplan_changelist"))
        request.user = admin_user
        return getattr(plans, view)(request, *args).render().content.decode()

    return page


def test_a_plan_shows_its_prices_and_limits_as_people_read_them(look):
    price = PlanPriceFactory.create()
    PlanLimitFactory.create(plan=price.plan, meter="storage", amount=2 * 2**30)
    PlanLimitFactory.create(plan=price.plan, meter="of_another_catalogue", amount=None)

    page = look("change_view", str(price.plan.pk))

    assert "$6.00" in page
    assert price.stripe_price_id in page
    assert "2 GB" in page
    assert "∞" in page


def test_nothing_about_a_plan_can_be_written_in_the_admin(look, rf, admin_user):
    plan = PlanPriceFactory.create().plan
    plans = SubscriptionPlanAdmin(SubscriptionPlan, admin.site)
    request = rf.get("/")
    request.user = admin_user

    page = look("change_view", str(plan.pk))

    assert not plans.has_add_permission(request)
    assert not plans.has_change_permission(request, plan)
    assert not plans.has_delete_permission(request, plan)
    assert 'type="submit"' not in page
    assert 'name="_save"' not in page


def test_every_version_is_listed(look):
    price = PlanPriceFactory.create()

    page = look("changelist_view")

    assert price.plan.key in page
