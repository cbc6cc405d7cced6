"""Puts what tools ask when they look around to an order's catalogue and to a PostgreSQL that has the same table, and prints
where the two differ.

Arguments: a connection's address of each, the table's name, and the file with the questions. The questions were recorded over
other databases: the names and numbers that they ask for are those of the table here, on each side its own.
"""

import json
import sys

import psycopg

ours, theirs, table, questions = sys.argv[1:]

# Types that clients read alike: the catalogue's tables have no others for PostgreSQL's names, numbers of objects and the like.
ALIKE = {
    "text": "text name varchar bpchar char regtype regclass regproc regnamespace pg_node_tree aclitem unknown",
    "integer": "int2 int4 int8 oid xid cid",
    "text[]": "_text _name _char _varchar _aclitem",
    "integer[]": "_int2 _int4 _int8 _oid int2vector oidvector",
    "float": "float4 float8 numeric",
}
FAMILY = {name: family for family, names in ALIKE.items() for name in names.split()}


class Side:
    """One of the two."""

    def __init__(self, address):
        self.connection = psycopg.connect(address, autocommit=True)
        self.database = self.one("SELECT current_database()")
        self.table = self.one(f"SELECT oid FROM pg_catalog.pg_class WHERE relname = '{table}'")
        self.public = self.one("SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'public'")
        self.index = self.one(f"SELECT oid FROM pg_catalog.pg_class WHERE relname = '{table}_pkey'")
        self.constraint = self.one(f"SELECT oid FROM pg_catalog.pg_constraint WHERE conname = '{table}_pkey'")
        self.database_number = self.one("SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()")

    def one(self, sql):
        return self.connection.execute(sql).fetchone()[0]

    def adapted(self, sql):
        number = str(self.table)
        for recorded in ("'16384'", "'16417'"):
            sql = sql.replace(recorded, f"'{number}'")
        sql = sql.replace("'16390'", f"'{self.index}'")
        for recorded in ("indrelid=1\n", "conrelid=1\n"):
            sql = sql.replace(recorded, recorded.replace("=1", f"={number}"))
        for recorded in ("^(tt)$", "^(customer)$"):
            sql = sql.replace(recorded, f"^({table})$")
        sql = sql.replace("datname='postgres'", f"datname='{self.database}'")
        return sql.replace("relnamespace='public'", f"relnamespace='{self.public}'")

    def answer(self, sql):
        """Names, numbers of types, and rows as the protocol has them: texts."""
        try:
            result = self.connection.execute(self.adapted(sql).encode()).pgresult
        except psycopg.Error as error:
            return {"error": f"{error.sqlstate} {str(error).splitlines()[0]}"}
        names = [result.fname(at).decode() for at in range(result.nfields)]
        types = [result.ftype(at) for at in range(result.nfields)]
        rows = [
            [None if (cell := result.get_value(row, at)) is None else self.neutral(cell.decode()) for at in range(result.nfields)]
            for row in range(result.ntuples)
        ]
        return {"names": names, "types": types, "rows": rows}

    def neutral(self, cell):
        """A cell without the numbers and names that are another's on each side."""
        known = {
            str(self.table): "<table>",
            str(self.index): "<index>",
            str(self.constraint): "<constraint>",
            str(self.public): "<public>",
            self.database: "<database>",
            str(self.database_number): "<database's number>",
        }
        return known.get(cell, cell)


first, second = Side(ours), Side(theirs)
types = dict(second.connection.execute("SELECT oid::int8, typname FROM pg_catalog.pg_type").fetchall())


def family(number):
    name = types.get(number, str(number))
    return FAMILY.get(name, name)


def about_the_table(answer):
    """The rows that tell of the table: all of an answer that is one row at most."""
    rows = answer["rows"]
    return rows if len(rows) <= 1 else [row for row in rows if table in row or "<table>" in row]


def compared(mine, other):
    """How an answer differs from that of PostgreSQL; nothing where it does not."""
    if "error" in mine or "error" in other:
        return {} if "error" in mine and "error" in other else {"error": [mine.get("error"), other.get("error")]}
    found = {}
    if mine["names"] != other["names"]:
        missing = [name for name in other["names"] if name not in mine["names"]]
        more = [name for name in mine["names"] if name not in other["names"]]
        found["names"] = {"missing": missing, "more": more}
    # Columns that are as many are compared place by place, whatever they are called; else those of the same name.
    names = other["names"]
    if len(mine["names"]) == len(names):
        places = list(range(len(names)))
    else:
        places = [mine["names"].index(name) if name in mine["names"] else None for name in names]
    pairs = [(name, place, at) for at, (name, place) in enumerate(zip(names, places)) if place is not None]
    for name, place, at in pairs:
        here, there = mine["types"][place], other["types"][at]
        if family(here) != family(there):
            found.setdefault("types", {})[name] = [types.get(here, str(here)), types.get(there, str(there))]
    here, there = about_the_table(mine), about_the_table(other)
    if len(here) != len(there):
        found["rows"] = [len(here), len(there)]
        return found
    for mine_row, other_row in zip(here, there):
        for name, place, at in pairs:
            if mine_row[place] != other_row[at]:
                found.setdefault("cells", {})[name] = [mine_row[place], other_row[at]]
    return found


report = []
with open(questions, encoding="utf-8") as file:
    recorded = file.read().split("\n----")[1:]
for number, question in enumerate(recorded, 1):
    tool, sql = question.split("\n", 1)
    mine, other = first.answer(sql), second.answer(sql)
    report.append({"number": number, "tool": tool.strip(), "sql": sql, "differs": compared(mine, other)})
print(json.dumps({"version": second.connection.info.server_version // 10000, "report": report}, ensure_ascii=False))
