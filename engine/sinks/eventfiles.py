"""Event files as TensorBoard reads them, written without PyTorch or TensorFlow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from vesselforge.engine.sinks.curves import Point

NAME = "events.out.tfevents."
VERSION = "brain.Event:2"
PICTURE = "generated"
RGB = 3


class EventFiles:
    """The event files of a folder: what they show, and how to make them show something else.

    Nothing that is written is ever changed: a restart mark takes back what came after a step, as
    TensorBoard understands it, and every opening that has something to add begins another file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._points: list[Point] = []
        self._pictures: set[int] = set()
        self._writer: RecordWriter | None = None
        before = sorted(folder.glob(f"{NAME}*"))
        self._number = 1 + max((int(f.name.removeprefix(NAME)) for f in before), default=-1)
        for file in before:
            for content in RawEventFileLoader(str(file)).Load():  # ends where a kill tore it
                self._remember(Event.FromString(content))
        self.empty_before = not before

    def _remember(self, event: Any) -> None:
        if event.HasField("session_log"):
            self._forget(event.step)
        values = {v.tag: v.simple_value for v in event.summary.value if v.HasField("simple_value")}
        if values:
            self._points.append(Point(event.step, values))
        if any(v.HasField("image") for v in event.summary.value):
            self._pictures.add(event.step)

    def _forget(self, step: int) -> None:
        self._points = [point for point in self._points if point.step < step]
        self._pictures = {taken for taken in self._pictures if taken < step}

    def show(self, points: list[Point]) -> None:
        """Show exactly these, in this order. What is shown already is not written again."""
        shown, same = self._points, 0
        for old, new in zip(shown, points, strict=False):
            if old != new:
                break
            same += 1
        if same < len(shown):  # take back whole steps
            back = shown[same].step
            self._add(Event(step=back, session_log=SessionLog(status=SessionLog.START)))
            self._forget(back)
            same = len(self._points)
        for point in points[same:]:
            values = [Summary.Value(tag=t, simple_value=v) for t, v in point.values.items()]
            self._add(Event(step=point.step, summary=Summary(value=values)))
            self._points.append(point)

    def picture(self, step: int, file: Path) -> None:
        """Show a PNG file of 8 bits a channel, if the step has no picture yet."""
        if step in self._pictures:
            return
        content = file.read_bytes()
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # IHDR
        image = Summary.Image(
            width=width, height=height, colorspace=RGB, encoded_image_string=content
        )
        value = Summary.Value(tag=PICTURE, image=image)
        self._add(Event(step=step, summary=Summary(value=[value])))
        self._pictures.add(step)

    def text(self, tag: str, text: str) -> None:
        """Show a few words."""
        plugin = SummaryMetadata.PluginData(plugin_name="text")
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        metadata = SummaryMetadata(plugin_data=plugin)
        value = Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        self._add(Event(summary=Summary(value=[value])))
        self.empty_before = False

    def _add(self, event: Any) -> None:
        if self._writer is None:
            name = f"{NAME}{self._number:06d}"
            self._writer = RecordWriter((self._folder / name).open("xb"))
            self._put(Event(file_version=VERSION))
        self._put(event)

    def _put(self, event: Any) -> None:
        assert self._writer is not None
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())

    def flush(self) -> None:
        """What was added is on its way to the disk."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
