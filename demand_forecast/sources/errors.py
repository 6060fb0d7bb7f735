"""What goes wrong with sources. Messages name the thing, the place and the repair."""


class SourceError(ValueError):
    """A source cannot be read."""


class NoFileError(SourceError):
    """Nothing lies where files are looked for."""


class UnfinishedError(SourceError):
    """A file is not whole, or gone: it is left until it is whole, and the others are collected."""


class DamagedError(UnfinishedError):
    """A file cannot be whole: a compressed file or a Parquet file without its end."""
