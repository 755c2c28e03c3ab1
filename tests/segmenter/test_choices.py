"""What settings offer by name is what the code has, and errors name the nearest."""

from __future__ import annotations

import pytest

from vesselforge.configs import choices
from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import FitSettings
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.contract import Segmenter


@pytest.mark.parametrize("choice", [*choices.NETWORKS.values(), *choices.LOSSES.values()])
def test_everything_offered_has_its_code(choice: choices.Choice) -> None:
    loaded = choice.load()
    assert loaded.__doc__
    if choice in choices.NETWORKS.values():
        assert isinstance(loaded, type) and issubclass(loaded, Segmenter)


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
