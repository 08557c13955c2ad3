"""Reads pickles without running anything that they name.

A pickle names functions and classes, and asks for them to be called. Here only those that build tensors and
dictionaries are; everything else becomes an `Inert` object, which keeps its name and nothing else. So a
checkpoint's weights can be read whatever lies next to them: an optimizer's state with NumPy scalars, a
`Namespace`, a `Path`, the callbacks of a trainer.

`torch.load` takes this module as its `pickle_module`.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar

import torch
from torch._utils import _rebuild_parameter, _rebuild_tensor, _rebuild_tensor_v2

# What tensors and state dicts are made by. None of them runs code of the file.
BUILDERS: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch", "Size"): torch.Size,
}


class Inert:
    """Stands for an object that was not made. It accepts whatever a pickle does to it, and ignores it.

    Attributes:
        name: of the class or function that the pickle names.
    """

    name = ""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> Inert:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass

    def add(self, value: object) -> None:
        pass


def inert_class(name: str) -> type[Inert]:
    """A class whose instances stand for what a name would have made."""
    return type("Inert", (Inert,), {"name": name})


class Unpickler(pickle._Unpickler):
    """The unpickler of Python's library, which makes `BUILDERS`' objects and plain data only."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        return BUILDERS.get((module, name)) or inert_class(f"{module}.{name}")

    def load(self) -> Any:
        try:
            return super().load()
        except KeyError as error:
            raise pickle.UnpicklingError(f"{error} is not an instruction of a pickle") from error

    def load_build(self) -> None:
        # The state of an object, such as the metadata of a state dict. Setting it could call its methods.
        self.stack.pop()  # type: ignore[attr-defined]

    def load_binpersid(self) -> None:
        self._persist(self.stack.pop())  # type: ignore[attr-defined]

    def load_persid(self) -> None:
        raise pickle.UnpicklingError("a persistent id as text, which torch.save does not write")

    def _persist(self, saved_id: Any) -> None:
        if not (isinstance(saved_id, tuple) and saved_id and saved_id[0] in ("storage", b"storage")):
            # torch would look up the source code of a module's class.
            raise pickle.UnpicklingError("a persistent id that is not a tensor's storage")
        self.append(self.persistent_load(saved_id))  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BINPERSID[0]] = load_binpersid
    dispatch[pickle.PERSID[0]] = load_persid


def load(file: BinaryIO, **options: Any) -> Any:
    """Reads one pickle, as `pickle.load` does."""
    return Unpickler(file, **options).load()
