"""What the sample retailer sells, where, and when it is open: whatever the seed."""

import io
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

FIRST_DAY = date(2023, 10, 2)
LAST_DAY = date(2026, 10, 4)
PLANNED_DAYS = 56  # prices, promotions and calendar are known this far past the last day
EASTERS = (date(2024, 3, 31), date(2025, 4, 20), date(2026, 4, 5))
CLOSED = ("New Year", "Labour Day", "Christmas")


class Department(NamedTuple):
    """How demand of a department moves; `weekday` is Monday to Sunday, mean about 1."""

    weekday: tuple[float, ...]
    season: float  # amplitude of the year
    peak_day: int  # of the year
    uplift: float  # demand with a promotion on / without, at the same price
    elasticity: float  # d log demand / d log price
    eve: float  # demand before a holiday / on another day
    school_holiday: float


DEPARTMENTS = {
    "Bakery": Department((0.90, 0.88, 0.90, 0.95, 1.10, 1.30, 0.97), 0.08, 15, 1.4, -0.8, 1.30, 0.95),
    "Dairy": Department((1.02, 0.92, 0.94, 0.98, 1.12, 1.30, 0.72), 0.05, 350, 1.5, -1.0, 1.20, 0.97),
    "Produce": Department((0.95, 0.90, 0.98, 0.97, 1.10, 1.35, 0.75), 0.20, 190, 1.6, -1.3, 1.25, 0.94),
    "Drinks": Department((0.75, 0.78, 0.85, 0.95, 1.32, 1.60, 0.75), 0.35, 200, 1.9, -1.7, 1.70, 1.10),
    "Household": Department((1.05, 1.00, 1.00, 0.97, 0.98, 1.30, 0.70), 0.06, 100, 2.2, -2.0, 0.95, 0.97),
}

