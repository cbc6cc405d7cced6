"""A client of Arrow Flight SQL: pip's ADBC driver, and pyarrow.flight for the calls that the JDBC driver makes.

Called as `flight.py CHECK ARGUMENTS`, where ARGUMENTS is a JSON object with the address and what else the check needs.
Prints one JSON object with what the client got; what it should have got is known to the test beside this file.
"""

import base64
import datetime
import ipaddress
import json
import sys

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow as pa
import pyarrow.flight as flight

PREFIX = "type.googleapis.com/arrow.flight.protocol.sql."


# Protobuf by hand: Flight SQL's commands are small, and pyarrow has no classes for them.
def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    if isinstance(value, bool):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def packed(name, body=b""):
    return field(1, PREFIX + name) + field(2, body)


def fields(message):
    """The length-delimited fields of a message, by number."""
    found, at = {}, 0

    def number():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = number()
        if key & 7 == 2:
            length = number()
            found[key >> 3] = message[at : at + length]
            at += length
        else:
            found[key >> 3] = number()
    return found


def connect(arguments, **more):
    if "user" in arguments:
        kwargs = {"username": arguments["user"], "password": arguments["key"]}
    else:
        kwargs = {"adbc.flight.sql.authorization_header": "Bearer " + arguments["key"]}
    if "root" in arguments:
        kwargs["adbc.flight.sql.client_option.tls_root_certs"] = arguments["root"]
    if "mode" in arguments:
        kwargs["adbc.flight.sql.rpc.call_header.delivery-mode"] = arguments["mode"]
    return adbc.connect(arguments["url"], db_kwargs=kwargs, autocommit=True, **more)


def plain(value):
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)


def rows(table):
    return [[plain(value) for value in row.values()] for row in table.to_pylist()]


def attempt(work):
    """What the work gives, or the error that the client shows."""
    try:
        return {"ok": work()}
    except (adbc_driver_manager.Error, flight.FlightError, pa.ArrowException, OSError) as error:
        return {"error": type(error).__name__, "text": str(error)}


def query(arguments):
    """Statements, each with its parameters: rows and schema, or the error."""
    results = []
    with connect(arguments) as connection:
        for statement in arguments["statements"]:
            sql, parameters = statement if isinstance(statement, list) else (statement, None)

            def work():
                with connection.cursor() as cursor:
                    values = parameters and [
                        datetime.date.fromisoformat(value["date"]) if isinstance(value, dict) else value
                        for value in parameters
                    ]
                    cursor.execute(sql, values)
                    table = cursor.fetch_arrow_table()
                    columns = [[column.name, str(column.type)] for column in table.schema]
                    return {"columns": columns, "rows": rows(table)}

            results.append(attempt(work))
    return results


def certificate(arguments):
    """A certificate for this machine that signs itself, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lingqu test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    der = serialization.Encoding.DER
    secret = key.private_bytes(der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "certificate": base64.b64encode(signed.public_bytes(der)).decode(),
        "key": base64.b64encode(secret).decode(),
        "pem": signed.public_bytes(serialization.Encoding.PEM).decode(),
    }


def catalogue(arguments):
    """What the driver says there is."""
    with connect(arguments) as connection:
        info = connection.adbc_get_info()
        objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        schema = connection.adbc_get_table_schema(arguments["table"])
        return {
            "info": {key: plain(value) for key, value in info.items()},
            "types": connection.adbc_get_table_types(),
            "objects": [
                {
                    "catalog": catalog["catalog_name"],
                    "schema": schema["db_schema_name"],
                    "table": table["table_name"],
                    "type": table["table_type"],
                    "columns": [column["column_name"] for column in table["table_columns"]],
                }
                for catalog in objects
                for schema in catalog["catalog_db_schemas"]
                for table in schema["db_schema_tables"]
            ],
            "columns": [[column.name, str(column.type)] for column in schema],
            # The driver (1.13) leaves them out of its objects, and hands them on with the fields.
            "remarks": [(column.metadata or {}).get(b"ARROW:FLIGHT:SQL:REMARKS", b"").decode() for column in schema],
        }


def prepared(arguments):
    """One statement, prepared once and executed with several values."""
    with connect(arguments) as connection, connection.cursor() as cursor:
        schema = cursor.adbc_prepare(arguments["sql"])
        results = []
        for parameters in arguments["values"]:
            cursor.execute(arguments["sql"], parameters)
            results.append(rows(cursor.fetch_arrow_table()))
        return {"parameters": [str(column.type) for column in schema], "rows": results}


def described(arguments):
    """The columns of a statement's answer, asked for without preparing it."""

    def work():
        with connect(arguments) as connection, connection.cursor() as cursor:
            cursor.adbc_statement.set_sql_query(arguments["sql"])
            schema = pa.schema(cursor.adbc_statement.execute_schema())
            return [[column.name, str(column.type)] for column in schema]

    return attempt(work)


