"""The definitions of a Python file, and what each of them uses, from its syntax tree.

A definition is a function, a class or a constant at the top of a file. Its fingerprint does not change with
comments, docstrings, formatting, log lines and descriptions, or when it moves to another file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

# Arguments that only explain, by the function's name: their keyword or their position.
EXPLAINED: Mapping[str, str | int] = {"Field": "description", "Column": 2, "TableSchema": 1}
LOGGERS = frozenset({"logger", "log"})
# A module, or a class in one, as a string: what a package loads by name.
NAMED = re.compile(r"(\w+(?:\.\w+)+)(?::(\w+))?")


@dataclass(frozen=True)
class Uses:
    """What the code of a definition refers to.

    Attributes:
        fingerprint: hash of the code.
        names: names that it reads as they are.
        attributes: names and the attributes that it reads of them, such as `rule_counts.as_markdown`.
        imports: what it imports itself, by name: a module, and the name in it or None.
        loaded: packages of which it loads modules by name.
        named: modules that it names in strings, and a name in each, or None.
        files: files and folders of data, by the package they are in.
    """

    fingerprint: bytes
    names: frozenset[str]
    attributes: frozenset[tuple[str, ...]]
    imports: Mapping[str, tuple[str, str | None]]
    loaded: frozenset[str]
    named: frozenset[tuple[str, str | None]]
    files: frozenset[tuple[str, str]]


@dataclass
class SourceFile:
    """A Python file.

    Args:
        module: its name.
        path: where it is.
    """

    module: str
    path: Path
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    _nodes: dict[str, list[ast.stmt]] = field(default_factory=dict)
    _uses: dict[str, Uses] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for statement in ast.parse(self.path.read_bytes(), str(self.path)).body:
            inner = statement.body if isinstance(statement, ast.If) else [statement]
            for one in inner:
                if isinstance(one, ast.Import | ast.ImportFrom):
                    self.imports.update(_imported(one))
                for name in _defined(one):
                    self._nodes.setdefault(name, []).append(one)

    @property
    def package(self) -> str:
        return self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]

    @property
    def names(self) -> list[str]:
        """The names of its definitions."""
        return list(self._nodes)

    def uses(self, name: str) -> Uses:
        """What a definition uses."""
        if name not in self._uses:
            self._uses[name] = _read(self._nodes[name], self)
        return self._uses[name]

    def uses_of_function(self, qualified: str) -> Uses:
        """What a function uses that may be inside another one, without its decorators.

        Args:
            qualified: its `__qualname__`.
        """
        outer, *inner = [part for part in qualified.split(".") if part != "<locals>"]
        node: ast.AST = self._nodes[outer][-1]
        for name in inner:
            node = next(
                one
                for one in ast.walk(node)
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == name
            )
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        reader = _Reader(self)
        for part in (node.args, *node.body):
            reader.read(part)
        return reader.uses()

    @cached_property
    def strings(self) -> dict[str, str]:
        """The constants that are one string, by name."""
        found = {}
        for name, nodes in self._nodes.items():
            value = nodes[-1].value if isinstance(nodes[-1], ast.Assign | ast.AnnAssign) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[name] = value.value
        return found

    @cached_property
    def all_strings(self) -> frozenset[str]:
        """Every string in its definitions."""
        nodes = (node for nodes in self._nodes.values() for one in nodes for node in ast.walk(one))
        return frozenset(
            node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, str | None]]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, (node.module or "", alias.name)
        elif alias.asname:
            yield alias.asname, (alias.name, None)
        else:
            top = alias.name.partition(".")[0]
            yield top, (top, None)


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (one.id for one in ast.walk(target) if isinstance(one, ast.Name))


def _read(nodes: list[ast.stmt], file: SourceFile) -> Uses:
    reader = _Reader(file)
    for node in nodes:
        reader.read(node)
    return reader.uses()


class _Reader:
    """Goes through syntax trees, once."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._pieces: list[str] = []
        self._names: set[str] = set()
        self._attributes: set[tuple[str, ...]] = set()
        self._imports: dict[str, tuple[str, str | None]] = {}
        self._loaded: set[str] = set()
        self._named: set[tuple[str, str | None]] = set()
        self._files: set[tuple[str, str]] = set()

    def uses(self) -> Uses:
        return Uses(
            sha256("\n".join(self._pieces).encode("utf-8", "surrogatepass")).digest(),
            frozenset(self._names),
            frozenset(self._attributes),
            self._imports,
            frozenset(self._loaded),
            frozenset(self._named),
            frozenset(self._files),
        )

    def read(self, node: ast.AST) -> None:
        """Adds a tree. A name that only an attribute is read of is not one that is read as it is."""
        kind = type(node)
        if kind is ast.Expr and _says_only(node):
            return
        if kind is ast.Import or kind is ast.ImportFrom:
            self._imports.update(_imported(node))  # type: ignore[arg-type]
            return
        if isinstance(node, ast.Name):
            self._names.add(node.id)
        elif isinstance(node, ast.Attribute) and (chain := _chain(node)):
            self._attributes.add(chain)
            self._pieces.append(".".join(chain))
            return
        elif isinstance(node, ast.Attribute):
            # Of a value without a name, such as the result of a call.
            self._attributes.add(("", node.attr))
        elif isinstance(node, ast.Constant):
            self._pieces.append(repr(node.value))
            self._read_string(node.value)
            return
        elif isinstance(node, ast.Call):
            self._read_call(node)
            node = _without_explanation(node)
        elif isinstance(node, ast.BinOp):
            self._read_path(node)
        self._pieces.append(kind.__name__)
        for name in node._fields:
            self._read_field(name, getattr(node, name, None))
        self._pieces.append(")")

    def _read_field(self, name: str, value: object) -> None:
        # Fields that are empty differ between versions of Python.
        if value is None or value == [] or name in ("ctx", "type_comment"):
            return
        self._pieces.append(name)
        if isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    self.read(item)
                else:
                    self._pieces.append(repr(item))
        elif isinstance(value, ast.AST):
            self.read(value)
        else:
            self._pieces.append(repr(value))

    def _read_string(self, value: object) -> None:
        if isinstance(value, str) and (named := NAMED.fullmatch(value)):
            self._named.add((named[1], named[2]))

    def _read_call(self, node: ast.Call) -> None:
        called = _chain(node.func) if isinstance(node.func, ast.Attribute) else ()
        name = called[-1] if called else node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "import_module" and node.args and isinstance(node.args[0], ast.JoinedStr):
            start = node.args[0].values[0]
            # `f"{__name__}.{module}"` or `f"package.{module}"`.
            own = isinstance(start, ast.FormattedValue)
            text = start.value if isinstance(start, ast.Constant) else ""
            self._loaded.add(self._file.module if own else str(text).rstrip("."))
        elif name == "PackageLoader":
            package, folder = (self._text(argument) or "" for argument in node.args[:2])
            self._files.add((package, folder))
        elif name in ("files", "joinpath"):
            self._read_path(node)

    def _read_path(self, node: ast.expr) -> None:
        if (path := self._path(node)) is not None:
            longer = (known for known in self._files if known[0] == path[0])
            # The outer expression comes first, and is the longest.
            if not any(f"{known[1]}/".startswith(f"{path[1]}/") or not path[1] for known in longer):
                self._files.add(path)

    def _path(self, node: ast.expr) -> tuple[str, str] | None:
        """A path in a package: `resources.files(package) / "folder" / "file"`, as far as it is constant."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr == "files":
                package = self._text(node.args[0])
                return (package, "") if package else None
            if node.func.attr == "joinpath":
                return self._joined(node.func.value, node.args[0])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return self._joined(node.left, node.right)
        return None

    def _joined(self, folder: ast.expr, name: ast.expr) -> tuple[str, str] | None:
        base = self._path(folder)
        text = self._text(name)
        if base is None or text is None:
            return base
        return base[0], f"{base[1]}/{text}".lstrip("/")

    def _text(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self._file.package if node.id == "__package__" else self._file.strings.get(node.id)
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _says_only(node: ast.AST) -> bool:
    """Whether a statement is a docstring or a log line."""
    value = getattr(node, "value", None)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        chain = _chain(value.func)
        return len(chain) > 1 and chain[-2] in LOGGERS
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _chain(node: ast.AST) -> tuple[str, ...]:
    """The names in `a.b.c`; none if it starts with something else than a name."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _without_explanation(node: ast.Call) -> ast.Call:
    explained = EXPLAINED.get(node.func.id) if isinstance(node.func, ast.Name) else None
    if explained is None:
        return node
    kept = [one for place, one in enumerate(node.args) if place != explained]
    named = [one for one in node.keywords if one.arg != explained]
    return ast.Call(func=node.func, args=kept, keywords=named)
