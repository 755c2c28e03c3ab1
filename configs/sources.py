"""Where synthetic images come from: one settings class a kind of source, told apart by `kind`.

A kind is one class here and one in `pipeline.sources`; configs, their messages and forms know it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from vesselforge.configs.base import Settings, operational
from vesselforge.configs.stages.labels import LabelChoice, Labels

SOURCES: dict[str, type[SourceSettings]] = {}
"""Every kind of source by its name."""


class SourceSettings(LabelChoice):
    """What every source of synthetic images has; a kind adds its own settings, and is known by the
    default of its field `kind`."""

    kind: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        SOURCES[cls.model_fields["kind"].default] = cls

    def model_post_init(self, context: Any) -> None:
        """Its kind is always part of what was given: nothing else tells one from another."""
        self.model_fields_set.add("kind")


class AnySource:
    """The type of a field that holds one of SOURCES: `Annotated[…, AnySource()]`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        kinds = {kind: handler.generate_schema(settings) for kind, settings in SOURCES.items()}
        union = core_schema.tagged_union_schema(kinds, discriminator="kind")
        # `--set source=phantom` is enough where the other settings are to be the defaults.
        return core_schema.no_info_before_validator_function(
            lambda value: {"kind": value} if isinstance(value, str) else value, union
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Any of the kinds, or the word for one."""
        found = handler(schema)
        found["oneOf"].append({"enum": [*SOURCES], "type": "string"})
        return found


Source = Annotated[SourceSettings, AnySource()]


def _named_like_a_file(name: str) -> str:
    if not name or not all(c.isalnum() or c in "._-" for c in name):
        raise ValueError(f"found the name {name!r}; use letters, digits, `.`, `_` and `-`")
    return name


SourceName = Annotated[str, AfterValidator(_named_like_a_file)]


class StyleGAN2Source(SourceSettings):
    """Samples of a StyleGAN2-ADA that is trained on the real images."""

    kind: Literal["stylegan2"] = "stylegan2"
    labels: Labels = "teacher"
    """teacher: the teacher's vessel maps; own: the mask that was drawn with the image
    (generator.channels: rgb+mask); agreement: the own mask where the teacher agrees"""


class JointSource(StyleGAN2Source):
    """Samples of a StyleGAN2-ADA that draws image and mask together."""

    kind: Literal["joint"] = "joint"  # type: ignore[assignment]
    labels: Labels = "own"
    """own: the mask that was drawn with the image; agreement: the same where the teacher agrees;
    teacher: the teacher's vessel maps of the same images"""


class PhantomLook(Settings):
    """What phantoms look like: of the stage and of the source."""

    size: int | None = Field(None, ge=64, le=4096)
    """height and width in pixels; default: of the real images, 540 for generic"""
    appearance: Literal["generic", "fitted"] = "fitted"
    """fitted: colours, noise, vessels and their widths as in the real training images; generic: as
    in fundus photographs in general"""
    randomise: float = Field(0.0, ge=0, le=1)
    """domain randomisation: colour, contrast, blur, zoom, lesions, beyond any one camera, for
    models that meet others; 0: none"""


class PhantomDrawSettings(PhantomLook):
    """Procedural fundus images with exact vessel masks, to train on."""

    count: int = Field(100, ge=1, le=1_000_000, description="images")
    seed: int = Field(0, ge=0, lt=2**32, description="image i is made from seed + i alone")


class PhantomSource(PhantomLook, SourceSettings):
    """Procedural fundus images with exact masks; nothing is trained."""

    kind: Literal["phantom"] = "phantom"
    labels: Labels = Field("own", description="own: exact masks; teacher, agreement: as elsewhere")
    seed: int = Field(0, ge=0, lt=2**31, description="same seed, same images")


class UnlabelledSource(SourceSettings):
    """Real images without labels, labelled by the teacher: more eyes without a generator."""

    kind: Literal["unlabelled"] = "unlabelled"
    labels: Literal["teacher"] = Field("teacher", description="the teacher's vessel maps")
    root: Path | None = operational(None)
    """folder of images; default, in a study with `arms.real_images`: the training images that an
    arm has no labels of (its content, not its path, is identity)"""


class NoSource(SourceSettings):
    """No synthetic images: a run of real ones alone, whose teacher is its only model."""

    kind: Literal["none"] = "none"
    labels: Literal["teacher"] = Field("teacher", description="there is nothing to label")
