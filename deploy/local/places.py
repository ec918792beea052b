"""Where things lie: downloads in a cache, data and logs in a folder per run, both reachable for the servers' account."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

from deploy.local.apt import MissingTool
from deploy.local.child import Account

REPOSITORY = Path(__file__).resolve().parents[2]
_ACCOUNT = "pilotline"


def server_account() -> Account | None:
    """The account of Kafka and PostgreSQL: None (ourselves) unless we are root, whom PostgreSQL refuses.

    As root a system account `pilotline` is made when it lacks. Raises MissingTool where it cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        _make_account()
        entry = pwd.getpwnam(_ACCOUNT)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make_account() -> None:
    add = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if add is None:
        raise MissingTool(
            "useradd",
            f"PostgreSQL does not run as root: make a system account named {_ACCOUNT}, or run as another user",
        )
    made = subprocess.run(
        [
            add,
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            _ACCOUNT,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode not in (0, 9):  # 9: another process made it at the same moment
        raise MissingTool("account", f"useradd {_ACCOUNT}: {made.stderr.strip()}")


def traversable(path: Path) -> bool:
    """Whether any account may pass through `path` and the folders above it, as far as they exist."""
    path = path.absolute()
    return all(not folder.exists() or folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def cache_dir() -> Path:
    """PILOTLINE_CACHE, else the user's cache folder; for root whose home is closed to the servers' account, /var/cache."""
    chosen = os.environ.get("PILOTLINE_CACHE")
    if chosen:
        return Path(chosen).absolute()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pilotline"
    if os.geteuid() == 0 and not traversable(home.parent):
        return Path("/var/cache/pilotline")
    return home


def run_dir(name: str) -> Path:
    """The folder of a run: build/run/NAME in the repository, else (closed to the servers' account) one in /var/tmp."""
    inside = REPOSITORY / "build" / "run" / name
    if os.geteuid() != 0 or traversable(inside):
        return inside
    mark = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:8]
    return Path("/var/tmp") / f"pilotline-{mark}" / name


def own(path: Path, account: Account | None) -> Path:
    """Make the folder, for the account alone."""
    path.mkdir(parents=True, exist_ok=True)
    if account:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700)
    return path
