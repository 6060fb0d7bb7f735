import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from demand_forecast.domain.tables import now
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.history import span
from demand_forecast.sources.collecting.index import KNOWN, known_sales
from demand_forecast.sources.collecting.inputs import collect_inputs
from demand_forecast.sources.collecting.pending_days import pending_days
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast.sources.configured import named_inputs
from demand_forecast.sources.errors import SourceError
from demand_forecast.sources.kind import Ledger, LedgerKind

Configure = Callable[[dict[str, Any]], Settings]
COLUMNS = {"date": "sold_on", "store_id": "shop", "product_id": "sku", "units": "qty", "price": "price"}
ROWS = [
    (date(2024, 1, 1), "S1", "P1", 3, 2.5, "till 1"),
    (date(2024, 1, 1), "S1", "P2", 1, 4.0, None),
    (date(2024, 1, 2), "S1", "P1", 2, 2.5, "till 1"),
    (date(2024, 1, 3), "S2", "P1", 7, 2.25, "till 2"),
    (None, "S2", "P9", 1, 1.0, "till 2"),
]
TEXT = [
    ("2024-01-01", "S1", "P1", "3", "2.5", '{"note":"till 1"}'),
    ("2024-01-01", "S1", "P2", "1", "4", '{"note":null}'),
    ("2024-01-02", "S1", "P1", "2", "2.5", '{"note":"till 1"}'),
    ("2024-01-03", "S2", "P1", "7", "2.25", '{"note":"till 2"}'),
    (None, "S2", "P9", "1", "1", '{"note":"till 2"}'),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, sa.Engine]]:
    """The URL of a database and an engine on it, with a fresh `ledger` table."""
    sqlite = request.param == "sqlite"
    url = "sqlite:///ledger.sqlite" if sqlite else request.getfixturevalue("postgres_url")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}" if sqlite else url)
    table = sa.Table(
        "ledger",
        sa.MetaData(),
        *(sa.Column("sold_on", sa.Date), sa.Column("shop", sa.Text), sa.Column("sku", sa.Text)),
        *(sa.Column("qty", sa.Integer), sa.Column("price", sa.Float), sa.Column("note", sa.Text)),
    )
    table.metadata.create_all(engine)
    insert(engine, ROWS)
    yield url, engine
    table.metadata.drop_all(engine)
    engine.dispose()


def insert(engine: sa.Engine, rows: list[tuple[Any, ...]]) -> None:
    names = ("sold_on", "shop", "sku", "qty", "price", "note")
    execute(
        engine,
        f"INSERT INTO ledger VALUES ({', '.join(f':{name}' for name in names)})",
        [dict(zip(names, row, strict=True)) for row in rows],
    )


def execute(engine: sa.Engine, statement: str, rows: list[dict[str, Any]] | None = None) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement), rows)


def settings_of(configure: Configure, url: str, **sales: Any) -> Settings:
    return configure({"source": {"kind": "sql", "url": url, "sales": {"table": "ledger", "columns": COLUMNS} | sales}})


def ledger_of(settings: Settings) -> Ledger:
    ((_, source, given),) = named_inputs(settings, "sales")
    assert isinstance(source, LedgerKind)
    return source.ledger(settings, given)


def collected(
    settings: Settings, known: pl.DataFrame | None = None, days: tuple[date, date] | None = None
) -> pl.DataFrame:
    empty = pl.DataFrame(schema=KNOWN)
    frames = list(collect_sales(settings, empty if known is None else known, days, now()))
    return pl.concat(frames) if frames else pl.DataFrame(schema={"day": pl.Date})


def test_every_row_as_text(ledger: tuple[str, sa.Engine], configure: Configure) -> None:
    frame = collected(settings_of(configure, ledger[0]))
    said = frame.select("date", "store_id", "product_id", "units", "price", "extra").rows()
    assert sorted(said, key=str) == sorted(TEXT, key=str)
    assert frame.select("source", "file", "report").unique().rows() == [("sql", "ledger", "ledger")]
    assert frame.filter(pl.col("date").is_null())["day"].to_list() == [date(2024, 1, 3)]


