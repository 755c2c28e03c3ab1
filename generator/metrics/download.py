"""The official Inception file: fetched once, into the user's cache, its SHA-256 checked."""

from __future__ import annotations

import os
from pathlib import Path

from vesselforge.engine.downloads import fetch

INCEPTION_URL = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt"
)
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""Of the 95,607,719 bytes at that address; several independent projects publish the same."""
URL_VARIABLE = "VESSELFORGE_INCEPTION_URL"
"""Names another address of the same file (a mirror); what comes from there is checked as well."""


def inception_file() -> Path:
    """Return the path of inception-2015-12-05.pt, downloaded (96 MB) if it is not there yet.

    Raises DataError when it cannot be had; see engine.downloads.fetch.
    """
    return fetch(
        os.environ.get(URL_VARIABLE, INCEPTION_URL),
        INCEPTION_SHA256,
        INCEPTION_URL.rpartition("/")[2],
        purpose="features: inception",
        instead="give its path as features_file, or set features: random",
    )
