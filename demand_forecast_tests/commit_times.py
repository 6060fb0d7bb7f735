"""Tables that were written at other times than now."""

import re
from datetime import datetime
from pathlib import Path

from demand_forecast.lake.tables import Lake


def commit_at(lake: Lake, table: str, version: int, moment: datetime) -> None:
    """Has the commit of `version` made at `moment` (with time zone)."""
    log = Path(lake.location(table), "_delta_log", f"{version:020}.json")
    log.write_text(re.sub(r'"timestamp":\d+', f'"timestamp":{int(moment.timestamp() * 1000)}', log.read_text()))
