"""The features that every contender builds for every row of the panel: what was known on the day before."""

LAGS = (1, 7, 14, 28)
WINDOWS = (7, 28, 91, 182)  # trailing means up to the day before
WEEKS = (4, 8, 26, 52)  # means of the same weekday, up to a week before
HALF_LIVES = (3, 14)  # exponentially weighted means up to the day before
COUNT = len(LAGS) + len(WINDOWS) + len(WEEKS) + len(HALF_LIVES)
COMPARED = [*(f"lag_{lag}" for lag in LAGS), *(f"mean_{w}" for w in WINDOWS), *(f"weekday_{w}" for w in WEEKS)]
