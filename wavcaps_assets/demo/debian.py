"""Debian packages as a source of data: fetched by name, unpacked, never installed."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)
APT_TIMEOUT_S = 300
APT_OPTIONS = ("-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20")


class PackageError(RuntimeError):
    """A package is not available on this machine."""


def fetch_package(name: str, folder: Path) -> Path:
    """The package's `.deb` file, downloaded into the folder unless it is there already.

    Raises:
        PackageError: apt is not on this machine, or could not download the package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = sorted(folder.glob(f"{name}_*.deb"))
    if kept:
        return kept[-1]
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise PackageError(f"this machine has no {tool}, which fetches the package {name!r}")
    log.info("fetching the package %s", name)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as work:
        try:
            _run("apt-get", *APT_OPTIONS, "download", name, cwd=work)
        except PackageError:
            # The lists of packages may be missing or stale. Only root can update them.
            if os.geteuid() != 0:
                raise
            _run("apt-get", *APT_OPTIONS, "update", cwd=work)
            _run("apt-get", *APT_OPTIONS, "download", name, cwd=work)
        fetched = next(Path(work).glob("*.deb"), None)
        if fetched is None:
            raise PackageError(f"apt-get downloaded nothing for the package {name!r}")
        return fetched.replace(folder / fetched.name)


def unpack_package(package: Path, folder: Path) -> None:
    """Unpacks a `.deb` file's contents into the folder.

    Raises:
        PackageError: the file is not a package.
    """
    _run("dpkg-deb", "-x", str(package), str(folder), cwd=str(folder))


def _run(*command: str, cwd: str) -> None:
    try:
        subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            check=True,
            capture_output=True,
            text=True,
            timeout=APT_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise PackageError(f"{' '.join(command)}: no response in {APT_TIMEOUT_S} s") from error
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        lines = [line for line in said.splitlines() if line and not line.startswith("W:")]
        raise PackageError(f"{' '.join(command)} failed: {lines[-1] if lines else error}") from error