def test_a_query_is_as_good_as_a_table(ledger: tuple[str, sa.Engine], configure: Configure) -> None:
    query = "SELECT sold_on, shop, sku, qty, price, ' :x' AS mark FROM ledger WHERE sku LIKE 'P%' AND sku <> 'P2';"
    settings = settings_of(configure, ledger[0], table=None, query=query)
    assert sorted(collected(settings)["product_id"]) == ["P1", "P1", "P1", "P9"]
    only = collected(settings, days=(date(2024, 1, 2), date(2024, 1, 2)))
    assert only["extra"].to_list() == ['{"mark":" :x"}']
    assert span(settings) == (date(2024, 1, 1), date(2024, 1, 3))


@pytest.mark.parametrize("days", [(1, 1), (1, 2), (2, 3), (3, 3), (3, 9), (4, 9)])
def test_days_asked_of_the_database_are_those_of_the_whole(
    ledger: tuple[str, sa.Engine], configure: Configure, days: tuple[int, int]
) -> None:
    settings = settings_of(configure, ledger[0])
    first, last = date(2024, 1, days[0]), date(2024, 1, days[1])
    whole = collected(settings).filter(pl.col("day").is_between(first, last))
    keys = ["day", "content_hash", "product_id", "units"]
    part = collected(settings, days=(first, last))
    assert (part.select(keys).sort(keys).rows() if part.height else []) == whole.select(keys).sort(keys).rows()


def test_only_days_that_changed_come_again(ledger: tuple[str, sa.Engine], configure: Configure) -> None:
    url, engine = ledger
    settings = settings_of(configure, url)
    assert pending_days(settings, pl.DataFrame(schema=KNOWN)) == (date(2024, 1, 1), date(2024, 1, 3))
    known = known_sales(collected(settings).lazy())
    assert pending_days(settings, known) is None
    execute(engine, "UPDATE ledger SET qty = 4 WHERE sku = 'P2'")
    insert(engine, [(date(2024, 1, 4), "S1", "P1", 1, 2.5, None)])
    assert pending_days(settings, known) == (date(2024, 1, 1), date(2024, 1, 4))
    # the row without a date has moved on to the new last day
    assert collected(settings, known)["day"].unique().sort().to_list() == [date(2024, 1, day) for day in (1, 3, 4)]


def test_a_column_that_is_asked_for_later_is_read_of_all_days(
    ledger: tuple[str, sa.Engine], configure: Configure
) -> None:
    source = {"kind": "sql", "url": ledger[0], "sales": {"table": "ledger", "columns": COLUMNS}}
    usual = {"source": source, "automation": {"ledger_lookback": 0}}
    held = collected(configure(usual))
    known = known_sales(held.lazy())
    later = configure(usual | {"covariates": {"past_only": ["note"]}})
    newest = date(2024, 1, 3)
    assert pending_days(later, known, columns=[*held.columns, "note"]) == (newest, newest)
    assert pending_days(later, known, columns=held.columns) == (date(2024, 1, 1), newest)


def test_the_order_of_rows_says_nothing(ledger: tuple[str, sa.Engine], configure: Configure) -> None:
    url, engine = ledger
    known = known_sales(collected(settings_of(configure, url)).lazy())
    execute(engine, "DELETE FROM ledger")
    insert(engine, ROWS[::-1])
    assert collected(settings_of(configure, url), known).is_empty()


def test_totals_by_day_are_those_of_the_rows(ledger: tuple[str, sa.Engine], configure: Configure) -> None:
    settings = settings_of(configure, ledger[0])
    totals = ledger_of(settings).daily_totals(None)
    for day in (date(2024, 1, number) for number in (1, 2, 3)):
        units = [row[3] for row in ROWS if row[0] == day]
        assert totals.pop(day).split()[:2] == [str(len(units)), f"{sum(units):.4f}"]
    assert totals == {}
    assert list(ledger_of(settings).daily_totals((date(2024, 1, 2), date(2024, 1, 2)))) == [date(2024, 1, 2)]


