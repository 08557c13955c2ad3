"""Every environment variable of the project, and the error for a name that does not exist.

A misspelt setting would otherwise be ignored in silence. Both code locations share the prefix, so the
variables of the other one are known here by name.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from inspect import isclass
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import wavcaps_assets.sources
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.settings import SourceSettings

ROOT = Path(__file__).parents[1]
DOTENV = ".env"
PREFIX = "WAVCAPS_"
JOINT = "__"
# The module of imported sources, of which there may be several.
IMPORTED = "imported"
# Kubernetes gives every container the address of each service, by the service's name, such as `wavcaps`:
# https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
KUBERNETES = re.compile(r"\w+_SERVICE_(HOST|PORT)(_\w+)?|\w+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://\S+")


class UnknownVariable(ValueError):
    """The environment has a variable with the project's prefix that is not a setting."""


@dataclass(frozen=True)
class Variable:
    """One setting.

    Attributes:
        name: of the environment variable.
        description: for people.
        open: whether names may follow, as for the entries of a mapping.
    """

    name: str
    description: str
    open: bool = False


# Those of the executor and of training, which import this package; `tests/test_environment.py` compares them.
OF_TRAINING = (
    Variable(
        "WAVCAPS_GPUS_PER_TRAINING", "CUDA devices of each training: a whole number, or a share such as 0.5"
    ),
    Variable("WAVCAPS_GPU_STEP_RETRIES", "how often a step on a GPU is retried when its process dies"),
    Variable("WAVCAPS_ON_MISSING_CUDA", "without a GPU: `fail`, or `cpu`: train on the CPU"),
    Variable("WAVCAPS_GPU_ENGINE", "where steps on a GPU run: `local`, `ray` or `kubernetes`"),
    Variable("WAVCAPS_GPU_CLUSTER_GROWS", "whether Ray's cluster adds machines: `yes` or `no`"),
    Variable("WAVCAPS_CUDA_DEVICES", "the CUDA devices that steps may use; unset: all that are found"),
    Variable(
        "WAVCAPS_METRIC_FILES",
        "folder of the files that SPICE and FENSE need and no package has (docs/caption-scores.md); empty: "
        "these scores read `not measured`",
    ),
    Variable(
        "WAVCAPS_RELEASED_CHECKPOINTS",
        "folder of the checkpoints that the paper's authors released (docs/scores.md); empty: none",
    ),
    Variable("WAVCAPS_DEVICE", "set by the executor for its steps: `cpu` or `cuda`"),
    Variable("WAVCAPS_LOCKS", "set by the executor for its steps: the locks of their devices"),
)


def variables() -> list[Variable]:
    """All variables: those of the data, of each source, and of training."""
    return [*_of_model(Settings, PREFIX), *of_sources(), *OF_TRAINING]


def read_dotenv(folder: Path = ROOT) -> dict[str, str]:
    """The variables of the file `.env` in the project's folder; empty: there is no such file.

    Dagster's own commands read the one in the folder where they are started, and its values win over
    exported ones. The web server and the daemon of `wavcaps ui` are started in the project's folder.
    """
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(folder / DOTENV).items() if value is not None}


def require_known_variables(environment: Mapping[str, str] = os.environ) -> None:
    """Refuses names with the prefix that no setting has, nested ones too.

    Raises:
        UnknownVariable: names each, with the nearest name that exists.
    """
    known = {variable.name: variable for variable in variables()}
    parents = {name.rpartition(JOINT)[0] for name in known if JOINT in name}
    unknown = []
    for name, value in sorted(environment.items()):
        # pydantic-settings reads names in any case.
        upper = name.upper()
        if not upper.startswith(PREFIX) or _is_kubernetes(upper, value):
            continue
        for one in _names_in(upper, value, parents):
            if not any(
                one == setting.name or (setting.open and one.startswith(setting.name + JOINT))
                for setting in known.values()
            ):
                unknown.append(one)
    if unknown:
        raise UnknownVariable(" ".join(_advice(name, list(known)) for name in unknown))


def _advice(name: str, known: list[str]) -> str:
    near = get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], n=1)
    meant = f"did you mean {PREFIX}{near[0]}?" if near else "docs/settings.md has all of them."
    return f"There is no setting {name}: {meant}"


def _names_in(name: str, value: str, parents: set[str]) -> Iterator[str]:
    """The variable, or the settings inside it where its value is a JSON object of several."""
    if name not in parents:
        yield name
        return
    try:
        inside = json.loads(value)
    except ValueError:
        # Its own error says what is wrong with the value.
        return
    for key, deeper in inside.items() if isinstance(inside, dict) else ():
        yield from _names_in(f"{name}{JOINT}{key.upper()}", json.dumps(deeper), parents)


def of_sources() -> Iterator[Variable]:
    for name in (*wavcaps_assets.sources.MODULES, IMPORTED):
        module = import_module(f"{wavcaps_assets.sources.__name__}.{name}")
        for found in vars(module).values():
            if isclass(found) and issubclass(found, SourceSettings) and hasattr(found, "key"):
                yield from _of_model(found, f"{PREFIX}{found.key.upper()}{JOINT}")


def _of_model(model: type[BaseModel], prefix: str) -> Iterator[Variable]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isclass(inner) and issubclass(inner, BaseModel):
            yield from _of_model(inner, f"{prefix}{name.upper()}{JOINT}")
        else:
            yield Variable(f"{prefix}{name.upper()}", field.description or "", _is_mapping(field))


def _is_mapping(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", None) is dict


def _is_kubernetes(name: str, value: str) -> bool:
    by_value = name.endswith("_PORT") and KUBERNETES_PORT.fullmatch(value)
    return bool(KUBERNETES.fullmatch(name) or by_value)


def as_markdown() -> str:
    """A table of all settings, for docs/settings.md."""
    rows = [f"| `{setting.name}` | {setting.description.replace('|', '/')} |" for setting in variables()]
    return "\n".join(["| variable | what it sets |", "| --- | --- |", *rows])


if __name__ == "__main__":
    page = Path(sys.argv[1])
    before, _, rest = page.read_text(encoding="utf-8").partition("| variable |")
    after = rest.partition("\n\n")[2]
    page.write_text(f"{before}{as_markdown()}\n" + (f"\n{after}" if after else ""), encoding="utf-8")
