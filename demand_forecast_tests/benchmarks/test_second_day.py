"""A home whose configuration changes while it runs: every night and run ends well, and nothing counts twice."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.second_day.__main__ import CHANGES, measure, to_markdown
from benchmarks.second_day.retailer import DAYS, Retailer


def test_every_change_is_one_of_the_configuration_or_of_files(tmp_path: Path) -> None:
    retailer, seen = Retailer(tmp_path / "shop"), []
    for change in CHANGES:
        change.make(retailer)
        retailer.save()
        seen.append((yaml.safe_load(retailer.file.read_text()), sorted(tmp_path.rglob("*.csv"))))
    assert all(one != other for one, other in pairwise(seen))
    assert retailer.sales.height == 6 * DAYS


def test_the_table_has_a_line_a_command() -> None:
    rows = [{"change": "weekly", "exit": 0}, {"change": "daily", "exit": 0, "rows": 84}]
    assert to_markdown(rows).splitlines()[2:] == ["| weekly | 0 |  |", "| daily | 0 | 84 |"]


@pytest.mark.slow
def test_a_name_a_covariate_and_a_longer_horizon_heal_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DEMAND_FORECAST_HOME", "DEMAND_FORECAST_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    retailer = Retailer(tmp_path / "shop")

    def after(command: str, **changed: Any) -> dict[str, Any]:
        retailer.config.update(changed)
        retailer.save()
        done = measure(retailer, command)
        assert done["exit"] == 0, (retailer.folder / "commands.log").read_text()[-3000:]
        return done

    first = after("run", covariates={"known_future": ["promo"]})
    retailer.source["name"] = "shop"
    kept = after("night", covariates={"known_future": ["holiday"]}, horizon=28)
    assert (kept["units"], kept["rows"], kept["forecast by"]) == (first["units"], 84, first["champion"])
    healed = after("run")
    assert (healed["rows"], healed["forecast by"]) == (168, healed["champion"])
    assert healed["champion"] != first["champion"]