@pytest.mark.parametrize(
    ("texts", "date_format"),
    [
        (("2024-01-02 08:15:00", "2024-01-02 10:00:00", "2024-01-03"), None),
        (("02/01/2024 08:15", "02/01/2024 10:00", "03/01/2024 00:00"), "%d/%m/%Y %H:%M"),
    ],
)
def test_totals_of_moments_and_of_a_date_format(
    tmp_path: Path, configure: Configure, texts: tuple[str, ...], date_format: str | None
) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    execute(engine, "CREATE TABLE ledger (sold_on, shop, sku, qty, price)")
    for text in texts:
        execute(engine, f"INSERT INTO ledger VALUES ('{text}', 's', 'a', 'two', 1)")
    settings = settings_of(configure, "sqlite:///ledger.sqlite", date_format=date_format)
    first, second = (date(2024, 1, day) for day in (2, 3))
    before = ledger_of(settings).daily_totals(None)
    assert set(before) == {first, second}
    execute(engine, f"DELETE FROM ledger WHERE sold_on = '{texts[0]}'")
    after = ledger_of(settings).daily_totals(None)
    assert after[first] != before[first]
    assert after[second] == before[second]


def test_moments_with_a_zone_keep_their_day(postgres_url: str, configure: Configure) -> None:
    sold_on = "timestamptz '2024-01-02 23:30:00+00' AS sold_on"
    query = f"SELECT {sold_on}, 'S' AS shop, 'P' AS sku, 1.50::numeric AS qty, true AS price"
    frame = collected(settings_of(configure, postgres_url, table=None, query=query))
    assert frame.select("units", "price").rows() == [("1.5", "1")]
    assert datetime.fromisoformat(frame["date"][0]) == datetime(2024, 1, 2, 23, 30, tzinfo=UTC)


NIGHT = [  # 22:30 UTC is half past midnight in Berlin in summer
    *("2024-06-30 22:30:00+00", "2024-07-01 10:00:00+00", "2024-07-01 21:59:00+00"),
    *("2024-07-01 22:30:00+00", "2024-07-02 09:00:00+00"),
]


@pytest.mark.parametrize("kind", ["timestamptz", "text"])
def test_moments_count_on_the_day_of_the_shops(postgres_url: str, configure: Configure, kind: str) -> None:
    rows = ", ".join(f"('{moment}'::{kind}, 'S', 'P', 1)" for moment in NIGHT)
    query = f"SELECT * FROM (VALUES {rows}) AS t (sold_on, shop, sku, qty)"
    columns = {name: column for name, column in COLUMNS.items() if name != "price"}
    source = {"kind": "sql", "url": postgres_url, "sales": {"query": query, "columns": columns}}
    settings = configure({"source": source, "automation": {"timezone": "Europe/Berlin"}})
    frame = collected(settings)
    counted = dict(frame.group_by("day").len().rows())
    assert counted == {date(2024, 7, 1): 3, date(2024, 7, 2): 2}
    totals = ledger_of(settings).daily_totals(None)
    assert {day: total.split()[0] for day, total in totals.items() if kind == "timestamptz"} in (
        {date(2024, 7, 1): "3", date(2024, 7, 2): "2"},
        {},
    )
    assert set(totals) == set(counted)
    second = (date(2024, 7, 2), date(2024, 7, 2))
    assert set(ledger_of(settings).daily_totals(second)) == {second[0]}


