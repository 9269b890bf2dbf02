"""Packs by clicking: more storage beside the plan, and units that are paid in advance."""

from tests.browser.test_owner_verbs import on_pro, owner

__all__ = ["on_pro", "owner"]


def test_an_owner_buys_storage_and_credits(on_pro, simulator):
    page = on_pro.page
    page.get_by_label("Number of +10 GB storage").fill("2")
    on_pro.press("See the price of +10 GB storage")
    on_pro.reads("Storage: 100 GB → 120 GB")
    on_pro.look("pack-price")
    on_pro.press("Confirm the change")
    on_pro.reads("You have 2.")

    on_pro.press("Buy 10,000 AI queries")
    on_pro.pay_at_checkout("The payment succeeds.")
    on_pro.reads("10,000 AI queries are yours")
    on_pro.reads("10,000 prepaid left")
    on_pro.look("packs")
