import re

from config.embedded import BASE_DIR


def test_every_variable_that_the_settings_read_is_explained_in_the_example():
    source = (BASE_DIR / "config" / "settings.py").read_text()
    read = set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z_]+)"', source))

    example = (BASE_DIR / ".env.example").read_text()
    explained = set(re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE))

    assert len(read) > 20
    assert read - explained == set()