def test_sqlite_keeps_what_its_columns_really_hold(tmp_path: Path, configure: Configure) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    execute(engine, "CREATE TABLE ledger (sold_on, shop, sku, qty, price)")
    rows = (
        "('2024-01-02 10:15:00', 1, 'a', 3.0, 2), ('02.01.2024', 'x', 'b', 'three', 2.5), ('n/a', 2.0, NULL, 1, NULL)"
    )
    execute(engine, f"INSERT INTO ledger VALUES {rows}")
    settings = settings_of(configure, "sqlite:///ledger.sqlite")
    frame = collected(settings)
    assert frame["store_id"].to_list() == ["1", "x", "2"]
    assert frame["units"].to_list() == ["3", "three", "1"]
    assert frame["product_id"].to_list() == ["a", "b", None]
    assert frame["day"].to_list() == [date(2024, 1, 2)] * 3
    assert collected(settings, days=(date(2024, 1, 2), date(2024, 1, 2))).height == 3
    assert collected(settings, days=(date(2024, 1, 1), date(2024, 1, 1))).is_empty()


def test_a_date_format_is_read_here_not_in_the_database(tmp_path: Path, configure: Configure) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    execute(engine, "CREATE TABLE ledger (sold_on, shop, sku, qty, price)")
    execute(engine, "INSERT INTO ledger VALUES ('03/04/2024', 's', 'a', 1, 1), ('12/01/2024', 's', 'a', 1, 1)")
    settings = settings_of(configure, "sqlite:///ledger.sqlite", date_format="%d/%m/%Y")
    assert span(settings) == (date(2024, 1, 12), date(2024, 4, 3))
    assert collected(settings, days=(date(2024, 4, 3), date(2024, 4, 3)))["date"].to_list() == ["03/04/2024"]


def test_inputs_from_a_database(ledger: tuple[str, sa.Engine], configure: Configure) -> None:
    url, _ = ledger
    products = {"query": "SELECT DISTINCT sku, 'Toys' AS department FROM ledger", "columns": {"product_id": "sku"}}
    source = {"kind": "sql", "url": url, "sales": {"table": "ledger", "columns": COLUMNS}, "products": products}
    frame = collect_inputs(configure({"source": source, "covariates": {"static": ["department"]}}), "products", now())
    assert sorted(frame.select("product_id", "department").rows()) == [(sku, "Toys") for sku in ("P1", "P2", "P9")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": "ledgre"}, "ledgre: no such table; correct sales.table. Tables here: .*ledger"),
        ({"columns": COLUMNS | {"units": "quantity"}}, "ledger: no column 'quantity'; did you mean 'qty'"),
        ({"table": None, "query": "SELECT nothing FROM ledger"}, "nothing.*correct sales:"),
        ({"table": None}, "needs either table: or query:"),
    ],
)
def test_errors_name_the_place_and_the_repair(
    ledger: tuple[str, sa.Engine], configure: Configure, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message) as raised:
        collected(settings_of(configure, ledger[0], **changes))
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///data/none.sqlite", r"data/none\.sqlite: no such SQLite file; correct source\.url"),
        (
            "postgresql+psycopg2://planner:sesame@127.0.0.1:1/postgres",
            r"planner:\*\*\*@127\.0\.0\.1:1/postgres.*cannot connect",
        ),
        ("oracle+nothing://planner:sesame@host/db", "cannot connect"),
        ("planner:sesame@host", r"source\.url is no database URL"),
    ],
)
def test_a_database_that_cannot_be_reached(tmp_path: Path, configure: Configure, url: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as raised:
        collected(settings_of(configure, url))
    assert "sesame" not in str(raised.value)
    assert not (tmp_path / "data").exists()


def test_reading_leaves_the_database_as_it_was(tmp_path: Path, configure: Configure) -> None:
    file = tmp_path / "ledger.sqlite"
    engine = sa.create_engine(f"sqlite:///{file}")
    execute(engine, "CREATE TABLE ledger (sold_on, shop, sku, qty, price)")
    execute(engine, "INSERT INTO ledger VALUES ('2024-01-02', 's', 'a', 1, 1)")
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    frame = collected(settings_of(configure, "sqlite:///ledger.sqlite"))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert frame["file_hash"].str.len_chars().to_list() == [64 + 1 + 8]
