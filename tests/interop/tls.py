"""Clients over TLS. `tls.py certificate FOLDER` makes a certificate for loopback; `tls.py ask JSON` asks each door for two
rows: trusting the certificate, not trusting it, and in plaintext. Prints one JSON object with what came of it.
"""

import datetime
import ipaddress
import json
import pathlib
import sys


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


def refused(ask, *arguments):
    try:
        ask(*arguments)
    except Exception:
        return "refused"
    return "answered"


if sys.argv[1] == "certificate":
    certificate(sys.argv[2])
else:
    asked = json.loads(sys.argv[2])
    doors = {"http": over_http, "flight": over_flight, "postgres": over_postgres}
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
            }
        )
    )