# Rate: units a day in an average store. Discontinued: last day on sale.
PRODUCTS_CSV = """SKU,Name,Department,Category,Brand,Rate,Price,Launched,Discontinued
B01,Baguette,Bakery,Bread,Maison Vauquelin,48,1.10,,
B02,Country loaf 500 g,Bakery,Bread,Maison Vauquelin,14,2.60,,
B03,Wholemeal loaf 400 g,Bakery,Bread,Moulin Gris,7,2.90,,
B04,Croissant,Bakery,Pastry,Maison Vauquelin,31,1.20,,
B05,Pain au chocolat,Bakery,Pastry,Maison Vauquelin,26,1.35,,
B06,Brioche 400 g,Bakery,Pastry,Moulin Gris,5.5,3.40,,
B07,Apple tart 4 pieces,Bakery,Pastry,Maison Vauquelin,1.8,6.90,,
B08,Rye loaf 500 g,Bakery,Bread,Moulin Gris,1.1,3.80,,
B09,Gluten-free loaf,Bakery,Bread,Sans Souci,0.25,5.20,,
B10,Walnut bread,Bakery,Bread,Moulin Gris,0.7,4.30,,2025-10-12
B11,Cinnamon roll,Bakery,Pastry,Maison Vauquelin,4,1.80,2026-02-02,
B12,Birthday cake,Bakery,Pastry,Maison Vauquelin,0.12,18.90,,
D01,Whole milk 1 l,Dairy,Milk,Val Clair,36,1.15,,
D02,Skimmed milk 1 l,Dairy,Milk,Val Clair,21,1.05,,
D03,Oat drink 1 l,Dairy,Milk,Avena,5,2.10,2024-03-04,
D04,Plain yoghurt 4 x 125 g,Dairy,Yoghurt,Val Clair,17,1.45,,
D05,Fruit yoghurt 4 x 125 g,Dairy,Yoghurt,Val Clair,9,2.05,,
D06,Skyr 450 g,Dairy,Yoghurt,Nordur,2.4,2.95,,
D07,Butter 250 g,Dairy,Butter and cheese,Val Clair,11,2.75,,
D08,Grated cheese 200 g,Dairy,Butter and cheese,Val Clair,6,2.35,,
D09,Camembert 250 g,Dairy,Butter and cheese,Ferme du Lac,3.2,2.90,,
D10,Goat cheese 180 g,Dairy,Butter and cheese,Ferme du Lac,0.9,3.60,,
D11,Blue cheese 150 g,Dairy,Butter and cheese,Ferme du Lac,0.3,4.10,,
D12,Lactose-free cream,Dairy,Milk,Sans Souci,0.15,2.20,,2025-03-30
V01,Bananas 1 kg,Produce,Fruit,,29,1.85,,
V02,Apples 1.5 kg,Produce,Fruit,,13,3.40,,
V03,Oranges 2 kg,Produce,Fruit,,8,4.20,,
V04,Strawberries 250 g,Produce,Fruit,,6,3.50,,
V05,Tomatoes 500 g,Produce,Vegetables,,19,2.20,,
V06,Lettuce,Produce,Vegetables,,9,1.30,,
V07,Carrots 1 kg,Produce,Vegetables,,7.5,1.60,,
V08,Mushrooms 250 g,Produce,Vegetables,,2.6,2.30,,
V09,Fennel,Produce,Vegetables,,0.8,2.10,,
V10,Fresh ginger 100 g,Produce,Vegetables,,0.5,1.40,,
V11,Dragon fruit,Produce,Fruit,,0.1,4.90,,
V12,Vegetable soup kit 800 g,Produce,Vegetables,,2.2,3.20,2025-11-03,
R01,Still water 6 x 1.5 l,Drinks,Water,Source Blanche,22,2.40,,
R02,Sparkling water 6 x 1 l,Drinks,Water,Source Blanche,10,3.10,,
R03,Cola 1.5 l,Drinks,Soft drinks,Brio,12,1.95,,
R04,Orange juice 1 l,Drinks,Soft drinks,Verger,7,2.30,,
R05,Iced tea 1.5 l,Drinks,Soft drinks,Brio,3.5,1.75,,
R06,Lager 6 x 25 cl,Drinks,Beer and wine,Brasserie du Pont,5,4.90,,
R07,Red wine 75 cl,Drinks,Beer and wine,Clos Martel,3,6.50,,
R08,Sparkling wine 75 cl,Drinks,Beer and wine,Clos Martel,0.9,9.80,,
R09,Tonic 4 x 20 cl,Drinks,Soft drinks,Brio,0.6,3.60,,
R10,Alcohol-free lager,Drinks,Beer and wine,Brasserie du Pont,1.4,4.60,2026-04-13,
R11,Ginger beer 75 cl,Drinks,Soft drinks,Verger,2.5,2.80,2026-08-17,
R12,Aged whisky 70 cl,Drinks,Beer and wine,Glen Orra,0.08,42.00,,
H01,Toilet paper 12 rolls,Household,Paper,Nuage,6,5.40,,
H02,Kitchen paper 4 rolls,Household,Paper,Nuage,4,3.10,,
H03,Washing liquid 2 l,Household,Cleaning,Lavande,2.2,8.90,,
H04,Dish soap 500 ml,Household,Cleaning,Lavande,3,1.95,,
H05,Dishwasher tablets 40,Household,Cleaning,Lavande,1.2,7.50,,
H06,Bin bags 30 l,Household,Paper,Nuage,1.6,2.60,,
H07,Shower gel 250 ml,Household,Care,Olea,2.1,2.70,,
H08,Toothpaste 75 ml,Household,Care,Olea,1.7,2.40,,
H09,Razor blades 4,Household,Care,Rasa,0.2,9.90,,
H10,Shoe polish,Household,Cleaning,Lavande,0.06,3.90,,
H11,Fabric softener 1 l,Household,Cleaning,Lavande,0.5,3.30,,2026-06-28
H12,Refill hand soap 1 l,Household,Care,Olea,1.5,4.20,2026-09-07,
"""

