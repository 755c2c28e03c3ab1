"""A pickle machine that builds plain data and runs nothing a file asks for.

Python's own unpickler is not used, not even restricted: it would still honour the process-wide
extension registry, call methods of whatever lies on its stack and allocate memory on request. Here
`pickletools.genops` decodes the stream and a small stack machine builds dicts, lists, tuples, sets
and scalars. A global is a name looked up in a fixed table of our own functions; the file never gets
hold of a Python function, class or attribute.
"""

from __future__ import annotations

import contextlib
import mmap
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

VALUES = frozenset((
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
))  # fmt: skip
"""Opcodes whose decoded argument is the value."""

CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
REPORT = "nothing in it was run; if you trust where it comes from, report that name"
TENSORFLOW = (
    "TensorFlow pickles are not supported yet: convert it with NVIDIA's PyTorch tools first"
)


class Refused(ValueError):
    """Something that no official snapshot holds: the message says what was found, `advice` what
    the user can do about it."""

    def __init__(
        self, found: str, advice: str = "nothing in it was run; get the file anew"
    ) -> None:
        super().__init__(found)
        self.advice = advice


class UnknownGlobal(Refused):
    """The stream names a function or class outside the table."""

    def __init__(self, name: str) -> None:
        advice = TENSORFLOW if name.startswith("dnnlib.tflib.") else REPORT
        super().__init__(f"it refers to {name!r}, which no official snapshot uses", advice)


@dataclass(frozen=True, slots=True)
class Global:
    """A name in the stream that the table knows; nothing more than the name."""

    name: str


@dataclass(slots=True)
class Built:
    """A record that takes a state by the BUILD opcode; whoever uses it judges both."""

    name: str
    state: Any = None


class Machine:
    """Runs one pickle after another from a stream, against one table of known globals.

    A table value that is callable may be applied by REDUCE. `persistent` receives persistent ids;
    without it they are refused. `run` raises Refused for what is not allowed, and ValueError,
    TypeError, LookupError, MemoryError and the like for streams that are no whole pickle.
    """

    def __init__(
        self,
        stream: BinaryIO,
        table: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.stream = stream
        self.table = table
        self.persistent = persistent

    def run(self) -> Any:
        """Return the value of the next pickle; the stream then stands behind its STOP."""
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        for opcode, argument, _ in pickletools.genops(self.stream):
            self._step(opcode.name, argument)
        if len(self.stack) != 1 or self.marks:
            raise Refused("its pickle leaves an untidy stack")
        return self.stack.pop()

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name]())
        elif name in TUPLES:
            stack[-TUPLES[name] :] = [tuple(stack[-TUPLES[name] :])]
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"):
            self._fill(name)
        elif name == "GLOBAL":
            stack.append(self._global(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            item = stack.pop()
            stack.append(self._global(stack.pop(), item))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(self._call(stack.pop(), arguments, new=name == "NEWOBJ"))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name == "BINPERSID" and self.persistent is not None:
            stack.append(self.persistent(stack.pop()))
        elif name not in ("PROTO", "FRAME", "STOP"):
            about = f" ({argument})" if name == "INST" else ""
            raise Refused(
                f"it uses the pickle opcode {name}{about}, which no official snapshot has"
            )

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _fill(self, name: str) -> None:
        count = {"APPEND": 1, "SETITEM": 2}.get(name)
        if count:
            self.marks.append(len(self.stack) - count)
        items = self._since_mark()
        target = self.stack[-1]
        if name.startswith("APPEND") and type(target) is list:
            target.extend(items)
        elif name == "ADDITEMS" and type(target) is set:
            target.update(_plain_keys(items))
        elif name.startswith("SETITEM") and type(target) is dict:
            target.update(zip(_plain_keys(items[::2]), items[1::2], strict=True))
        else:
            raise Refused(f"its opcode {name} is aimed at a {type(target).__name__}")

    def _global(self, module: Any, item: Any) -> Global:
        if type(module) is not str or type(item) is not str:
            raise Refused("a global in it is not named by text")
        name = f"{module}.{item}"
        if name not in self.table or "." in item:
            raise UnknownGlobal(name)
        return Global(name)

    def _call(self, function: Any, arguments: Any, new: bool) -> Any:
        if type(function) is not Global or type(arguments) is not tuple:
            raise Refused("it calls something that is not a function")
        apply = self.table[function.name]
        if not callable(apply) or (new and apply is not empty_dict):
            raise Refused(f"it uses {function.name!r} in a way that official snapshots do not")
        return apply(*arguments)

    def _build(self, target: Any, state: Any) -> None:
        if type(target) is Built:
            target.state = state
        elif type(target) is not dict or state:  # an EasyDict may bring an empty __dict__
            kind = target.name if type(target) is Global else type(target).__name__
            raise Refused(f"it tries to change {kind!r} by the pickle opcode BUILD")


def _plain_keys(keys: list[Any]) -> list[Any]:
    # Text and integers only: hashing nested tuples can take for ever.
    if any(type(key) not in (str, int) for key in keys):
        raise Refused("a dict or set in it has keys that are neither text nor integers")
    return keys


def empty_dict() -> dict[str, Any]:
    """Stand in for OrderedDict and for dict subclasses; the one thing NEWOBJ may make."""
    return {}


def new_set(items: Any) -> set[Any]:
    """Stand in for `set`, which older protocols call by name."""
    if type(items) is not list:
        raise Refused("a set in it is not made from a list")
    return set(_plain_keys(items))


def mentions(path: Path, word: bytes) -> bool:
    """Whether a word stands anywhere in a file: to tell what was refused."""
    with path.open("rb") as stream, contextlib.suppress(ValueError):  # an empty file has no map
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ).find(word) >= 0
    return False
