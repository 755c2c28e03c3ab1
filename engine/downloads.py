"""Files from the network: fetched once, into the user's cache, and their SHA-256 checked."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pooch
import requests

from vesselforge.configs.errors import DataError

CACHE_VARIABLE = "VESSELFORGE_CACHE"
TIMEOUT_S = 30


def cache_folder() -> Path:
    """Return where downloads are kept: $VESSELFORGE_CACHE, or the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(pooch.os_cache("vesselforge"))


def fetch(url: str, sha256: str, name: str, purpose: str, instead: str) -> Path:
    """Return the path of the file `name` in the cache, downloaded if it is not there yet.

    A file with another hash, from wherever, is never used. Raises DataError when it cannot be had:
    `purpose` says in that message what needs it ("features: inception"), `instead` what to do.
    """
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        found = pooch.retrieve(
            url=url,
            known_hash=f"sha256:{sha256}",
            fname=name,
            path=cache_folder(),
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
        )
    except (requests.RequestException, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise DataError(
            f"{purpose} needs {name}, which could not be had from {url} ({reason}); {instead}"
        ) from error
    return Path(found)