def writing(arguments):
    """Whatever would change something."""
    with connect(arguments) as connection, connection.cursor() as cursor:
        table = pa.table({"trip_id": [1]})
        return {
            "update": attempt(lambda: cursor.execute("DELETE FROM " + arguments["table"])),
            "ingest": attempt(lambda: cursor.adbc_ingest("mine", table, mode="create")),
            "many": attempt(
                lambda: cursor.executemany("SELECT ? AS n FROM " + arguments["table"], [(1,), (2,)])
            ),
        }


def hang_up(arguments):
    """Takes the first batch of a large answer and goes."""
    with connect(arguments) as connection:
        cursor = connection.cursor()
        cursor.execute(arguments["sql"])
        reader = cursor.fetch_record_batch()
        first = reader.read_next_batch().num_rows
        cursor.adbc_cancel()
        rest = attempt(lambda: sum(batch.num_rows for batch in reader))
        return {"first": first, "rest": rest}


class Headers(flight.ClientMiddlewareFactory):
    """Keeps the headers that the server sends."""

    def __init__(self):
        self.seen = {}

    def start_call(self, info):
        factory = self

        class Middleware(flight.ClientMiddleware):
            def received_headers(self, headers):
                factory.seen.update({name.lower(): values for name, values in headers.items()})

        return Middleware()


def client(arguments):
    headers = Headers()
    opened = flight.FlightClient(arguments["url"].replace("grpc://", "grpc+tcp://"), middleware=[headers])
    pairs = [(b"authorization", b"Bearer " + arguments["key"].encode())]
    if "mode" in arguments:
        pairs.append((b"delivery-mode", arguments["mode"].encode()))
    return opened, flight.FlightCallOptions(headers=pairs, timeout=30), headers


def asked(opened, options, command):
    """The flight of a command and what its one ticket gives."""
    info = opened.get_flight_info(flight.FlightDescriptor.for_command(command), options)
    reader = opened.do_get(info.endpoints[0].ticket, options)
    table = reader.read_all()
    assert reader.schema.equals(info.schema, check_metadata=True), (reader.schema, info.schema)
    return table


def driver_calls(arguments):
    """The calls of the Flight SQL JDBC driver, one by one."""
    opened, options, _ = client(arguments)
    table = arguments["table"]
    commands = {
        "sql_info": packed("CommandGetSqlInfo"),
        "one_info": packed("CommandGetSqlInfo", field(1, varint(8))),
        "catalogs": packed("CommandGetCatalogs"),
        "schemas": packed("CommandGetDbSchemas", field(2, "d%")),
        "no_schemas": packed("CommandGetDbSchemas", field(1, "other")),
        "tables": packed("CommandGetTables", field(4, "TABLE") + field(5, False)),
        "tables_with_schema": packed("CommandGetTables", field(3, "trip%") + field(5, True)),
        "no_views": packed("CommandGetTables", field(4, "VIEW") + field(5, True)),
        "table_types": packed("CommandGetTableTypes"),
        "type_info": packed("CommandGetXdbcTypeInfo"),
        "one_type": packed("CommandGetXdbcTypeInfo", field(1, 91)),
        "primary_keys": packed("CommandGetPrimaryKeys", field(3, table)),
        "exported_keys": packed("CommandGetExportedKeys", field(3, table)),
        "imported_keys": packed("CommandGetImportedKeys", field(3, table)),
        "cross_reference": packed("CommandGetCrossReference", field(3, table) + field(6, table)),
    }
    result = {}
    for name, command in commands.items():
        answer = asked(opened, options, command)
        columns = [name for name in answer.schema.names if name not in ("table_schema", "value")]
        result[name] = {"rows": answer.num_rows, "first": rows(answer.select(columns))[:8]}
        if name == "tables_with_schema":
            schema = pa.ipc.read_schema(pa.py_buffer(answer["table_schema"][0].as_py()))
            result[name]["columns"] = schema.names
            field_metadata = schema.field(0).metadata
            result[name]["type_name"] = field_metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"].decode()
            result[name]["nature"] = schema.metadata[b"data_nature"].decode()
            result[name]["comment"] = schema.metadata[b"comment"].decode()
            told = (b"marked_columns", b"sampling_weight", b"decoys_per_million")
            result[name]["marks"] = {key.decode(): schema.metadata[key].decode() for key in told if key in schema.metadata}
            prefix = "ARROW:FLIGHT:SQL:"
            result[name]["metadata"] = {
                key.decode().removeprefix(prefix): value.decode() for key, value in field_metadata.items()
            }
    result["actions"] = sorted(action.type for action in opened.list_actions(options))
    action = lambda name, body=b"": [r.body.to_pybytes() for r in opened.do_action(flight.Action(name, body), options)]
    result["close_session"] = attempt(lambda: action("CloseSession")[0].hex())
    result["unknown_action"] = attempt(lambda: action("Unheard"))
    begin = packed("ActionBeginTransactionRequest")
    result["transaction"] = attempt(lambda: action("BeginTransaction", begin))
    result["in_transaction"] = attempt(
        lambda: asked(opened, options, packed("CommandStatementQuery", field(1, "SELECT 1") + field(2, b"t")))
    )
    plan = packed("CommandStatementSubstraitPlan", field(1, field(1, b"plan") + field(2, "0.5")))
    result["substrait"] = attempt(lambda: asked(opened, options, plan))
    prepare_plan = packed("ActionCreatePreparedSubstraitPlanRequest", field(1, field(1, b"plan")))
    result["prepared_substrait"] = attempt(lambda: action("CreatePreparedSubstraitPlan", prepare_plan))

    # Prepare, bind, ask, fetch, close.
    sql = f"SELECT trip_id, line FROM {table} WHERE trip_id = $1"
    created = fields(fields(action("CreatePreparedStatement", packed("ActionCreatePreparedStatementRequest", field(1, sql)))[0])[2])
    handle = created[1]
    result["prepared_columns"] = pa.ipc.read_schema(pa.py_buffer(created[2])).names
    result["prepared_parameters"] = [str(kind) for kind in pa.ipc.read_schema(pa.py_buffer(created[3])).types]
    command = packed("CommandPreparedStatementQuery", field(1, handle))
    result["unbound"] = attempt(lambda: asked(opened, options, command))

    def bind(values):
        batch = pa.record_batch([values], names=["$1"])
        writer, reader = opened.do_put(flight.FlightDescriptor.for_command(command), batch.schema, options)
        writer.write_batch(batch)
        writer.done_writing()
        answer = reader.read()
        # An error is told when the call is closed.
        writer.close()
        return fields(answer.to_pybytes())[1]

    result["two_rows"] = attempt(lambda: bind(pa.array([60, 61], pa.int64())))
    bind(pa.array([[60]], pa.list_(pa.int64())))
    result["nested_value"] = attempt(lambda: asked(opened, options, command))
    bound = bind(pa.array([60], pa.int64()))
    result["same_handle"] = bound == handle
    result["bound"] = rows(asked(opened, options, command))
    result["unasked"] = rows(opened.do_get(flight.Ticket(command), options).read_all())
    close = packed("ActionClosePreparedStatementRequest", field(1, handle))
    action("ClosePreparedStatement", close)
    result["closed"] = attempt(lambda: asked(opened, options, command))
    return result


