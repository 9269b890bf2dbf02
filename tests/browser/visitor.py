"""A person before the browser: clicks what has a name, and looks at every page in three ways."""

import os
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

from tests.factories.orgs import PASSWORD

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
LOOKS = {"light": (DESKTOP, "light"), "dark": (DESKTOP, "dark"), "mobile": (PHONE, "light")}
# Named in SCREENSHOTS, a folder receives a picture of every page in every look.
PICTURES = os.environ.get("SCREENSHOTS")


class Visitor:
    def __init__(self, page):
        self.page = page
        self.axe = Axe()
        self.complaints: list[str] = []
        page.set_viewport_size(DESKTOP)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._listen)

    def sign_in(self, user):
        self.page.goto("/accounts/login/")
        self.page.get_by_label("Email").fill(user.email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.press("Sign in")
        self.page.get_by_role("navigation", name="Settings").wait_for()

    def go(self, name):
        """By the settings navigation."""
        self.page.get_by_role("navigation", name="Settings").get_by_role("link", name=name).click()
        self.page.get_by_role("heading", level=1, name=name).wait_for()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def reads(self, sentence):
        """Waits until the page says so."""
        self.page.get_by_text(sentence).first.wait_for()

    def pay_at_checkout(self, card, *, look=True):
        """Fills in the hosted page; `card` is what stands beside the test card."""
        page = self.page
        page.get_by_role("heading", name="Order summary").wait_for()
        page.get_by_label("Name").fill("Lê Thu Hà")
        page.get_by_label("Country").select_option("VN")
        page.get_by_label("Address", exact=True).fill("24 Nguyễn Huệ")
        page.get_by_label("City").fill("Thành phố Hồ Chí Minh")
        page.get_by_label("Postal code").fill("700000")
        page.get_by_label(card).check()
        if look:
            self.look("checkout")
        page.locator("button[value=pay]").click()

    def show(self, name):
        """A picture in every look, for who asked for pictures; `look` judges the page as well."""
        if not PICTURES:
            return
        for look, (size, scheme) in LOOKS.items():
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            self._keep_picture(f"{name}-{look}")
        self.page.set_viewport_size(DESKTOP)
        self.page.emulate_media(color_scheme="light")

    def look(self, name):
        """axe must find nothing, in light, in dark and on a phone."""
        for look, (size, scheme) in LOOKS.items():
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            self._keep_picture(f"{name}-{look}")
            found = self.axe.run(self.page)
            assert found.violations_count == 0, f"{name}, {look}: {found.generate_report()}"
        self.page.set_viewport_size(DESKTOP)
        self.page.emulate_media(color_scheme="light")

    def forgive(self, status):
        """The test asked for this refusal."""
        self.complaints = [each for each in self.complaints if status not in each]

    def _keep_picture(self, name):
        if PICTURES:
            path = Path(PICTURES) / f"{name}.png"
            self.page.screenshot(path=path, full_page=True)

    def _listen(self, message):
        if message.type == "error" and "status of 402" not in message.text:  # a declined card
            self.complaints.append(message.text)
