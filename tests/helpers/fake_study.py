"""A made-up finished study: the files that its page is made from, with plausible numbers.

Differences are drawn from a fixed stream: a seed moves all images of a run together, images have
a spread of their own, and an arm has its planted gain.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vesselforge.configs.study import StudyConfig
from vesselforge.engine.store import Store
from vesselforge.pipeline.record import STUDY
from vesselforge.pipeline.study.schema import (
    RESULTS,
    Arm,
    ArmRun,
    Effect,
    Endpoint,
    Place,
    Realism,
    Results,
    Samples,
    Secondary,
    SyntheticImages,
)

HEADLINE = "No gain shown: 200 synthetic images changed F1 on drive by +0.0008 (best of 6 arms)."
PRIMARY = Place(set="drive", observer="1st")
OTHER = Place(set="chase", observer="2nd")


@dataclass
class FakeStudy:
    """gains: planted difference by number of synthetic images. broken: id of an arm that failed.

    declared: arms have names, the first two decide on all places, one real-only arm more is trained
    longer, and arms are held against the first of them.
    """

    folder: Path
    counts: tuple[int, ...] = (50, 200, 500)
    orders: tuple[str, ...] = ("synthetic-first", "mixed")
    sizes: tuple[int, ...] = (20,)
    seeds: tuple[int, ...] = (0, 1, 2)
    places: tuple[Place, ...] = (PRIMARY, OTHER)
    images: int = 20
    gains: dict[int, float] = field(default_factory=lambda: {50: 0.002, 200: 0.009, 500: -0.011})
    broken: str = "mixed-500-20"
    declared: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    @property
    def store(self) -> Store:
        return Store(self.folder)

    def build(self) -> FakeStudy:
        """Write the run folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        results = self.results()
        (self.folder / RESULTS).write_text(results.model_dump_json(indent=1))
        for samples in results.samples:
            for name in filter(None, (samples.picture, samples.nearest)):
                self._picture(name)
        (self.folder / "run.json").write_text(json.dumps(self.record()))
        return self

    def results(self) -> Results:
        arms = [self._real_only(size) for size in self.sizes]
        for size in self.sizes:
            for order in self.orders:
                arms += [self._arm(order, count, size) for count in self.counts]
        arms = self._named(arms) if self.declared else arms
        compared = [arm for arm in arms if arm.baseline]
        values: dict[str, Any] = {
            "name": "made-up",
            "headline": HEADLINE,
            "metric": "f1",
            "region": "fov",
            "alpha": 0.05,
            "power": 0.8,
            "steps": 4000,
            "seeds": list(self.seeds),
            "reseed": "students",
            "declared": self.declared,
            "endpoints": [
                Endpoint(name=f"test {p.set}" if self.declared else p.set, place=p, sets=[p.set])
                for p in (self.places if self.declared else self.places[:1])
            ],
            "primary_arms": [arm.id for arm in compared[: 2 if self.declared else None]],
            "secondary": [
                Secondary(metric="f1_best", arm=arm.id, **dict(effect))
                for arm in arms
                for effect in arm.effects
            ],
            "places": list(self.places),
            "arms": arms,
            "synthetic": [
                *(self._synthetic("gan", seed, 540) for seed in self.seeds),
                *(self._synthetic("fog", seed, 3 * seed) for seed in self.seeds),
                SyntheticImages(
                    origin="rest, 20 real images, seed 0",
                    source="rest",
                    real_images=20,
                    seed=0,
                    photographs=True,
                    drawn=7,
                    kept=7,
                    reasons={},
                ),
            ],
            "samples": [
                Samples(
                    source="gan",
                    picture="samples-gan.png",
                    caption="the first 8 of 600",
                    nearest="nearest-gan.png",
                ),
                Samples(source="rest", caption="these are real images"),
            ],
        }
        return Results(**{**values, **self.changes})

    def _named(self, arms: list[Arm]) -> list[Arm]:
        """R1, and P0, P1, … with another source each; against P0, and of R1-long against R1."""
        real, *others = arms
        found = [real.model_copy(update={"name": "R1", "label": "R1: real only"})]
        update = {"name": "R1-long", "label": "R1-long: real only (2 × the steps)", "longer": 2.0}
        update |= {
            "id": "long",
            "controls": self._controls(others[0], real.id),
            "strength": "strong",
        }
        found.append(real.model_copy(update=update))
        for number, arm in enumerate(others):
            name = f"P{number}"
            own = {"name": name, "label": f"{name}: {arm.label}", "source": f"source {number}"}
            own["labels"] = "own" if number else "teacher"
            own["effects"] = [e.model_copy(update={"p_primary": 0.033}) for e in arm.effects]
            own |= {} if number < 2 else {"effects": arm.effects}
            own["controls"] = self._controls(arm, others[0].id) if number else []
            found.append(arm.model_copy(update=own))
        return found

    def _controls(self, arm: Arm, against: str) -> list[Effect]:
        return [e.model_copy(update={"against": against, "p_holm": 0.044}) for e in arm.effects]

    def record(self) -> dict[str, Any]:
        config = StudyConfig.model_validate({"name": "made-up", "arms": {"seeds": self.seeds}})
        return {
            "name": "made-up",
            "flow": STUDY,
            "status": "completed",
            "message": "",
            "started": "2026-01-05T10:00:00Z",
            "finished": "2026-01-05T16:20:00Z",
            "seconds": 22800.0,
            "config": config.model_dump(mode="json"),
            "steps": [
                {
                    "step": "student, 50 synthetic first, seed 0",
                    "kind": "segmenter.train",
                    "digest": "ab" * 12,
                    "reused": True,
                    "seconds": 12.5,
                }
            ],
            "artifacts": {"test": ["data.prepare", "ef" * 12]},
            "arms": [
                {
                    "arm": "real-20",
                    "seed": 0,
                    "artifacts": {"student": ["segmenter.train", "cd" * 12]},
                }
            ],
        }

    def _real_only(self, size: int) -> Arm:
        effects = [
            Effect(
                place=p, level=self._level(p, size, 0), seeds=len(self.seeds), images=self.images
            )
            for p in self.places
        ]
        return Arm(
            id=f"real-{size}",
            label="real only",
            count=0,
            order=None,
            real_images=size,
            baseline=None,
            runs=[self._run(seed, 0.80) for seed in self.seeds],
            effects=effects,
        )

    def _arm(self, order: str, count: int, size: int) -> Arm:
        id_ = f"{order}-{count}-{size}"
        broken = id_ == self.broken
        runs = [
            ArmRun(seed=s, status="failed", message="out of memory; lower batch")
            if broken
            else self._run(s, 0.80 + self.gains.get(count, 0.0))
            for s in self.seeds
        ]
        return Arm(
            id=id_,
            label=f"{count} synthetic, {order}",
            count=count,
            order=order,
            real_images=size,
            baseline=f"real-{size}",
            runs=runs,
            effects=[] if broken else [self._effect(p, count, size) for p in self.places],
        )

    def _synthetic(self, source: str, seed: int, in_range: int) -> SyntheticImages:
        """KID rises with the seed, by more than its error from seed 2 on."""
        kid = 0.0005 + 0.0003 * seed
        return SyntheticImages(
            origin=f"{source}, 20 real images, seed {seed}",
            source=source,
            real_images=20,
            seed=seed,
            drawn=600,
            kept=512 - 20 * seed,
            reasons={"low_confidence": 60 + 20 * seed, "near_copy": 8, "no_vessels": 20},
            in_range=in_range,
            kept_in_range=in_range // 2,
            realism=Realism(
                kid=kid,
                kid_std=0.0005,
                kid_floor=0.0004,
                kid_floor_std=0.0002,
                distance=0.93,
                copies=0.012,
                expected=0.01,
                c_t=-1.3,
            ),
        )

    def _run(self, seed: int, score: float) -> ArmRun:
        return ArmRun(seed=seed, status="completed", validation_f1=score, threshold=0.47)

    def _level(self, place: Place, size: int, count: int) -> tuple[float, float, float]:
        mean = 0.815 - 0.05 * self.places.index(place) - 0.3 / size + self.gains.get(count, 0.0)
        return mean, mean - 0.011, mean + 0.010

    def _effect(self, place: Place, count: int, size: int) -> Effect:
        gain, seeds = self.gains.get(count, 0.0), len(self.seeds)
        shape = seeds, self.images
        matrix = (
            gain + self.random.normal(0, 0.001, (seeds, 1)) + self.random.normal(0, 0.006, shape)
        )
        level = self._level(place, size, count)
        mean, tested = float(matrix.mean()), seeds > 1
        half = 0.0045
        verdict = "untested" if not tested else "none shown" if abs(mean) < half else "gain"
        return Effect(
            place=place,
            against=f"real-{size}",
            level=level,
            seeds=seeds,
            images=self.images,
            mean=mean,
            low=mean - half if tested else None,
            high=mean + half if tested else None,
            by_seed=matrix.mean(axis=1).tolist(),
            p_images=0.0004 if tested else None,
            p_seeds=0.0123 if tested else None,
            p_holm=3e-8 if verdict == "gain" else 0.61 if tested else None,
            detectable=0.0052 if tested else None,
            verdict="harm" if verdict == "gain" and mean < 0 else verdict,
        )

    def _picture(self, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        tint = np.linspace(40, 190, 96, dtype=np.uint8)
        sheet = np.stack([np.tile(tint, (48, 1)), np.full((48, 96), 60, np.uint8)], -1)
        Image.fromarray(np.dstack([sheet, sheet[..., :1]])).save(path)