def shake_hands(arguments):
    """A handshake by user and password, and what the token it gives is good for."""

    def work():
        opened, _, _ = client(arguments)
        token = opened.authenticate_basic_token(arguments["user"], arguments["key"])
        options = flight.FlightCallOptions(headers=[token], timeout=30)
        return asked(opened, options, packed("CommandGetCatalogs")).num_rows

    return [attempt(work) for _ in range(arguments.get("times", 1))]


def information(arguments):
    """A ticket, asked for and not redeemed."""
    opened, options, _ = client(arguments)
    command = packed("CommandStatementQuery", field(1, arguments["sql"]))
    info = attempt(lambda: opened.get_flight_info(flight.FlightDescriptor.for_command(command), options))
    if "error" in info:
        return info
    info = info["ok"]
    return {
        "ticket": base64.b64encode(info.endpoints[0].ticket.ticket).decode(),
        "info": base64.b64encode(info.serialize()).decode(),
        "columns": info.schema.names,
    }


def redeem(arguments):
    """A ticket, redeemed, perhaps with one byte of it changed."""
    opened, options, headers = client(arguments)
    ticket = bytearray(base64.b64decode(arguments["ticket"]))
    if "change" in arguments:
        ticket[arguments["change"]] ^= 1
    result = attempt(lambda: opened.do_get(flight.Ticket(bytes(ticket)), options).read_all().num_rows)
    result["headers"] = {
        name: headers.seen[name][0]
        for name in ("delivery-receipt", "data-nature", "receipt-rows", "problem-code")
        if name in headers.seen
    }
    return result


def cancel(arguments):
    """Cancels a flight by its ticket from beside, while its answer is being read."""
    opened, options, headers = client(arguments)
    command = packed("CommandStatementQuery", field(1, arguments["sql"]))
    info = opened.get_flight_info(flight.FlightDescriptor.for_command(command), options)
    reader = opened.do_get(info.endpoints[0].ticket, options)
    first = reader.read_chunk().data.num_rows
    beside, beside_options, _ = client({**arguments, "key": arguments.get("beside_key", arguments["key"])})
    body = field(1, info.serialize())
    cancelled = attempt(
        lambda: [r.body.to_pybytes().hex() for r in beside.do_action(flight.Action("CancelFlightInfo", body), beside_options)]
    )
    rest = attempt(lambda: sum(chunk.data.num_rows for chunk in reader))
    again = attempt(lambda: opened.do_get(info.endpoints[0].ticket, options).read_all().num_rows)
    return {
        "first": first,
        "cancelled": cancelled,
        "rest": rest,
        "again": again,
        "receipt": headers.seen["delivery-receipt"][0],
    }


if __name__ == "__main__":
    check, given = sys.argv[1], json.loads(sys.argv[2])
    print(json.dumps(globals()[check](given), ensure_ascii=False))
