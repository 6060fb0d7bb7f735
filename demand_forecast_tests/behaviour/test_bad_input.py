"""Bad input: the message names the thing, the place and the repair, and nothing that was there is lost."""

import gzip
from datetime import date, timedelta

import polars as pl
import pytest

from demand_forecast.domain.demand.covariates import MissingCovariateError
from demand_forecast.domain.features import ContractError
from demand_forecast.domain.tables import now
from demand_forecast_tests.behaviour.conftest import COLUMNS, Shopkeeper, cleaned, csv, files_source, night, sales_rows

HEADER = "day,shop,item,sold,paid"
SHOPS = {"North": ["A", "B"], "South": ["A", "B"]}
ROWS = sales_rows(40, SHOPS)
KIOSK_HEADER = f"{HEADER},visitors"
NO_TABLE = pl.DataFrame(schema={"product_id": pl.String, "store_id": pl.String})


def only(retailer: Shopkeeper, content: str | bytes, name: str = "sales/all.csv") -> Shopkeeper:
    """`retailer` with this file as its only sales."""
    (retailer.folder / "sales/all.csv").unlink()
    retailer.write(name, content)
    return retailer


def reasons(retailer: Shopkeeper) -> dict[str, int]:
    """Rejected rows by reason; every row that arrived is clean or rejected."""
    _, rejected = cleaned(retailer.settings, NO_TABLE, NO_TABLE)
    return dict(rejected.group_by("reason").len().iter_rows())


def american(row: str) -> str:
    year, month, rest = row[:4], row[5:7], row[8:]
    return f"{month}/{rest[:2]}/{year}{rest[2:]}"


class TestBeforeAnythingIsThere:
    """The first run stops with the reason; each takes a second or two."""

    def test_no_file_matches(self, retailer: Shopkeeper) -> None:
        (retailer.folder / "sales/all.csv").unlink()
        retailer.run().failed_with("sales.path 'sales/*' matches no file in", "put the files there or correct the path")

    def test_a_folder_is_no_file(self, retailer: Shopkeeper) -> None:
        (retailer.folder / "sales/all.csv").unlink()
        (retailer.folder / "sales/all.csv").mkdir()
        retailer.run().failed_with("sales.path 'sales/*' matches no file in", "correct the path")

    @pytest.mark.slow
    def test_a_damaged_parquet_file_is_told_and_left(self, retailer: Shopkeeper) -> None:
        retailer.write("sales/more.parquet", b"PAR1" + b"?" * 100 + b"PAR1")
        outcome = retailer.run()
        assert outcome.status == 0, outcome.said
        assert "sales/more.parquet: not a readable Parquet file" in outcome.said

    def test_a_missing_sqlite_file(self, retailer: Shopkeeper) -> None:
        retailer.configure(source={"kind": "sql", "url": "sqlite:///books.sqlite", "sales": {"table": "sales"}})
        retailer.run().failed_with("books.sqlite: no such SQLite file; correct source.url")
        assert not (retailer.folder / "books.sqlite").exists()

    def test_an_unknown_key(self, retailer: Shopkeeper) -> None:
        retailer.configure(horizn=7).run().failed_with("config.yaml: unknown key horizn; did you mean horizon?")

    def test_a_column_that_is_not_there(self, retailer: Shopkeeper) -> None:
        retailer.configure(source=files_source(sales={"path": "sales/*", "columns": COLUMNS | {"units": "solt"}}))
        said = "sales/all.csv: no column 'solt'; did you mean 'sold'? Correct sales.columns.units"
        retailer.run().failed_with(said, "Columns here: day, shop, item, sold, paid")

    @pytest.mark.parametrize("content", ["", HEADER + "\n"], ids=["no byte", "only a header"])
    def test_nothing_in_it(self, retailer: Shopkeeper, content: str) -> None:
        only(retailer, content).run().failed_with(
            "no row of sales with a date in sales/all.csv; deliver the sales again"
        )

    def test_another_delimiter(self, retailer: Shopkeeper) -> None:
        only(retailer, csv(ROWS).replace(",", ";")).run().failed_with(
            "sales/all.csv: the first line is not split by ','", "set sales.delimiter: ';'"
        )

    def test_no_date_can_be_read(self, retailer: Shopkeeper) -> None:
        only(retailer, csv([american(row) for row in ROWS])).run().failed_with(
            "sales/all.csv: no sales row has a readable date", "says '01/06/2025'", "sales.date_format"
        )

    def test_no_day_is_over(self, retailer: Shopkeeper) -> None:
        """A retailer who opened today; and one who asks for a history that begins tomorrow."""
        today = now().date()
        only(retailer, csv([f"{today},North,A,5,2.5"])).run().failed_with(
            f"history begins on {today}", "history_start:"
        )
        retailer.configure(history_start=f"{today + timedelta(days=1)}").run().failed_with("no day since is over")


