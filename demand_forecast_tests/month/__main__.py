"""`python -m demand_forecast_tests.month [--nights N] [--folder F] [--out FILE]`: a month of nights, played."""

import argparse
import json
import sys
from pathlib import Path
from tempfile import mkdtemp

from demand_forecast_tests.alerts.receivers import WebReceiver
from demand_forecast_tests.month.nights import NIGHTS, Month, to_markdown

INTRO = Path(__file__).with_name("intro.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demand_forecast_tests.month", description=__doc__)
    parser.add_argument("--nights", type=int, default=max(NIGHTS))
    parser.add_argument("--folder", type=Path, help="of the retailer; default: a temporary one, which is kept")
    parser.add_argument("--out", type=Path, help="where the table is written")
    asked = parser.parse_args()
    folder = (asked.folder or Path(mkdtemp(prefix="month-"))).resolve()
    folder.mkdir(exist_ok=True)
    print(f"in {folder}", flush=True)
    with WebReceiver() as receiver:
        month, rows = Month(folder, receiver), []
        try:
            print(f"first load and training: {'done' if month.begin() else 'NOT DONE'}", flush=True)
            month.system.new_runs()
            for number in range(1, asked.nights + 1):
                rows.append(month.play(number, NIGHTS[number]))
                print(json.dumps(rows[-1], default=str), flush=True)
        finally:
            month.system.stop()
    text = INTRO.read_text(encoding="utf-8") + to_markdown(rows)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    sys.exit(0 if all(row["well"] for row in rows) else 1)


if __name__ == "__main__":
    main()
