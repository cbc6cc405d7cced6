"""Starts what Lingqu's lookups are compared with, each over the same rows and without any governance.

    serve.py FILE OUT      FILE is the governed Parquet export

Prints one JSON object of addresses by name, `{"fastapi_duckdb": "127.0.0.1:…", …}`; a peer that can't be started on this
machine has its reason instead, under `"skipped"`. Ends everything when its standard input ends.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from glob import glob
from pathlib import Path

import duckdb

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
WORKERS = os.cpu_count() or 2
START_SECONDS_MAX = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"it did not listen within {START_SECONDS_MAX} s")


class Peers:
    def __init__(self, file: Path, out: Path):
        self.file, self.out = file, out
        self.running: list[subprocess.Popen] = []
        self.cluster: tuple[list[str], Path] | None = None

    def start(self, command: list[str], port: int, log: str, **environment: str) -> str:
        with open(self.out / log, "wb") as to:
            process = subprocess.Popen(
                command, stdout=to, stderr=to, stdin=subprocess.DEVNULL, env={**os.environ, **environment}, cwd=HERE
            )
        self.running.append(process)
        wait_for(port, process)
        return f"127.0.0.1:{port}"

    def uvicorn(self, module: str, **environment: str) -> str:
        port = free_port()
        command = [str(BIN / "uvicorn"), f"{module}:app", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(WORKERS), "--no-access-log"]
        return self.start(command, port, f"{module}.log", **environment)

    def fastapi_duckdb(self) -> str:
        database = self.out / "flights.duckdb"
        database.unlink(missing_ok=True)
        with duckdb.connect(str(database)) as connection:
            connection.execute(f"CREATE TABLE flights AS SELECT * FROM read_parquet('{self.file}')")
            connection.execute("CREATE INDEX by_key ON flights (time_hour, carrier, flight)")
        return self.uvicorn("fastapi_duckdb", BENCH_DUCKDB=str(database))

    def fastapi_postgres(self) -> str:
        import psycopg

        found = sorted(glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
        if not found and not shutil.which("initdb"):
            raise RuntimeError("PostgreSQL's initdb is not installed")
        bin_directory = Path(found[-1]) if found else Path(shutil.which("initdb") or "").parent
        # The server refuses to run as root.
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        user = "postgres" if as_user else pwd.getpwuid(os.geteuid()).pw_name
        home = Path(subprocess.check_output([*as_user, "mktemp", "-d", "/tmp/lingqu-bench-XXXXXX"], text=True).strip())
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
        initdb = [str(bin_directory / "initdb"), "-D", str(home / "data"), "-U", user, "--auth=trust", "-E", "UTF8"]
        subprocess.run([*as_user, *initdb], **quiet)
        port = free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {home}"
        pg_ctl = [*as_user, str(bin_directory / "pg_ctl"), "-D", str(home / "data")]
        self.cluster = (pg_ctl, home)
        subprocess.run([*pg_ctl, "-o", options, "-l", str(home / "log"), "-w", "start"], **quiet)
        url = f"postgresql://{user}@127.0.0.1:{port}/postgres"
        with duckdb.connect() as source, psycopg.connect(url, autocommit=True) as target:
            relation = source.execute(f"SELECT * FROM read_parquet('{self.file}')")
            kinds = {"BIGINT": "bigint", "VARCHAR": "text", "DOUBLE": "double precision"}
            names = [column[0] for column in relation.description]
            types = [kinds.get(str(column[1]), "timestamp") for column in relation.description]
            columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(names, types))
            target.execute(f"CREATE TABLE flights ({columns})")
            with target.cursor().copy("COPY flights FROM STDIN") as copy:
                while rows := relation.fetchmany(50_000):
                    for row in rows:
                        copy.write_row(row)
            target.execute("CREATE INDEX ON flights (time_hour, carrier, flight)")
            target.execute("ANALYZE flights")
        return self.uvicorn("fastapi_postgres", BENCH_POSTGRES=url)

    def roapi(self) -> str:
        port = free_port()
        command = [str(BIN / "roapi"), "--addr-http", f"127.0.0.1:{port}", "--addr-postgres", f"127.0.0.1:{free_port()}"]
        command += ["--table", f"flights={self.file}"]
        return self.start(command, port, "roapi.log")

    def stop(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
        if self.cluster:
            pg_ctl, home = self.cluster
            subprocess.run([*pg_ctl, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    peers = Peers(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
    addresses: dict[str, object] = {}
    skipped = {}
    try:
        for name in ("roapi", "fastapi_duckdb", "fastapi_postgres"):
            try:
                addresses[name] = getattr(peers, name)()
            except Exception as error:  # a peer that is missing here must not hide the others' figures
                skipped[name] = f"{type(error).__name__}: {error}"
        print(json.dumps({**addresses, "skipped": skipped}), flush=True)
        sys.stdin.read()
    finally:
        peers.stop()


if __name__ == "__main__":
    main()
