"""VesselForge: synthetic data for small segmentation sets, and the evidence whether it helps.

>>> import vesselforge as vf
>>> eye = vf.phantom(seed=1, size=64)
>>> prob = vf.load_model("sa-unet-drive").predict(eye.image)
>>> prob.shape
(64, 64)

| name | does |
| --- | --- |
| `load_model(name_or_path)` | a segmenter: `.predict(image)`, `.segment(image)` |
| `score(prob, reference, fov)` | every metric of a vessel map |
| `load_generator(name_or_path)` | a generator: `.draw(…)`, `.draw_to(folder, …)`, `.dataset(…)` |
| `load_dataset(name, root)`, `phantom(seed, size)` | images with known vessels |
| `run(config)`, `compare(config)` | the whole pipeline; the study |

What is wrong with what a user gave is a `UserError`: ConfigError, DataError, CheckpointError,
TrainingError or WorkspaceError. What a name needs is loaded when the name is used first;
`__init__.pyi` says where each is.

The rooms are the folders of the project's root; links bring them in here, so that what is installed
has one name and neither hides nor is hidden by a user's own `data.py` or `configs.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