class TestOnALaterNight:
    """After a good run: what planners, orders and the service rely on is as it was."""

    def test_a_column_was_renamed(self, later_night: Shopkeeper) -> None:
        later_night.write("sales/later.csv", csv(["2025-03-03,-,007,4,2.5,3"], KIOSK_HEADER.replace("sold", "qty")))
        later_night.bad_night("sales/later.csv: no column 'sold'", "Correct sales.columns.units", "Columns here: day")

    @pytest.mark.slow
    def test_a_compressed_file_was_cut(self, later_night: Shopkeeper) -> None:
        """It is named and left: the next night takes it when it is whole."""
        rows = [f"{row},3" for row in sales_rows(300, {"-": ["007"]})]
        later_night.write("sales/later.csv.gz", gzip.compress(csv(rows, KIOSK_HEADER).encode())[:-20])
        before = later_night.table("raw_sales")
        night = later_night.run()
        assert "sales/later.csv.gz: the compressed file is cut short or damaged" in night.said
        assert night.status == 0, night.said
        assert later_night.table("raw_sales").equals(before)

    @pytest.mark.slow
    def test_dates_changed_their_form(self, later_night: Shopkeeper) -> None:
        later_night.write("sales/later.csv", csv(["03/03/2025,-,007,4,2.5,3"], KIOSK_HEADER))
        later_night.bad_night("sales/later.csv: no sales row has a readable date", "'03/03/2025'", "sales.date_format")

    def test_the_source_is_gone_with_its_password_unsaid(self, later_night: Shopkeeper) -> None:
        sources = [{"kind": "sql", "url": "postgresql://me:sesame@127.0.0.1:1/x", "sales": {"table": "sales"}}]
        later_night.reconfigure(sources=sources)
        said = later_night.bad_night("127.0.0.1:1/x: sales: cannot connect", "correct url: or start it")
        assert "sesame" not in said

    @pytest.mark.slow
    def test_the_plan_lost_its_column(self, later_night: Shopkeeper) -> None:
        """What the lake takes in is checked before anything is trained."""
        later_night.write("promotions.csv", csv(["2025-03-03,007,1"], "day,item,action"))
        later_night.bad_night("✗ raw_plan", "promotions.csv: no column 'promo'", "Correct plan.columns.promo")

    @pytest.mark.slow
    def test_units_became_words(self, later_night: Shopkeeper) -> None:
        """The rows are kept as they arrived; the newest day is mostly refused, and that stops the night."""
        rows = [f"2025-03-03,-,{item},some,2.5,3" for item in ("007", "0042", "1e5")]
        later_night.write("sales/later.csv", csv(rows, KIOSK_HEADER))
        before, champion = later_night.table("demand_forecast"), later_night.champion()
        later_night.run().failed_with("2025-03-03: 100.0% of 3 rows rejected: 3 unreadable_units")
        assert later_night.table("demand_forecast").equals(before)
        assert later_night.champion() == champion
        assert later_night.table("raw_sales").filter(pl.col("units") == "some").height == 3


