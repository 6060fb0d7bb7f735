"""`demand-forecast`: the same definitions, from a terminal or a script."""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from demand_forecast.settings import ENV_PREFIX, ConfigError, Settings, config_path
from demand_forecast.workspace.home import Home

CONFIG_OPTION = click.option(
    "--config", type=click.Path(dir_okay=False), help=f"Configuration file [${ENV_PREFIX}CONFIG, else config.yaml]."
)


@click.group()
@click.version_option(package_name="demand-forecast")
def main() -> None:
    """Nightly demand forecasting for retailers."""


def _open(config: str | None) -> Settings:
    """The checked settings; prepares their home and sets this process's environment. Raises ClickException."""
    from demand_forecast.defs.configuration import open_settings

    os.environ[ENV_PREFIX + "CONFIG"] = str(config_path(config))
    try:
        settings = open_settings(config)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    Home(settings.root).prepare()
    return settings


@main.command()
@CONFIG_OPTION
def init(config: str | None) -> None:
    """Create the home folder, and in the current folder the .env file that `dagster dev` reads."""
    settings = _open(config)
    env_file = Path(".env")
    Home(settings.root).write_env_file(env_file, {ENV_PREFIX + "CONFIG": str(settings.path)})
    click.echo(f"home: {settings.root}\nenvironment for dagster dev: {env_file.resolve()}")


@main.command()
@CONFIG_OPTION
def home(config: str | None) -> None:
    """Print the home folder."""
    click.echo(Home(_open(config).root).root)


@main.command()
@CONFIG_OPTION
def run(config: str | None) -> None:
    """Run the whole graph: collect new data, train, compare, promote, forecast, pack a Bento.

    Exit status 0 only if everything worked.
    """
    _run(config, "whole_graph")


@main.command()
@CONFIG_OPTION
def night(config: str | None) -> None:
    """Run the nightly path: collect new data, forecast with the champion, plan orders. No training.

    For nights without the Dagster daemon, whose sensors do the same. Exit status 0 only if everything worked.
    """
    _run(config, "nightly")


def _run(config: str | None, job: str) -> None:
    from demand_forecast.cli.run import run_job

    settings = _open(config)
    if not run_job(settings, job, Console(stderr=True), Console()):
        sys.exit(1)


@main.command()
@CONFIG_OPTION
def status(config: str | None) -> None:
    """Show home, what is live and why, how old the forecast is, the service, failed checks and open alerts."""
    from demand_forecast.cli.status import print_status

    print_status(_open(config), Console())


@main.command()
@click.argument("version")
@CONFIG_OPTION
def reproduce(version: str, config: str | None) -> None:
    """Train a registered VERSION again, from the table versions it was trained on.

    Exit status 0 only if the features are equal and both models forecast the same.
    """
    from demand_forecast.cli.reproduce import reproduce_version
    from demand_forecast.lake.tables import LakeError
    from demand_forecast.tracking.registry import RegistryError

    settings, out = _open(config), Console()
    try:
        same = reproduce_version(settings, version, out)
    except (LakeError, RegistryError) as error:
        raise click.ClickException(str(error)) from None
    if not same:
        sys.exit(1)


@main.command()
@CONFIG_OPTION
@click.option("--reason", default="by hand", show_default=True, help="Why, for the promotion ledger.")
def rollback(config: str | None, reason: str) -> None:
    """Take the champion back: the version before it serves again, once it is verified.

    Exit status 0 only if everything worked.
    """
    from demand_forecast.cli.run import roll_back

    if not roll_back(_open(config), reason, Console(stderr=True), Console()):
        sys.exit(1)


@main.command()
@CONFIG_OPTION
def accept(config: str | None) -> None:
    """Accept past days of sales as they are now, where the check past_days_are_as_before has stopped a run."""
    from demand_forecast.defs.clean.accepted import accept_past_days, jump_since_accepted
    from demand_forecast.defs.project import Project
    from demand_forecast.lake.tables import LakeError

    project = Project(config=str(_open(config).path))
    try:
        jump = jump_since_accepted(project)
        accept_past_days(project)
    except LakeError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"accepted: {jump.text if jump else 'clean_sales as it is'}")


@main.group()
def keys() -> None:
    """Manage the API keys of the service; running servers pick up changes at once."""


@keys.command("add")
@click.argument("name")
@click.option("--days", type=click.IntRange(min=1), help="Days until it expires; left out: never.")
@CONFIG_OPTION
def add_key(name: str, days: int | None, config: str | None) -> None:
    """Create a key for NAME and print it, once: only its hash is stored."""
    from demand_forecast.service.state.keys import add_key as add

    click.echo(_keys(config, lambda file: add(file, name, days)))


@keys.command("rotate")
@click.argument("name")
@click.option("--days", type=click.IntRange(min=1), help="Days until the new key expires; left out: never.")
@click.option(
    "--grace", type=click.IntRange(min=0), default=0, show_default=True, help="Hours the old keys still work."
)
@CONFIG_OPTION
def rotate_key(name: str, days: int | None, grace: int, config: str | None) -> None:
    """Create a new key for NAME, print it, and expire the older ones of that name."""
    from demand_forecast.service.state.keys import rotate_keys

    click.echo(_keys(config, lambda file: rotate_keys(file, name, days, timedelta(hours=grace))))


@keys.command("revoke")
@click.argument("name")
@CONFIG_OPTION
def revoke_key(name: str, config: str | None) -> None:
    """Revoke every key of NAME."""
    from demand_forecast.service.state.keys import revoke_keys

    if not (revoked := _keys(config, lambda file: revoke_keys(file, name))):
        raise click.ClickException(f"there is no key called {name}")
    click.echo(f"{revoked} revoked")


@keys.command("list")
@CONFIG_OPTION
def list_keys(config: str | None) -> None:
    """List the names of the keys and when they expire."""
    from demand_forecast.service.state.keys import read_keys

    for key in _keys(config, read_keys):
        until = f"expires {key.expires:%Y-%m-%d %H:%M} UTC" if key.expires else "does not expire"
        click.echo(f"{key.name}  made {key.created:%Y-%m-%d %H:%M} UTC, {until}")


def _keys(config: str | None, what: Callable[[Path], Any]) -> Any:
    from demand_forecast.service.state.keys import KeyFileError, key_file

    settings = _open(config)
    try:
        return what(key_file(settings.serving, settings.root))
    except KeyFileError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@CONFIG_OPTION
def profile(config: str | None) -> None:
    """Show where the time of the last run went, stage by stage."""
    settings = _open(config)
    import dagster as dg

    from demand_forecast.cli.run_profile import last_profile
    from demand_forecast.cli.summary import print_profile

    with dg.DagsterInstance.get() as instance:
        found = last_profile(instance)
    if found is None:
        raise click.ClickException(f"No run has ended in {settings.root}: run `demand-forecast run` first.")
    print_profile(found, Console())


@main.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("data"), show_default=True)
@click.option("--truth", type=click.Path(file_okay=False, path_type=Path), help="Where to write what really happened.")
@click.option("--seed", default=2026, show_default=True)
def sample(out: Path, truth: Path | None, seed: int) -> None:
    """Write the sample retailer: landing files, master data, plan and ledger. The same seed, the same bytes."""
    from demand_forecast.sources.sample import write_sample

    write_sample(out, seed=seed, truth=truth)
    click.echo(f"sample retailer written to {out}")
