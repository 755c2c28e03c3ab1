"""A made-up finished run: a small store of generated pictures and plausible numbers.

Scores are counted from made-up predictions, so that they are consistent with one another.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fake_files import as_csv, as_json, as_lines, put
from fake_logs import generator_log, segmenter_log
from fake_pictures import (
    METRICS,
    SIZE,
    fundus,
    png,
    sheet,
)
from fake_scores import predictions, scores
from PIL import Image, ImageFilter

from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.files import write_json
from vesselforge.engine.store import Store


@dataclass
class FakeRun:
    """skill: share of vessel pixels that each model gets right, a little noise aside. in_range:
    shares of drawn and of kept images whose vessel maps look real. kid_std: of the samples' KID.
    f1: of the students on validation images, round by round.
    """

    workspace: Path
    skill: dict[str, float] = field(
        default_factory=lambda: {"teacher": 0.80, "student": 0.84, "ensemble": 0.85}
    )
    reference: bool = True
    f1: tuple[float, ...] = (0.79,)
    methods: tuple[str, ...] = ()
    status: str = "completed"
    in_range: tuple[float, float] | None = None
    kimg: float = 10.0
    kid_std: float = 0.0051
    missing: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    ids: tuple[str, ...] = ("01_test", "02_test", "03_test", "04_test", "05_test", "06_test")
    record: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def store(self) -> Store:
        return Store(self.workspace)

    def build(self) -> FakeRun:
        """Write store and run.json."""
        artifacts: dict[str, Any] = {
            "development": self._images("development"),
            "test": self._images("test"),
        }
        teacher = artifacts["teacher"] = self._training("teacher", 600, 0.78)
        for number, f1 in enumerate(self.f1, 1):
            mark = f"-{number}" if number > 1 else ""
            made = self._augmentation(teacher, mark, f1)
            artifacts |= {f"{role}{mark}": address for role, address in made.items()}
        artifacts["ensemble"] = self._put(
            "segmenter.ensemble",
            "ensemble",
            {
                "ensemble.json": as_json(
                    {"members": [{"network": "sa-unet"}] * 2, "parameters": 1077414}
                )
            },
            {"validation": {"f1": 0.803, "auc": 0.968, "threshold": 0.47}, "members": 2},
            {"teacher": teacher[1], "student": artifacts["student"][1]},
        )
        for method in self.methods:
            figures = {"f1": 0.801, "threshold": 0.5}
            artifacts[f"ensemble-{method}"] = self._put(
                "segmenter.ensemble",
                f"ensemble-{method}",
                {"ensemble.json": as_json({"members": [{"network": "sa-unet"}] * 2})},
                {"method": method, "validation": figures, "members": 2},
            )
        artifacts["evaluation"] = self._evaluation(artifacts)
        self._write_record(artifacts)
        return self

    def _write_record(self, artifacts: dict[str, Any]) -> None:
        for name in self.missing:
            artifacts.pop(name, None)
        self.folder = self.workspace / "runs" / "fake"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.record = {
            "name": "fake",
            "config": PipelineConfig.model_validate({"name": "fake"}).model_dump(mode="json"),
            "started": "2026-01-05T10:00:00Z",
            "finished": "2026-01-05T10:05:12Z",
            "seconds": 312.4,
            "status": self.status,
            "message": ""
            if self.status == "completed"
            else "generator: loss is no longer a number",
            "steps": [
                {"step": n, "kind": v[0], "digest": v[1], "reused": i < 2, "seconds": 7.5 * i}
                for i, (n, v) in enumerate(artifacts.items())
            ],
            "artifacts": artifacts,
            "warned": list(self.warned),
        }
        write_json(self.folder / "run.json", self.record)

    def _put(
        self,
        kind: str,
        name: str,
        files: dict[str, bytes],
        metrics: dict[str, Any],
        inputs: dict[str, str] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> list[str]:
        return put(self.store, kind, name, files, metrics, inputs, settings)

    def _images(self, part: str) -> list[str]:
        test = part == "test"
        ids = self.ids if test else tuple(f"{i}_training" for i in range(21, 31))
        labelled = self.reference or not test
        files, items, rows = {}, [], []
        for number, id_ in enumerate(ids):
            image, mask = fundus(number + 100 * test)
            name = f"{number:02d}.png"
            files |= {f"images/{name}": png(image), f"masks/{name}": png(mask * 255)}
            split = "test" if test else "train" if number < 8 else "validation"
            items.append({"id": id_, "split": split, "image": f"images/{name}"})
            items[-1]["mask"] = f"masks/{name}" if labelled else None
            rows.append({"id": id_, "split": split, "height": SIZE, "width": SIZE})
            rows[-1] |= {"vessel_share": round(float(mask.mean()), 4), "sha256": "ab" * 32}
        splits = [
            {"split": s, "images": n, "labelled": n * labelled, "sizes": ["96×96"]}
            for s, n in Counter(item["split"] for item in items).items()
        ]
        problem = {"severity": "warning", "file": "mask/03.png", "sentence": "found 4 grey values"}
        check = {"name": "fake", "splits": splits, "images": rows, "problems": [problem]}
        files |= {
            "index.json": as_json({"name": "fake", "items": items}),
            "check.json": as_json(check),
        }
        return self._put("data.prepare", part, files, {"images": {split: len(ids)}})

    def _training(
        self, name: str, steps: int, f1: float, inputs: dict[str, str] | None = None
    ) -> list[str]:
        model = {"members": [{"network": "sa-unet"}], "threshold": 0.46, "parameters": 538707}
        files = {"log.jsonl": as_lines(segmenter_log(steps, f1)), "model.json": as_json(model)}
        best = {"f1": f1, "auc": 0.966, "threshold": 0.46}
        metrics = {"validation": best, "best_step": steps - 100, "steps": steps}
        return self._put("segmenter.train", name, files, metrics, inputs)

    def _augmentation(self, teacher: list[str], mark: str, f1: float) -> dict[str, Any]:
        generator = self._generator()
        samples = self._put(
            "generator.sample",
            f"samples{mark}",
            {"grid.png": png(sheet(900, 28)), "index.json": as_json({"name": "s", "items": []})},
            {},
            {"generator": generator[1]},
        )
        score = {"fid": 61.37, "kid_mean": 0.0412, "kid_std": self.kid_std}
        score |= {"kid_floor_mean": 0.0009, "kid_floor_std": 0.0012, "features": "teacher"}
        score |= {"real": 256, "synthetic": 64}
        score |= {"precision": 0.81, "recall": 0.32, "density": 0.93, "coverage": 0.55}
        score |= {"copy_ratio": 0.9, "copy_expected": 0.0467, "copy_held_out_images": 4}
        score |= {"c_t": -6.1, "relative_distance": 0.71}
        labelled = self._labels(samples, teacher, mark)
        pretrained = self._training(f"pretrained{mark}", 500, 0.71, {"images": labelled[1]})
        return {
            "generator": generator,
            "samples": samples,
            "score": self._put(
                "generator.score",
                f"score{mark}",
                {"closest.png": png(sheet(450, 7))},
                score,
                {"samples": samples[1]},
            ),
            "labelled": labelled,
            "pretrained": pretrained,
            "student": self._training(f"student{mark}", 400, f1, {"start": pretrained[1]}),
        }

    def _generator(self) -> list[str]:
        grids = {
            f"grid-{step:06d}.png": png(sheet(step, 4)) for step in (250, 500, 750, 1000, 1250)
        }
        files = {"log.jsonl": as_lines(generator_log()), "reals.png": png(sheet(0, 28)), **grids}
        settings = {"ada_target": 0.6, "device": "cpu"}
        return self._put("generator.train", "generator", files, {"kimg": self.kimg}, {}, settings)

    def _labels(self, samples: list[str], teacher: list[str], mark: str) -> list[str]:
        rng, files, items, rows = np.random.default_rng(8), {}, [], []
        for i in range(24):
            confidence, share = float(np.clip(rng.normal(0.8, 0.08), 0, 1)), 0.09
            kept, name = confidence >= 0.7, f"{i:02d}.png"
            reason = "" if kept else f"confidence {confidence:.3f} is below 0.7"
            image, mask = fundus(900 + i)
            soft = np.asarray(Image.fromarray(mask * 255).filter(ImageFilter.GaussianBlur(1)))
            files |= {f"images/{name}": png(image), f"soft/{name}": png(soft)}
            items.append({"id": f"seed{i}", "split": "train" if kept else "rejected"})
            items[-1] |= {
                "image": f"images/{name}",
                "soft": f"soft/{name}",
                "confidence": confidence,
            }
            rows.append([f"seed{i}", f"{confidence:.4f}", share, int(kept), reason])
        files["index.json"] = as_json({"name": "labelled", "items": items})
        files["labels.csv"] = as_csv(["id", "confidence", "vessel_share", "kept", "reason"], rows)
        kept = sum(row[3] for row in rows)
        metrics = {"kept": kept, "rejected": 24 - kept, "reasons": {"confidence": 24 - kept}}
        metrics |= {"mean_confidence": 0.81, "drawn": 24}
        if self.in_range is not None:
            metrics["in_range"] = dict(zip(("all", "kept"), self.in_range, strict=True))
        inputs = {"samples": samples[1], "teacher": teacher[1]}
        settings = {"min_confidence": 0.7}
        name = f"labels{mark}"
        return self._put("segmenter.pseudo-label", name, files, metrics, inputs, settings)

    def _evaluation(self, artifacts: dict[str, Any]) -> list[str]:
        files: dict[str, bytes] = {}
        rows: list[list[Any]] = []
        metrics: dict[str, Any] = {"images": len(self.ids), "reference": None}
        metrics |= {"models": {}, "observers": {}}
        curves = {}
        for name, skill in self.skill.items():
            files |= predictions(self.ids, name, skill)
            if self.reference:
                metrics["models"][name] = {"threshold": 0.46, **scores(self.ids, name, skill, rows)}
                if name == "ensemble":
                    fitted = [{"temperature": 1.25, "shift": -0.5}, {}]
                    rule = {"sure": 0.7, "smallest": 50}
                    metrics["models"][name] |= {"calibration": fitted, "components": rule}
                if name.startswith("ensemble-"):
                    method = name.removeprefix("ensemble-")
                    metrics["models"][name]["rule"] = {"method": method, "thresholds": [0.3, 0.46]}
                metrics["models"][name]["against"] = {"2nd": scores(self.ids, name, skill / 2, [])}
                x = np.linspace(0, 1, 60)
                roc = {"fpr": x.tolist(), "tpr": (1 - (1 - x) ** (60 * skill)).tolist()}
                pr = {"recall": x.tolist(), "precision": (1 - 0.87 * x ** (12 * skill)).tolist()}
                curves[name] = {"roc": roc, "pr": pr}
        if self.reference:
            metrics["reference"] = "1st"
            metrics["observers"]["2nd"] = scores(self.ids, "observer 2nd", 0.77, rows)
        else:
            metrics["note"] = "DRIVE's official test package has no labels."
        files["per_image.csv"] = as_csv(["model", "id", "region", *METRICS], rows)
        files["curves.json"] = as_json(curves)
        models = {"teacher": artifacts["teacher"][1], "ensemble": artifacts["ensemble"][1]}
        inputs = {"test": artifacts["test"][1], **models}
        return self._put("segmenter.evaluate", "evaluation", files, metrics, inputs)
