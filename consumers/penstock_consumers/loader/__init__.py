"""The loader: every event on Kafka becomes a row in ClickHouse, once as far as any view can tell."""

from penstock_consumers.loader.loader import Loader
from penstock_consumers.loader.settings import LoaderSettings

__all__ = ["Loader", "LoaderSettings"]
