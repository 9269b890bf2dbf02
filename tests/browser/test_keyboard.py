"""Choosing a plan, paying, and changing seats by keys alone; every stop of Tab can be seen."""

import pytest

from tests.browser.visitor import DESKTOP
from tests.factories.orgs import OrganizationFactory, UserFactory

pytestmark = pytest.mark.verify

FURTHEST = 80  # stops of Tab; whoever needs more has lost the way
# What has the focus: its name, and what hides it from who looks for it.
STOP = """() => {
  const element = document.activeElement;
  if (element === document.body) return null;
  const label = element.closest("label, .seg") || element.labels?.[0];
  const small = element.getBoundingClientRect().width < 4;
  const seen = [element, element.closest("label")].filter(Boolean).some((each) => {
    const style = getComputedStyle(each);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
    return outlined || style.boxShadow !== "none";
  });
  const box = (small && label ? label : element).getBoundingClientRect();
  const inside = box.bottom > 0 && box.right > 0
    && box.top < innerHeight && box.left < innerWidth && box.width > 0 && box.height > 0;
  const x = Math.min(Math.max(box.left + box.width / 2, 1), innerWidth - 1);
  const y = Math.min(Math.max(box.top + box.height / 2, 1), innerHeight - 1);
  const top = document.elementFromPoint(x, y);
  const covered = !top || !(element.contains(top) || top.contains(element)
    || (label && label.contains(top)));
  const name = element.getAttribute("aria-label")
    || [...(element.labels || [])].map((each) => each.innerText).join(" ")
    || element.innerText || element.id || element.tagName;
  const why = [["no ring", !seen], ["off the window", !inside], ["covered", covered]]
    .filter((each) => each[1]).map((each) => each[0]);
  return {name: name.trim().replace(/\\s+/g, " "), why};
}"""


class Keys:
    """Somebody without a mouse."""

    def __init__(self, page):
        self.page = page
        self.unseen: list[str] = []
        self.stops = 0

    def tab_to(self, name):
        """By Tab alone, to what is called so."""
        passed = []
        for _stop in range(FURTHEST):
            self.page.keyboard.press("Tab")
            self.stops += 1
            stop = self.page.evaluate(STOP)
            if stop is None:
                continue
            passed.append(stop["name"])
            if stop["why"]:
                self.unseen.append(f"{self.page.url} {stop['name']}: {', '.join(stop['why'])}")
            if stop["name"] == name:
                return
        pytest.fail(f"Tab does not come to “{name}”, only to {passed}")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def write(self, name, text):
        self.tab_to(name)
        self.press("ControlOrMeta+a")
        self.page.keyboard.type(text)


@pytest.fixture
def owner(simulator):
    owner = UserFactory.create(name="Lê Thu Hà", email="ha@halong.example")
    OrganizationFactory.create(name="Hạ Long Studio", slug="ha-long", owner=owner)
    return owner


def test_by_keys_alone_an_owner_chooses_pays_and_adds_a_seat(visitor, owner, simulator):
    visitor.page.emulate_media(reduced_motion="reduce")
    visitor.page.set_viewport_size(DESKTOP)
    visitor.sign_in(owner)
    keys = Keys(visitor.page)

    keys.tab_to("Billing")
    keys.press("Enter")
    visitor.page.get_by_role("heading", level=1, name="Billing").wait_for()
    choose_yearly_pro(keys, visitor)
    pay(keys, visitor)
    simulator.wait_until_idle()
    keys.tab_to("Back to billing")
    keys.press("Enter")
    visitor.reads("Your plan")
    keys.write("Seats", "4")
    keys.press("Enter")
    visitor.reads("Charged today")
    keys.tab_to("Confirm the change")
    keys.press("Enter")

    visitor.reads("Done. You are on Pro.")
    visitor.reads("4 seats")
    assert keys.unseen == []


def choose_yearly_pro(keys, visitor):
    keys.tab_to("Monthly")
    keys.press("ArrowRight")
    visitor.reads("per seat a year")
    keys.tab_to("Upgrade to Pro")
    keys.press("Enter")
    visitor.page.get_by_role("heading", name="Order summary").wait_for()


def pay(keys, visitor):
    """On the hosted page: Tab follows its order, and arrows choose the card."""
    for name, text in (
        ("Name", "Lê Thu Hà"),
        ("Country", "Viet"),
        ("Address", "24 Nguyễn Huệ"),
        ("City", "Thành phố Hồ Chí Minh"),
        ("Postal code", "700000"),
    ):
        keys.tab_to(name)
        visitor.page.keyboard.type(text)
    keys.tab_to(visitor.page.locator("button[value=pay]").inner_text())
    keys.press("Enter")
    visitor.reads("You are on Pro")
