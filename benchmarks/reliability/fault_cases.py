"""What goes wrong, one function a fault: it makes the scene, lets the command meet the fault, says
in `scene.repairs` what a user would do, and returns the command's exit status and words."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

from PIL import Image

from benchmarks.reliability.pipeline import contents
from benchmarks.reliability.processes import (
    called,
    environment,
    family,
    free_port,
    kill,
    running,
    stages,
    until,
)
from benchmarks.reliability.reference import PATIENCE_S
from benchmarks.reliability.scene import Scene, cut, flip, mount
from vesselforge.data.formats.images import read_picture
from vesselforge.flows.serving.service import RESTARTS, answers

Said = tuple[int, str]
GENERATOR, TEACHER, STUDENT = "generator", "teacher", "student, real images"
DOWN_S = 5.0
"""How long nobody starts the killed server again."""


class Case(NamedTuple):
    """status: what the faulty run ends with. words: what it says. dataset: of files, not phantoms.
    costs: the step whose finished artifact the fault itself destroys."""

    fault: str
    act: Callable[[Scene], Said]
    status: int
    words: str
    dataset: bool = False
    costs: str | None = None


def full_from_the_start(scene: Scene) -> Said:
    scene.disk()
    _copy_to_disk(scene, TEACHER)
    scene.fill()
    scene.repairs.append((scene.workspace / "filler").unlink)
    return scene.run()


def full_in_training(scene: Scene) -> Said:
    scene.disk()
    _copy_to_disk(scene, GENERATOR)
    scene.repairs.append((scene.workspace / "filler").unlink)
    with scene.running() as process:
        scene.wait(process, lambda: scene.checkpoints(GENERATOR))
        while process.poll() is None:
            scene.fill()
        return scene.end(process)


def read_only(scene: Scene) -> Said:
    scene.disk()
    _copy_to_disk(scene, TEACHER)
    mount("-o", "remount,ro", str(scene.workspace))
    scene.repairs.append(partial(mount, "-o", "remount,rw", str(scene.workspace)))
    return scene.run()


def _copy_to_disk(scene: Scene, step: str) -> None:
    """The reference's workspace is copied into the mounted one, which has to stay."""
    aside = scene.reference.copy(scene.folder / "aside", [step])
    shutil.copytree(aside, scene.workspace, dirs_exist_ok=True)
    shutil.rmtree(aside)
    scene.kept = contents(scene.workspace)


def newest_checkpoint(harm: Callable[[Path], None], step: str, scene: Scene) -> Said:
    _stopped_in(step, scene)
    harm(scene.checkpoints(step)[-1])
    return scene.run()


def all_checkpoints(harm: Callable[[Path], None], step: str, scene: Scene) -> Said:
    _stopped_in(step, scene)
    for path in scene.checkpoints(step):
        harm(path)
    folder = scene.folder_of(step, ".partial") / "checkpoint"
    scene.repairs.append(partial(shutil.rmtree, folder))  # as the message says
    return scene.run()


def _stopped_in(step: str, scene: Scene) -> None:
    scene.without(step)
    with scene.running() as process:
        scene.wait(process, lambda: len(scene.checkpoints(step)) >= 2)
        scene.murder(process)


def artifact(harm: Callable[[Path], None], name: str, scene: Scene) -> Said:
    scene.without()
    [path] = scene.folder_of(TEACHER).glob(name)
    harm(path)
    return scene.run()


def garble(path: Path) -> None:
    path.write_text('{"kind": "segmenter.train", "files": [')


def dataset(harm: Callable[[Path], None], scene: Scene) -> Said:
    """scene.folder / "dataset" is there; the test images are read after the others."""
    partial_folder = scene.folder_of("development images", ".partial")
    image = scene.folder / "dataset" / "images" / f"{_test_image(scene)}.png"
    whole = image.read_bytes()
    scene.repairs.append(partial(image.write_bytes, whole))
    with scene.running() as process:
        scene.wait(process, partial_folder.exists)
        harm(image)
        return scene.end(process)


def _test_image(scene: Scene) -> str:
    kind, digest = scene.reference.address("test images")
    folder = scene.reference.workspace / "store" / kind / digest / "images"
    return sorted(path.stem for path in folder.iterdir())[0]


def overwrite(path: Path) -> None:
    path.write_bytes(b"not an image at all")


def swap(path: Path) -> None:
    """Another image, as good as this one: itself, upside down."""
    turned = Image.fromarray(read_picture(path).rgb()[::-1].copy())
    turned.save(path)


