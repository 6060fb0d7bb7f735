"""What a contender is given: one retailer as it was known at one forecast origin. Needs no more than pandas."""

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

TASK_FILE = "task.json"


@dataclass(frozen=True)
class Task:
    """The tables in `folder` hold no sale after `origin`; prices, events, promotions are known for `horizon` periods.

    `panel.parquet` (peers): series (a number), date, units (null after the origin), price, `future` and `static`
    columns; complete from each series' first sale. The product's own tables lie beside it under their names.
    """

    folder: Path
    origin: date
    horizon: int
    frequency: str
    future: tuple[str, ...]
    static: tuple[str, ...]
    config: str
    seed: int = 7

    @property
    def cycle(self) -> int:
        """Periods until the day of the week returns."""
        return 7 if self.frequency == "daily" else 1

    @property
    def season(self) -> int:
        """Periods after which seasonal naive repeats."""
        return 7 if self.frequency == "daily" else 52

    @property
    def year(self) -> int:
        return 364 if self.frequency == "daily" else 52

    @property
    def offset(self) -> str:
        """The pandas name of the frequency."""
        return "D" if self.frequency == "daily" else "W-MON"

    def panel(self) -> Any:
        """The panel as a pandas frame; texts are categories."""
        import pandas as pd

        frame = pd.read_parquet(self.folder / "panel.parquet")
        return frame.assign(date=frame["date"].astype("datetime64[ns]"))

    def save(self) -> None:
        content = {**asdict(self), "folder": str(self.folder), "origin": self.origin.isoformat()}
        (self.folder / TASK_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Task":
        content = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
        lists = {name: tuple(content[name]) for name in ("future", "static")}
        return cls(**{**content, **lists, "folder": folder, "origin": date.fromisoformat(content["origin"])})
