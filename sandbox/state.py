"""The sandbox's state folder: paths, ports, secrets and the `env` file.

Everything that has to stay the same from one `up` to the next is kept here: a port is picked once and a
secret is made once. Files with secrets have mode 0600.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

# Ports come from below the range that Linux gives to outgoing connections (32768 and up by default).
_FIRST_PORT, _PORT_COUNT = 20_000, 12_000
# sun_path holds 108 bytes with its NUL; the longest socket name here is PostgreSQL's ".s.PGSQL.5432.lock".
_LONGEST_SOCKET_FOLDER = 80


class SandboxInUse(Exception):
    """Another `python -m sandbox` works on the same state folder."""


@dataclass(frozen=True)
class State:
    """One sandbox's state folder."""

    root: Path

    @classmethod
    def from_environment(cls) -> State:
        """The folder named by INTERLOCK_SANDBOX, by default `.sandbox` in the checkout."""
        return cls(Path(os.environ.get("INTERLOCK_SANDBOX") or CHECKOUT / ".sandbox").absolute())

    @property
    def key(self) -> str:
        """A short name for this folder, the same at every start."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:12]

    @property
    def log(self) -> Path:
        """The folder with one log file for each program."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """The folder with generated configuration."""
        return self.root / "run"

    @property
    def bin(self) -> Path:
        """The folder that `env` puts first on PATH."""
        return self.root / "bin"

    @property
    def env_file(self) -> Path:
        """The file that a shell sources."""
        return self.root / "env"

    @property
    def sockets(self) -> Path:
        """The folder for unix sockets: in the state folder, or under /tmp if that path is too long."""
        inside = self.run / "sockets"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_FOLDER:
            return inside
        return Path(tempfile.gettempdir()) / f"interlock-{os.getuid()}-{self.key}"

    @property
    def _lock_file(self) -> Path:
        return Path(tempfile.gettempdir()) / f"interlock-{os.getuid()}-{self.key}.lock"

    def data(self, name: str) -> Path:
        """The data folder of the part `name`; not created."""
        return self.root / "data" / name

    def create(self) -> None:
        """Create the folders."""
        for folder in (self.root, self.log, self.run, self.bin, self.root / "data", self.sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.sockets.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.sockets} belongs to another user; remove it")

    def remove(self) -> None:
        """Delete the folders with all they hold; call with the lock held."""
        self._lock_file.unlink(missing_ok=True)
        shutil.rmtree(self.sockets, ignore_errors=True)
        if self.root.exists():
            shutil.rmtree(self.root)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other sandbox commands off this folder; raises SandboxInUse."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one who held it may have removed it with all the rest.
            if not os.path.samestat(os.fstat(descriptor), os.stat(self._lock_file)):
                raise FileNotFoundError(self._lock_file)
        except (BlockingIOError, FileNotFoundError) as error:
            raise SandboxInUse(f"another command works on {self.root}; wait for it to end") from error
        else:
            yield
        finally:
            os.close(descriptor)

    def write(self, path: Path, text: str, mode: int = 0o600) -> None:
        """Write `text` to `path` in one step."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), mode)
        Path(name).replace(path)

    def write_json(self, path: Path, value: object) -> None:
        """Write `value` as JSON to `path` in one step, for the owner's eyes only."""
        self.write(path, json.dumps(value, indent=2, sort_keys=True) + "\n")

    # Ports

    def port(self, name: str) -> int:
        """The port named `name`, picked at the first call."""
        ports = _read_names(self.root / "ports.json")
        if name not in ports:
            self._pick([name])
            ports = _read_names(self.root / "ports.json")
        return int(str(ports[name]))

    def url(self, name: str) -> str:
        """The plain HTTP address of the port named `name`."""
        return f"http://{HOST}:{self.port(name)}"

    def claim_ports(self, names: Iterable[str]) -> None:
        """Make sure that the ports of a part that does not run are free; others are picked if not."""
        ports = _read_names(self.root / "ports.json")
        self._pick([name for name in names if name not in ports or not _is_free(int(str(ports[name])))])

    def _pick(self, names: list[str]) -> None:
        if not names:
            return
        ports = _read_names(self.root / "ports.json")
        taken = {int(str(port)) for name, port in ports.items() if name not in names}
        # Sandboxes begin at different places, so that two of them seldom meet.
        start = int(self.key, 16) % _PORT_COUNT
        candidates = (_FIRST_PORT + (start + step) % _PORT_COUNT for step in range(_PORT_COUNT))
        free = (port for port in candidates if port not in taken and _is_free(port))
        for name in names:
            ports[name] = next(free)
        self.write_json(self.root / "ports.json", ports)

    # Secrets

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
        """The secret named `name`, made at the first call."""
        known = _read_names(self.root / "secrets.json")
        if name not in known:
            self.keep_secret(name, make())
            known = _read_names(self.root / "secrets.json")
        return str(known[name])

    def keep_secret(self, name: str, value: str) -> None:
        """Keep a secret that a part made."""
        path = self.root / "secrets.json"
        self.write_json(path, {**_read_names(path), name: value})

    def known_secret(self, name: str) -> str | None:
        """The secret named `name`, if there is one."""
        value = _read_names(self.root / "secrets.json").get(name)
        return None if value is None else str(value)

    # The env file

    def write_env(self, variables: Mapping[str, str]) -> None:
        """Write the file that a shell sources."""
        search_path = f"{self.bin}:{Path(sys.executable).parent}"
        lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
        lines.append(f'export PATH={shlex.quote(search_path)}:"$PATH"')
        self.write(self.env_file, "\n".join(lines) + "\n")


def random_base64(size: int) -> Callable[[], str]:
    """A maker of secrets: `size` random bytes in URL-safe base64."""
    return lambda: base64.urlsafe_b64encode(secrets.token_bytes(size)).decode()


def _read_names(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    value = json.loads(path.read_text())
    if not isinstance(value, dict):
        raise ValueError(f"{path} should hold a JSON object; run `python -m sandbox clean`")
    return value


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