class TestRowsThatDoNotCount:
    """A bad row stops nothing and is kept with its reason; asked of the functions that the graph runs."""

    def test_dates_of_which_some_may_mean_two_days(self, retailer: Shopkeeper) -> None:
        european = [f"{row[8:10]}.{row[5:7]}.{row[:4]}{row[10:]}" for row in ROWS[4:8]]
        only(retailer, csv([american(row) for row in ROWS[:4]] + european + ROWS[8:]))
        assert reasons(retailer) == {"unreadable_date": 4}
        retailer.configure(
            source=files_source(sales={"path": "sales/*", "columns": COLUMNS, "date_format": "%m/%d/%Y"})
        )
        assert reasons(retailer) == {"unreadable_date": 156}

    def test_a_day_to_come(self, retailer: Shopkeeper) -> None:
        only(retailer, csv([*ROWS, "2999-01-01,North,A,5,2.5"]))
        assert reasons(retailer) == {"future_date": 1}
        assert night(retailer.settings).forecast["forecast_origin"].unique().to_list() == [date(2025, 2, 14)]

    def test_a_file_cut_in_the_middle_of_a_line(self, retailer: Shopkeeper) -> None:
        only(retailer, csv(ROWS)[:-9])
        assert reasons(retailer) == {"malformed_line": 1}
        assert night(retailer.settings).forecast.height == 4 * 7

    def test_a_file_cut_in_the_middle_of_a_number(self, retailer: Shopkeeper) -> None:
        """The last value is short, which nobody can see; the line has all its columns."""
        only(retailer, csv(ROWS)[:-2])
        assert reasons(retailer) == {}

    def test_a_line_that_is_all_of_its_file(self, retailer: Shopkeeper) -> None:
        retailer.write("sales/stub.csv", csv(["2025-02-15,Nor"]))
        assert reasons(retailer) == {"malformed_line": 1}

    @pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
    def test_another_encoding_is_read(self, retailer: Shopkeeper, encoding: str) -> None:
        only(retailer, csv(ROWS).replace("North", "Köln").encode(encoding))
        kept, rejected = cleaned(retailer.settings, NO_TABLE, NO_TABLE)
        assert rejected.is_empty()
        assert set(kept["store_id"]) == {"Köln", "South"}

    def test_an_empty_file_beside_a_good_one(self, retailer: Shopkeeper) -> None:
        retailer.write("sales/empty.csv", "")
        retailer.write("sales/header.csv", HEADER + "\n")
        assert reasons(retailer) == {}
        assert night(retailer.settings).demand["units"].sum() > 0


class TestAskedOfTheFunction:
    @pytest.mark.parametrize(
        ("kind", "place"), [("static", "products or stores"), ("known_future", "plan"), ("past_only", "sales")]
    )
    def test_a_declared_covariate_that_no_input_has(self, retailer: Shopkeeper, kind: str, place: str) -> None:
        retailer.configure(covariates={kind: ["brand"]})
        said = rf"covariates\.{kind}: no input has brand; map it under the columns of {place}, or take it out"
        with pytest.raises(MissingCovariateError, match=said):
            night(retailer.settings)

    @pytest.mark.parametrize("horizon", [14, 60])
    def test_a_history_shorter_than_twice_the_horizon(self, retailer: Shopkeeper, horizon: int) -> None:
        """It is proven as far as it reaches, 13 days ahead, and forecast to the end."""
        made = night(retailer.configure(horizon=horizon).settings)
        assert made.forecast["horizon"].max() == horizon
        origins = made.features.filter(~pl.col("training"))["forecast_origin"].unique().sort()
        assert (origins[-1] - origins[0]).days == 13

    def test_nothing_was_ever_sold(self, retailer: Shopkeeper) -> None:
        only(retailer, csv([row.rsplit(",", 2)[0] + ",0,2.5" for row in ROWS]))
        with pytest.raises(ContractError, match=r"not one unit sold, so there is nothing to forecast; check which"):
            night(retailer.settings)
