"""Which assets have another version after an edit of the code, for edits of a copy of the packages.

`python -m tests.support.edited_code`, in a folder with a copy of the packages. Reads edits from standard
input, as JSON: a file, a text in it, and what replaces it. Prints for each the keys of the assets, as JSON.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from types import FunctionType

import dagster as dg

import wavcaps_assets
from wavcaps_assets.definitions import build as data
from wavcaps_assets.defs.code_versions import code_version
from wavcaps_assets.settings import Settings
from wavcaps_assets.versions.code import Code
from wavcaps_training.definitions import build as training


def main() -> None:
    settings = Settings()
    assets = [asset for build in (data, training) for asset in build(settings).assets or ()]
    functions = dict(pair for asset in assets for pair in _function(asset))
    gc.disable()
    root = Path(wavcaps_assets.__file__).parents[1]
    assert root == Path.cwd() and not (root / ".git").exists(), "the code that is edited must be a copy"
    before, found = _versions(functions), []
    for file, old, new in json.load(sys.stdin):
        path = root / file
        original = path.read_text()
        assert old in original, f"{file} does not have {old!r}"
        path.write_text(original.replace(old, new))
        after = _versions(functions)
        found.append(sorted(key for key, version in after.items() if version != before[key]))
        path.write_text(original)
    print(json.dumps(found))  # noqa: T201


def _function(asset: object) -> list[tuple[str, FunctionType]]:
    if not isinstance(asset, dg.AssetsDefinition) or not asset.is_executable:
        return []
    function = getattr(asset.op.compute_fn, "decorated_fn", None)
    if not isinstance(function, FunctionType):
        return []
    return [(key.to_user_string(), function) for key in asset.keys]


def _versions(functions: dict[str, FunctionType]) -> dict[str, str]:
    read = Code()
    return {key: code_version(function, read) for key, function in functions.items()}


if __name__ == "__main__":
    main()
