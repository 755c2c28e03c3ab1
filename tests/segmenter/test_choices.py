"""What settings offer by name is what the code has, and errors name the nearest."""

from __future__ import annotations

import pytest

from vesselforge.configs import choices
from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import FitSettings
from vesselforge.segmenter.networks import NETWORKS, build
from vesselforge.segmenter.training.losses import LOSSES


def test_everything_offered_is_registered_and_nothing_else() -> None:
    assert NETWORKS.keys() == choices.NETWORKS.keys()
    assert LOSSES.keys() == choices.LOSSES.keys()


def test_a_name_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"found 'sa-unett', .*did you mean `sa-unet`\?"):
        build("sa-unett")
    with pytest.raises(ValueError, match=r"found 'bce-dise', .*; did you mean `bce-dice`\?"):
        FitSettings(loss="bce-dise")


def test_forms_offer_the_names() -> None:
    fields = FitSettings.model_json_schema()["properties"]
    assert fields["network"]["enum"] == list(choices.NETWORKS)
    assert fields["loss"]["enum"] == list(choices.LOSSES)
    assert "bce-mcc: " in fields["loss"]["description"]
