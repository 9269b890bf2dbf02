"""What a browser calls itself, in two words that its owner recognizes."""

from typing import Final

# In this order: nearly every browser also claims to be the ones below it.
_BROWSERS: Final = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "Chrome/": "Chrome",
    "CriOS/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS: Final = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def described(user_agent: str) -> str:
    """Empty for what is none of them: a name that anybody can write is not repeated."""
    found = (_first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent))
    return ", ".join(word for word in found if word)


def _first(words: dict[str, str], user_agent: str) -> str:
    return next((word for sign, word in words.items() if sign in user_agent), "")
