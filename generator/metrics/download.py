"""The official Inception file: fetched once, into the user's cache, its SHA-256 checked."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pooch
import requests

from configs.errors import DataError

INCEPTION_URL = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt"
)
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""Of the 95,607,719 bytes at that address; several independent projects publish the same."""
URL_VARIABLE = "VESSELFORGE_INCEPTION_URL"
"""Names another address of the same file (a mirror); what comes from there is checked as well."""
CACHE_VARIABLE = "VESSELFORGE_CACHE"
TIMEOUT_S = 30


def cache_folder() -> Path:
    """Return where downloads are kept: $VESSELFORGE_CACHE, or the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(pooch.os_cache("vesselforge"))


def inception_file() -> Path:
    """Return the path of inception-2015-12-05.pt, downloaded (96 MB) if it is not there yet.

    A file with another hash, from wherever, is never used. Raises DataError when it cannot be had.
    """
    url = os.environ.get(URL_VARIABLE, INCEPTION_URL)
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        found = pooch.retrieve(
            url=url,
            known_hash=f"sha256:{INCEPTION_SHA256}",
            fname=INCEPTION_URL.rpartition("/")[2],
            path=cache_folder(),
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
        )
    except (requests.RequestException, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise DataError(
            f"features: inception needs inception-2015-12-05.pt, which could not be had from {url} "
            f"({reason}); give its path as features_file, or set features: random"
        ) from error
    return Path(found)
