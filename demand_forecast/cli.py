"""`demand-forecast`: a thin door to the same definitions for terminals and scripts."""

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from demand_forecast.home import Home
from demand_forecast.settings import ENV_PREFIX, ConfigError, Settings, config_path, load_settings

CONFIG_OPTION = click.option(
    "--config", type=click.Path(dir_okay=False), help=f"Configuration file [${ENV_PREFIX}CONFIG, else config.yaml]."
)


@click.group()
@click.version_option(package_name="demand-forecast")
def main() -> None:
    """Nightly demand forecasting for retailers."""


def _open(config: str | None) -> Settings:
    """The settings, with this process pointed at their home."""
    os.environ[ENV_PREFIX + "CONFIG"] = str(config_path(config))
    try:
        settings = load_settings(config)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    Home(settings.root).prepare()
    return settings


@main.command()
@CONFIG_OPTION
def init(config: str | None) -> None:
    """Make the home folder, and in this folder the .env file from which `dagster dev` learns where it is."""
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
    """Run the whole graph: from what has arrived to a forecast, a promoted model and a Bento.

    Exit status 0 only if all of it worked.
    """
    _run(config, "whole_graph")


@main.command()
@CONFIG_OPTION
def night(config: str | None) -> None:
    """Run the nightly path: what has arrived, to a forecast by the champion and orders. No training.

    For nights without the Dagster daemon, which does the same by its sensors. Exit status 0 only if all of it worked.
    """
    _run(config, "nightly")


def _run(config: str | None, job: str) -> None:
    from demand_forecast.run import run_job

    settings = _open(config)
    if not run_job(settings, job, Console(stderr=True), Console()):
        sys.exit(1)


@main.command()
@CONFIG_OPTION
def status(config: str | None) -> None:
    """What is live, and why."""
    from demand_forecast.summary import print_status

    print_status(_open(config), Console())


@main.command()
@click.argument("version")
@CONFIG_OPTION
def reproduce(version: str, config: str | None) -> None:
    """Train a registered VERSION again, from the versions of the tables that it was made of.

    Exit status 0 only if the features are equal and both models forecast the same.
    """
    from demand_forecast.lake.tables import LakeError
    from demand_forecast.reproduce import reproduce_version
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
    """Take the champion back: the version before it serves again, once it has shown that it can.

    Exit status 0 only if all of it worked.
    """
    from demand_forecast.run import roll_back

    if not roll_back(_open(config), reason, Console(stderr=True), Console()):
        sys.exit(1)


@main.command()
@CONFIG_OPTION
def profile(config: str | None) -> None:
    """Where the time of the last run went, stage by stage."""
    settings = _open(config)
    import dagster as dg

    from demand_forecast.stages import last_profile
    from demand_forecast.summary import print_profile

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


if __name__ == "__main__":
    main()
