"""A private PostgreSQL for tests: a new cluster in a temporary folder, with a socket there and no network."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_OPTIONS = (
    "-c listen_addresses='' -c fsync=off -c shared_buffers=16MB -c max_connections=30 -c autovacuum=off -c max_wal_senders=0 "
    "-c wal_level=minimal -c dynamic_shared_memory_type=mmap"
)
"""A kill of the server's client loses nothing that is committed, also without fsync."""


@dataclass(frozen=True)
class Postgres:
    """A running cluster."""

    folder: Path
    programs: Path
    user: str | None

    def url(self, database: str) -> str:
        return f"postgresql://tester@/{database}?host={self.folder}"

    def new_database(self, name: str) -> str:
        """Create an empty database, and return its URL."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, *command: str) -> None:
        """Run a program of PostgreSQL, which refuses to run as root."""
        subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            user=self.user, group=None if self.user is None else pwd.getpwnam(self.user).pw_gid,
            cwd=self.folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    def start(self) -> None:
        self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", f"{_OPTIONS} -k {self.folder}", "start")

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", "data", "-m", mode, "-w", "stop")


def _programs() -> Path | None:
    found = [Path(p).resolve().parent for p in (shutil.which("initdb"), shutil.which("postgres")) if p]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in found if (p / "initdb").exists() and (p / "pg_ctl").exists()), None)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a cluster; skip the test where PostgreSQL, psycopg or a user to run it as is missing."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'autobird[postgres]'")
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    user = None
    if os.getuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = next((name for name in ("postgres", "nobody") if name in names), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
    folder = Path(tempfile.mkdtemp(prefix="autobird-pg-"))  # a socket's path has at most 107 characters
    cluster = Postgres(folder, programs, user)
    try:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        cluster.run("initdb", "-D", "data", "-U", "tester", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
