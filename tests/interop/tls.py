"""Clients over TLS. `tls.py certificate FOLDER` makes a certificate for loopback; `tls.py ask JSON` asks each door for two
rows: trusting the certificate, not trusting it, and in plaintext. Prints one JSON object with what came of it.

`tls.py renew JSON` has a connection open at each door while the certificate is renewed: it puts one there that the key does not
belong to, says so and waits for a line, then puts both there, and waits until handshakes show them.
"""

import datetime
import http.client
import ipaddress
import json
import pathlib
import socket
import ssl
import struct
import sys
import tempfile
import time


def certificate(folder):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pathlib.Path(folder, "node.pem").write_bytes(made.public_bytes(encoding))
    pathlib.Path(folder, "node.key").write_bytes(private)


def over_http(asked, trusted, address=None):
    import requests

    url = f"{address or asked['http']}/data/v1/{asked['product']}/rows?limit=2"
    headers = {"Authorization": f"Bearer {asked['key']}"}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, headers=headers, timeout=20, verify=asked["certificate"] if trusted else True)
        answer.raise_for_status()
        return len(answer.json()["rows"])


def endpoint(asked):
    """Where the profile of Delta Sharing sends a client with its key."""
    import requests

    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {asked['file_key']}"}
        answer = session.get(f"{asked['http']}/delta-sharing/profile", headers=headers, timeout=20, verify=asked["certificate"])
        answer.raise_for_status()
        return answer.json()["endpoint"]


def over_flight(asked, trusted, address=None):
    import adbc_driver_flightsql.dbapi as adbc
    from adbc_driver_flightsql import DatabaseOptions

    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {asked['key']}"}
    if trusted:
        options[DatabaseOptions.TLS_ROOT_CERTS.value] = pathlib.Path(asked["certificate"]).read_text()
    with adbc.connect(address or asked["flight"], db_kwargs=options, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {asked['product']} LIMIT 2")
            return len(cursor.fetchall())


def over_postgres(asked, trusted):
    import psycopg

    where = asked["postgres"].removeprefix("postgres://")
    root = asked["certificate"] if trusted else "/dev/null"
    address = f"postgres://{asked['order']}:{asked['key']}@{where}?sslmode=verify-full&sslrootcert={root}"
    with psycopg.connect(address, autocommit=True, connect_timeout=20) as connection:
        if not connection.pgconn.ssl_in_use:
            raise AssertionError("the connection is not encrypted")
        return len(connection.execute(f"SELECT * FROM {asked['product']} LIMIT 2").fetchall())


def presented(address, door):
    """The certificate that a handshake shows, in DER."""
    host, port = address.split("://")[1].split("/")[0].split(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=20) as plain:
        if door == "postgres":
            # SSLRequest of PostgreSQL's protocol; S means that TLS begins.
            plain.sendall(struct.pack("!ii", 8, 80877103))
            if plain.recv(1) != b"S":
                raise AssertionError("the listener speaks no TLS")
        with context.wrap_socket(plain, server_hostname=host) as encrypted:
            return encrypted.getpeercert(binary_form=True)


class Held:
    """A connection at each door that stays open, with what asks over it."""

    def __init__(self, asked):
        import adbc_driver_flightsql.dbapi as adbc
        import psycopg
        from adbc_driver_flightsql import DatabaseOptions

        self.asked = asked
        # What is trusted is what the file holds now: a connection that is made anew by itself would fail.
        trusted = pathlib.Path(asked["certificate"]).read_text()
        where = asked["http"].removeprefix("https://")
        self.http = http.client.HTTPSConnection(where, timeout=20, context=ssl.create_default_context(cadata=trusted))
        options = {
            DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {asked['key']}",
            DatabaseOptions.TLS_ROOT_CERTS.value: trusted,
        }
        self.flight = adbc.connect(asked["flight"], db_kwargs=options, autocommit=True)
        where = asked["postgres"].removeprefix("postgres://")
        address = f"postgres://{asked['order']}:{asked['key']}@{where}?sslmode=verify-full"
        self.postgres = psycopg.connect(f"{address}&sslrootcert={asked['certificate']}", autocommit=True)

    def ask(self):
        path = f"/data/v1/{self.asked['product']}/rows?limit=2"
        self.http.request("GET", path, headers={"Authorization": f"Bearer {self.asked['key']}"})
        over_http = len(json.load(self.http.getresponse())["rows"])
        sql = f"SELECT * FROM {self.asked['product']} LIMIT 2"
        with self.flight.cursor() as cursor:
            cursor.execute(sql)
            over_flight = len(cursor.fetchall())
        over_postgres = len(self.postgres.execute(sql).fetchall())
        return {"http": over_http, "flight": over_flight, "postgres": over_postgres}


def renew(asked):
    folder = pathlib.Path(asked["certificate"]).parent
    addresses = {door: asked[door] for door in ("http", "flight", "postgres")}

    def shown():
        return {door: presented(address, door) for door, address in addresses.items()}

    held = Held(asked)
    held.ask()
    before = shown()
    with tempfile.TemporaryDirectory() as other:
        certificate(other)
        made = {name: pathlib.Path(other, name).read_bytes() for name in ("node.pem", "node.key")}
    (folder / "node.pem").write_bytes(made["node.pem"])
    print("wrong", flush=True)
    sys.stdin.readline()
    unchanged = shown() == before
    (folder / "node.key").write_bytes(made["node.key"])
    wanted = ssl.PEM_cert_to_DER_cert(made["node.pem"].decode())
    until = time.monotonic() + 60
    while any(der != wanted for der in shown().values()) and time.monotonic() < until:
        time.sleep(0.2)
    return {
        "unchanged": unchanged,
        "renewed": {door: der == wanted and der != before[door] for door, der in shown().items()},
        "open": held.ask(),
        "new": {name: ask(asked, True) for name, ask in doors.items()},
    }


def refused(ask, *arguments):
    try:
        ask(*arguments)
    except Exception:
        return "refused"
    return "answered"


doors = {"http": over_http, "flight": over_flight, "postgres": over_postgres}
if sys.argv[1] == "certificate":
    certificate(sys.argv[2])
elif sys.argv[1] == "renew":
    print(json.dumps(renew(json.loads(sys.argv[2]))))
else:
    asked = json.loads(sys.argv[2])
    plain = {
        "http": refused(over_http, asked, True, asked["http"].replace("https://", "http://")),
        "flight": refused(over_flight, asked, False, asked["flight"].replace("grpc+tls://", "grpc://")),
    }
    print(
        json.dumps(
            {
                "rows": {name: ask(asked, True) for name, ask in doors.items()},
                "untrusting": {name: refused(ask, asked, False) for name, ask in doors.items()},
                "plaintext": plain,
                "endpoint": endpoint(asked),
            }
        )
    )