def stage_killed(times: int, scene: Scene) -> Said:
    """As the kernel does when memory runs out."""
    scene.without(GENERATOR)
    with scene.running() as process:
        scene.wait(process, lambda: scene.checkpoints(GENERATOR))
        _kill_each(scene, process, stages, times)
        return scene.end(process)


def _kill_each(
    scene: Scene, process: Popen[str], meant: Callable[[Iterable[int]], list[int]], times: int
) -> None:
    """Kill what is meant of the command's family, and so many in all as soon as they follow it."""
    before: set[int] = set()

    def new() -> set[int]:
        return set(meant(family(process.pid))) - before

    for _ in range(times):
        scene.wait(process, new)
        victims = new()
        kill(victims)
        before |= victims


def memory_limited(scene: Scene) -> Said:
    """The stage's process may have no more than it has; its next attempt may."""
    scene.without(GENERATOR)
    with scene.running() as process:
        scene.wait(process, lambda: scene.checkpoints(GENERATOR))
        [stage] = stages(family(process.pid))
        pages = int(Path(f"/proc/{stage}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize()
        resource.prlimit(stage, resource.RLIMIT_AS, (limit, limit))
        return scene.end(process)


def embedded_server_killed(times: int, scene: Scene) -> Said:
    scene.without(GENERATOR)
    with scene.running() as process:
        scene.wait(process, scene.folder_of(GENERATOR, ".partial").exists)
        _kill_each(
            scene, process, partial(called, word="vesselforge.flows.serving.embedded"), times
        )
        return scene.end(process)


def shared_server_killed(back: bool, scene: Scene) -> Said:
    scene.without(GENERATOR)
    port = str(free_port())
    scene.extra = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    env = environment(scene.folder / "home", PREFECT_SERVER_API_PORT=port)
    command = ["prefect", "server", "start", "--host", "127.0.0.1"]
    health = f"{scene.extra['PREFECT_API_URL']}/health"
    with ExitStack() as servers:
        server = servers.enter_context(running(command, env, scene.folder, "server.txt"))
        until(lambda: answers(health), PATIENCE_S, every=0.2)
        process = servers.enter_context(scene.running())
        scene.wait(process, lambda: scene.checkpoints(GENERATOR))
        kill([server.pid])
        server.wait()
        if back:
            time.sleep(DOWN_S)
            servers.enter_context(running(command, env, scene.folder, "server.txt"))
        said = scene.end(process)
    scene.repairs.append(scene.extra.clear)  # the next command has its own
    return said


CASES = [
    Case("disk full from the start", full_from_the_start, 2, "no space left"),
    Case("disk full while the generator trains", full_in_training, 2, "no space left"),
    Case("workspace read-only", read_only, 2, "cannot write to the workspace"),
    *(
        Case(f"{whose}'s newest checkpoint {how}", partial(newest_checkpoint, harm, step),
             0, "going on from the one before it")
        for whose, step in (("generator", GENERATOR), ("student", STUDENT))
        for how, harm in (("cut short", cut), ("with a flipped bit", flip))
    ),
    *(
        Case(f"all checkpoints {how}", partial(all_checkpoints, harm, GENERATOR),
             2, "delete this folder to start the stage over")
        for how, harm in (("cut short", cut), ("with a flipped bit", flip))
    ),
    *(
        Case(f"finished model: {how}", partial(artifact, harm, name), 2, "moved to", costs=TEACHER)
        for how, harm, name in (
            ("weights with a flipped bit", flip, "*.safetensors"),
            ("weights cut short", cut, "*.safetensors"),
            ("a file missing", Path.unlink, "metrics.json"),
            ("manifest garbled", garble, "manifest.json"),
        )
    ),
    Case("image vanishes while the dataset is read", partial(dataset, Path.unlink),
         2, ".png", dataset=True),
    Case("image replaced by garbage while the dataset is read", partial(dataset, overwrite),
         2, ".png", dataset=True),
    Case("image replaced by another while the dataset is read", partial(dataset, swap),
         2, "changed while", dataset=True),
    Case("stage killed, as when memory runs out", partial(stage_killed, 1), 0, "ended by SIGKILL"),
    Case("stage killed in every attempt", partial(stage_killed, 3), 1, "ended by SIGKILL"),
    Case("stage out of memory", memory_limited, 0, "memory"),
    Case("embedded server killed", partial(embedded_server_killed, 1), 0, ""),
    Case("embedded server killed whenever it starts", partial(embedded_server_killed, RESTARTS + 1),
         1, "no longer answers"),
    Case("shared server killed, started again", partial(shared_server_killed, True), 0, ""),
    Case("shared server gone for good", partial(shared_server_killed, False),
         1, "no longer answers"),
]  # fmt: skip