# Channel: how the store reports. Level: its trade against an average store. Weekend: exponent on the weekday profile.
# Coast: factor on the yearly season. Growth: a year.
STORES_CSV = """Store,City,Region,Format,Size,Channel,Level,Weekend,Coast,Growth
S1,Paris,Île-de-France,City,1100,branches,1.35,0.7,0.8,0.03
S2,Lyon,Auvergne-Rhône-Alpes,Hyper,4200,branches,1.30,1.3,1.0,0.01
S3,Lille,Hauts-de-France,Super,2100,branches,0.95,1.0,0.9,-0.02
S4,La Rochelle,Nouvelle-Aquitaine,Super,1800,branches,0.90,1.0,1.8,0.04
S5,Strasbourg,Grand Est,City,900,ledger,0.75,0.8,1.0,0.00
S6,Vannes,Bretagne,City,700,ledger,0.60,1.1,1.6,0.06
"""

SCHOOL_HOLIDAYS = (
    ("2023-10-21", "2023-11-05"),
    ("2023-12-23", "2024-01-07"),
    ("2024-02-17", "2024-03-03"),
    ("2024-04-13", "2024-04-28"),
    ("2024-07-06", "2024-09-01"),
    ("2024-10-19", "2024-11-03"),
    ("2024-12-21", "2025-01-05"),
    ("2025-02-15", "2025-03-02"),
    ("2025-04-12", "2025-04-27"),
    ("2025-07-05", "2025-08-31"),
    ("2025-10-18", "2025-11-02"),
    ("2025-12-20", "2026-01-04"),
    ("2026-02-14", "2026-03-01"),
    ("2026-04-11", "2026-04-26"),
    ("2026-07-04", "2026-08-31"),
    ("2026-10-17", "2026-11-01"),
)
FIXED_HOLIDAYS = {
    (1, 1): "New Year",
    (5, 1): "Labour Day",
    (5, 8): "Victory Day",
    (7, 14): "National Day",
    (8, 15): "Assumption",
    (11, 1): "All Saints",
    (11, 11): "Armistice",
    (12, 25): "Christmas",
}


def products() -> pl.DataFrame:
    """One row per product, with its rate (units a day) and base price."""
    return pl.read_csv(io.StringIO(PRODUCTS_CSV), try_parse_dates=True, schema_overrides={"Rate": pl.Float64})


def stores() -> pl.DataFrame:
    """One row per store."""
    return pl.read_csv(io.StringIO(STORES_CSV))


def days(planned: bool = False) -> list[date]:
    """Every day of trade; with `planned`, also the days that only the plan knows."""
    count = (LAST_DAY - FIRST_DAY).days + 1 + planned * PLANNED_DAYS
    return [FIRST_DAY + timedelta(days=n) for n in range(count)]


def holiday(day: date) -> str:
    """The public holiday's name, "" on other days."""
    moving = {1: "Easter Monday", 39: "Ascension", 50: "Whit Monday"}
    easter = [moving[gap] for sunday in EASTERS if (gap := (day - sunday).days) in moving]
    return FIXED_HOLIDAYS.get((day.month, day.day)) or "".join(easter)


def is_school_holiday(day: date) -> bool:
    return any(first <= day.isoformat() <= last for first, last in SCHOOL_HOLIDAYS)


def is_closed(day: date) -> bool:
    """Whether no store opens that day."""
    return holiday(day) in CLOSED


def calendar() -> pl.DataFrame:
    """Date, Holiday (null for none), SchoolHoliday (0/1) for every day of trade and of the plan."""
    planned = days(planned=True)
    return pl.DataFrame(
        {
            "Date": planned,
            "Holiday": [holiday(day) or None for day in planned],
            "SchoolHoliday": [int(is_school_holiday(day)) for day in planned],
        }
    )
