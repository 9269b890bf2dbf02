"""What happens to that which exceeds a limit, in words; nothing is ever deleted for it."""

from django.utils.translation import gettext as _

from billing.catalog.policies import OverLimit


def sentence(policy: OverLimit) -> str:
    """The catalogue's policy for the meter, after the sentence that says how much is too much."""
    match policy:
        case "block_new":
            return _("What you have stays; nothing new is added until it fits.")
        case "stop_surplus":
            return _("What exceeds the limit is stopped. Nothing is deleted.")
        case "freeze_newest":
            return _("The newest can be read and no longer changed. Nothing is deleted.")
        case "owner_chooses":
            return _("Choose what to give up. Until then nothing new is added.")
        case "flag":
            return _("It keeps working, and is only marked.")
