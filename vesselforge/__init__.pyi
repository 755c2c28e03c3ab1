# The public names, and where they are: `__init__.py` loads them by this file.
from .api.drawing import TrainedGenerator, load_generator
from .api.images import load_dataset, phantom
from .api.running import RunResult, StudyResult, compare, run
from .api.segmenting import TrainedSegmenter, load_model
from .configs.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    TrainingError,
    UserError,
    WorkspaceError,
)
from .configs.settings import PipelineConfig
from .configs.study import StudyConfig
from .engine.processes.reporting import StageCrashed
from .engine.progress import Interrupted
from .segmenter.metrics.scores import score

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Interrupted",
    "PipelineConfig",
    "RunResult",
    "StageCrashed",
    "StudyConfig",
    "StudyResult",
    "TrainedGenerator",
    "TrainedSegmenter",
    "TrainingError",
    "UserError",
    "WorkspaceError",
    "compare",
    "load_dataset",
    "load_generator",
    "load_model",
    "phantom",
    "run",
    "score",
]
