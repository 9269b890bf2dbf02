"""A copy of the default catalogue that a test may edit."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.catalog import loading


@dataclass(frozen=True)
class CatalogFile:
    path: Path

    @property
    def name(self):
        return str(self.path)

    def edit(self, old, new):
        text = self.path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{text.count(old)} times {old}"
        self.path.write_text(text.replace(old, new), encoding="utf-8")

    def leave_out(self, *tables):
        """Without these tables of the file, with all that is below them."""
        kept, leaves = [], False
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.startswith("["):
                leaves = line.lstrip("[").startswith(tables)
            if not leaves:
                kept.append(line)
        self.path.write_text("".join(kept), encoding="utf-8")


@pytest.fixture
def plans_alone(catalog_file):
    """The same without what is sold beside its plans."""
    catalog_file.leave_out("plans.pro.limits.ai_queries.overage", "addons.", "credit_packs.")
    return catalog_file


@pytest.fixture
def catalog_file(tmp_path):
    path = tmp_path / "edited.toml"
    path.write_text(loading.path_of("suite").read_text(encoding="utf-8"), encoding="utf-8")
    return CatalogFile(path)
