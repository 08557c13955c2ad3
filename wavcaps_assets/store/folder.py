"""A store in a folder of this machine."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from wavcaps_assets.store.errors import MissingFile, StoreError
from wavcaps_assets.store.stored_file import StoredFile


class Folder:
    """Files under a folder. Hidden files are still being written."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def describe(self, relative: str) -> str:
        return str(self.root / relative)

    def exists(self, relative: str) -> bool:
        # From Python 3.14 on, Path.is_file() is False for what cannot be read, too.
        with self._store_errors("read", relative), suppress(FileNotFoundError, NotADirectoryError):
            return S_ISREG((self.root / relative).stat().st_mode)
        return False

    def size(self, relative: str) -> int:
        with self.reading(relative) as path, self._store_errors("read", relative):
            return path.stat().st_size

    def names(self, folder: str) -> list[str]:
        with self._store_errors("read", folder):
            return [entry.name for entry in _files(self.root / folder)]

    def sizes(self, folder: str) -> dict[str, int]:
        with self._store_errors("read", folder):
            return _sizes(self.root / folder)

    def files(self, folder: str) -> Iterator[StoredFile]:
        with self._store_errors("read", folder):
            # A folder may be a link to another disk.
            for inside, folders, _ in os.walk(self.root / folder, followlinks=True):
                folders[:] = [name for name in folders if not self._is_loop(Path(inside), name)]
                for entry, status in _entries(Path(inside)):
                    relative = Path(entry.path).relative_to(self.root).as_posix()
                    yield StoredFile(relative, status.st_size, status.st_mtime)

    def _is_loop(self, inside: Path, name: str) -> bool:
        """Whether a folder is a link to one that has it, or that has the store."""
        path = inside / name
        if not path.is_symlink():
            return False
        target = path.resolve()
        above = (inside, *(parent for parent in inside.parents if parent.is_relative_to(self.root)))
        return self.root.is_relative_to(target) or any(target == parent.resolve() for parent in above)

    @contextmanager
    def reading(self, relative: str) -> Iterator[Path]:
        if not self.exists(relative):
            raise MissingFile(f"no file {relative!r} in {self.root}")
        yield self.root / relative

    @contextmanager
    def writing(self, relative: str) -> Iterator[Path]:
        target = self.root / relative
        with self._store_errors("write", relative):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=f".part{target.suffix}")
            os.close(handle)
        temporary = Path(name)
        try:
            with self._store_errors("write", relative):
                yield temporary
                temporary.chmod(0o644)
                # Without it, a power cut can leave the new name on an empty file.
                with temporary.open("rb") as written:
                    os.fsync(written.fileno())
                temporary.replace(target)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()

    def read_bytes(self, relative: str) -> bytes:
        with self.reading(relative) as path, self._store_errors("read", relative):
            return path.read_bytes()

    def read_span(self, relative: str, start: int, size: int) -> bytes:
        with self.reading(relative) as path, self._store_errors("read", relative), path.open("rb") as file:
            # `read` allocates all the bytes it is asked for, so ask for no more than the file has.
            available = os.fstat(file.fileno()).st_size - start
            file.seek(start)
            return file.read(max(min(size, available), 0))

    def write_bytes(self, relative: str, data: bytes) -> None:
        with self.writing(relative) as path:
            path.write_bytes(data)

    def create(self, relative: str, data: bytes) -> bool:
        target = self.root / relative
        with self._store_errors("write", relative):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                Path(temporary).unlink()
        return True

    def hidden(self, folder: str, start: str) -> dict[str, float]:
        found = {}
        with self._store_errors("read", folder):
            for path in (self.root / folder).glob(f"{glob.escape(start)}*"):
                with suppress(FileNotFoundError):
                    found[path.name] = path.stat().st_mtime
        return found

    def remove(self, relative: str) -> None:
        path = self.root / relative
        with self._store_errors("remove", relative):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def remove_files(self, relatives: Sequence[str]) -> None:
        for relative in relatives:
            self.remove(relative)

    def sweep(self, folder: str) -> None:
        with self._store_errors("remove", folder):
            for path in (self.root / folder).glob(".*.part*"):
                path.unlink(missing_ok=True)

    @contextmanager
    def _store_errors(self, action: str, relative: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            advice = {
                "read": "give the user who runs this the right to read it",
                "write": "free some space or point WAVCAPS_STORE elsewhere",
                "remove": "give the user who runs this the right to write there",
            }[action]
            raise StoreError(f"cannot {action} {relative!r} under {self.root}: {error}; {advice}") from error


def _sizes(folder: Path) -> dict[str, int]:
    return {entry.name: status.st_size for entry, status in _entries(folder)}


def _entries(folder: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """The files directly in a folder, without hidden ones, and what the system says about them."""
    for entry in _files(folder):
        # Another process may have removed it since the listing.
        with suppress(FileNotFoundError):
            yield entry, entry.stat()


def _files(folder: Path) -> list[os.DirEntry[str]]:
    """The files directly in a folder, without hidden ones. No file is opened or measured."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [entry for entry in entries if entry.name[0] != "." and entry.is_file()]
