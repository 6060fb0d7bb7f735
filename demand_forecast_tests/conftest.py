"""Files that a test has just written are whole: nobody waits for them to settle."""

import os

os.environ.setdefault("DEMAND_FORECAST_AUTOMATION__SETTLE_SECONDS", "0")
