//! Random statements over the table `people` of the tests, in the manner of SQLancer: typed expressions of every function
//! that is allowed, in every shape of statement that is. A statement's answer depends on its rows alone, never on their
//! order: where there is a LIMIT, the order is total.
//!
//! Many are made so that something in them fails where a rule of the optimiser moves it: conditions upon conditions, upon joins of
//! every kind, upon groups, windows, unions and limits, guards by CASE, AND, OR and COALESCE, aggregates that leave rows out.

/// What an expression comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Decimal,
    Float,
    Text,
    Date,
    Boolean,
}

const KINDS: [Kind; 6] = [Kind::Integer, Kind::Decimal, Kind::Float, Kind::Text, Kind::Date, Kind::Boolean];

const COLUMNS: &[(&str, Kind)] = &[
    ("id", Kind::Integer),
    ("code", Kind::Text),
    ("divisor", Kind::Integer),
    ("salary", Kind::Integer),
    ("division", Kind::Text),
    ("born", Kind::Date),
    ("balance", Kind::Decimal),
    ("score", Kind::Float),
    ("active", Kind::Boolean),
];

/// Decimals that are written plainly, as nothing else of a statement is. An engine that takes them for floats must be given others.
pub const PLAIN_DECIMALS: [&str; 5] = ["150.50", "707.07", "33.335", "-0.005", "4000000000000.5"];

/// In the place of a prefix: a column of either side of a join.
const EITHER: &str = "?";

/// A source of statements; the same seed gives the same ones.
pub struct Statements {
    state: u64,
}

impl Statements {
    pub fn new(seed: u64) -> Statements {
        Statements { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    /// Xorshift; good enough to choose by.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).expect("31 bits") % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// The next statement.
    pub fn statement(&mut self) -> String {
        match self.below(16) {
            0 | 1 => self.plain(),
            2 | 3 => self.grouped(),
            4 => self.joined(),
            5 => self.united(),
            6 => self.windowed(),
            7 => self.filtered_by_subquery(),
            8 => self.nested(),
            9 => self.with_clause(),
            10 => self.joined_on(),
            11 => self.joined_by_where(),
            12 => self.filtered_by_pairs(),
            13 | 14 => self.filtered_above(),
            _ => self.aggregated_in_part(),
        }
    }

    fn plain(&mut self) -> String {
        let distinct = if self.one_in(4) { "DISTINCT " } else { "" };
        let list = self.list("");
        let condition = self.condition("");
        // The order is made total by the key, so that a limit always leaves the same rows.
        let limit = if distinct.is_empty() && self.one_in(3) {
            let kind = self.pick(&KINDS);
            let (first, rows, skipped) = (self.expression(kind, 1, ""), self.below(50), self.below(20));
            let direction = self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
            format!(" ORDER BY {first}{direction}, id LIMIT {rows} OFFSET {skipped}")
        } else {
            String::new()
        };
        format!("SELECT {distinct}{list} FROM people{condition}{limit}")
    }

    fn grouped(&mut self) -> String {
        let kind = self.pick(&[Kind::Text, Kind::Date, Kind::Boolean, Kind::Integer]);
        let group = self.expression(kind, 1, "");
        let (first, second) = (self.aggregate(), self.aggregate());
        let condition = self.condition("");
        let having = if self.one_in(3) { format!(" HAVING count(*) > {}", self.below(40)) } else { String::new() };
        if self.one_in(4) {
            return format!("SELECT {first} AS a, {second} AS b FROM people{condition}");
        }
        format!("SELECT {group} AS g, {first} AS a, {second} AS b FROM people{condition} GROUP BY {group}{having}")
    }

    fn joined(&mut self) -> String {
        // A join whose one side is known when the statement runs, so that the other is read by what was learnt of it.
        if self.one_in(3) {
            let key =
                self.pick(&["max(id)", "min(id) + 1", "max(salary)", "min(divisor)", "max(id) - 500", "count(*)"]);
            let on = self.pick(&["q.id", "q.salary", "q.divisor", "q.id + 1", "q.salary - 2999"]);
            let (few, condition) = (self.condition(""), self.condition("q."));
            return format!(
                "SELECT count(*) AS a, min(q.code) AS b, max(q.balance) AS c FROM (SELECT {key} AS k FROM people{few}) f JOIN people q ON {on} = f.k{condition}"
            );
        }
        let join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let on = self.pick(&["p.id = q.id", "p.id = q.divisor", "p.division = q.code", "p.salary = q.id"]);
        let (left, right) = (self.expression(Kind::Integer, 1, "p."), self.expression(Kind::Text, 1, "q."));
        let condition = if self.one_in(2) { self.condition("p.") } else { String::new() };
        format!("SELECT {left} AS a, {right} AS b FROM people p {join} people q ON {on}{condition}")
    }

    fn united(&mut self) -> String {
        let kind = self.pick(&KINDS);
        let (first, second) = (self.expression(kind, 2, ""), self.expression(kind, 2, ""));
        let (where_first, where_second) = (self.condition(""), self.condition(""));
        let set = self.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
        format!("SELECT {first} AS a FROM people{where_first} {set} SELECT {second} AS a FROM people{where_second}")
    }

    fn windowed(&mut self) -> String {
        let call = match self.below(5) {
            0 => "row_number()".to_owned(),
            1 => "rank()".to_owned(),
            2 => format!("sum({})", self.expression(Kind::Integer, 1, "")),
            3 => format!("lag({}, 2)", self.expression(Kind::Text, 1, "")),
            _ => format!("max({})", self.expression(Kind::Date, 1, "")),
        };
        let kind = self.pick(&[Kind::Text, Kind::Boolean]);
        let partition = self.expression(kind, 1, "");
        let condition = self.condition("");
        format!("SELECT id, {call} OVER (PARTITION BY {partition} ORDER BY id) AS w FROM people{condition}")
    }

    fn filtered_by_subquery(&mut self) -> String {
        let inner = self.condition("");
        let list = self.list("p.");
        let member = self.expression(Kind::Integer, 1, "");
        match self.below(3) {
            0 => format!("SELECT {list} FROM people p WHERE p.id IN (SELECT {member} FROM people{inner})"),
            1 => format!("SELECT {list} FROM people p WHERE p.salary > (SELECT avg({member}) FROM people{inner})"),
            _ => {
                let condition = self.expression(Kind::Boolean, 1, "q.");
                let not = self.pick(&["", "NOT "]);
                format!(
                    "SELECT {list} FROM people p WHERE {not}EXISTS (SELECT 1 FROM people q WHERE q.divisor = p.id AND {condition})"
                )
            }
        }
    }

    fn nested(&mut self) -> String {
        let inner = self.condition("");
        let outer = self.condition("p.");
        let list = self.list("p.");
        let from = self.pick(&["SELECT *", "SELECT DISTINCT *"]);
        format!("SELECT {list} FROM ({from} FROM people{inner}) p{outer}")
    }

    /// A join whose condition is more than keys, or whose key is computed.
    fn joined_on(&mut self) -> String {
        let join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let key = match self.below(6) {
            0 => "p.id = q.id".to_owned(),
            1 => "p.division = q.code".to_owned(),
            2 => "p.salary = q.id".to_owned(),
            3 => format!("{} = q.id", self.expression(Kind::Integer, 2, "p.")),
            4 => format!("p.divisor = {}", self.expression(Kind::Integer, 2, "q.")),
            _ => "p.id < q.divisor".to_owned(),
        };
        let on = self.expression(Kind::Boolean, 2, EITHER);
        let (few, condition) = (self.few(), if self.one_in(2) { self.condition(EITHER) } else { String::new() });
        let (left, right) = (self.expression(Kind::Integer, 1, "p."), self.expression(Kind::Text, 1, "q."));
        let both = self.pick(&["{key} AND {on}", "{on} AND {key}", "#key"]);
        let on = both.replace("#key", &key).replace("#on", &on);
        format!("SELECT {left} AS a, {right} AS b FROM {few} p {join} people q ON {on}{condition}")
    }

    fn joined_by_where(&mut self) -> String {
        let key = self.pick(&["p.id = q.id", "p.id = q.divisor + 20", "p.division = q.code", "p.salary < q.id"]);
        let (first, second) = (self.expression(Kind::Boolean, 2, EITHER), self.expression(Kind::Boolean, 2, "q."));
        let (few, both) = (self.few(), self.expression(Kind::Text, 1, EITHER));
        let conditions = self.pick(&["#key AND #first", "#first AND #key AND #second", "#second AND #key"]);
        let conditions = conditions.replace("#key", key).replace("#first", &first).replace("#second", &second);
        format!("SELECT p.id AS a, {both} AS b FROM {few} p, people q WHERE {conditions}")
    }

    /// A few people, or all.
    fn few(&mut self) -> String {
        let condition = self.condition("");
        match self.below(4) {
            0 => "people".to_owned(),
            1 => format!("(SELECT * FROM people{condition})"),
            2 => format!("(SELECT * FROM people WHERE id < {})", self.below(60)),
            _ => format!("(SELECT * FROM people ORDER BY id LIMIT {})", self.below(60)),
        }
    }

    /// Rows by whether others are there that go with them.
    fn filtered_by_pairs(&mut self) -> String {
        let (list, not) = (self.list("p."), self.pick(&["", "NOT "]));
        let (own, other) = (self.expression(Kind::Boolean, 1, "p."), self.expression(Kind::Boolean, 1, "q."));
        let member = self.expression(Kind::Integer, 2, "p.");
        match self.below(3) {
            0 => {
                let pair = self.expression(Kind::Boolean, 1, EITHER);
                format!(
                    "SELECT {list} FROM people p WHERE {own} AND {not}EXISTS (SELECT 1 FROM people q WHERE q.divisor = p.id AND {other} AND {pair})"
                )
            }
            1 => format!(
                "SELECT {list} FROM people p WHERE {own} AND {member} IN (SELECT q.id FROM people q WHERE {other})"
            ),
            _ => format!(
                "SELECT {list} FROM people p WHERE {own} AND p.id NOT IN (SELECT q.salary FROM people q WHERE {other} AND q.salary IS NOT NULL)"
            ),
        }
    }

    /// A condition above something else that has one.
    fn filtered_above(&mut self) -> String {
        let (inner, outer, list) = (self.condition(""), self.condition("p."), self.list("p."));
        match self.below(7) {
            0 => {
                let middle = self.condition("o.");
                format!("SELECT {list} FROM (SELECT * FROM (SELECT * FROM people{inner}) o{middle}) p{outer}")
            }
            1 => {
                let (rows, skipped) = (self.below(60), self.below(20));
                format!(
                    "SELECT {list} FROM (SELECT * FROM people{inner} ORDER BY id LIMIT {rows} OFFSET {skipped}) p{outer}"
                )
            }
            2 => {
                let rows = self.below(60);
                format!("SELECT {list} FROM (SELECT * FROM people ORDER BY divisor DESC, id LIMIT {rows}) p{outer}")
            }
            3 => {
                let (kind, group) = (Kind::Integer, self.expression(Kind::Integer, 2, ""));
                let (first, second) = (self.expression(kind, 1, ""), self.below(9));
                let condition =
                    self.pick(&["g <> 0 AND 7 / g > 0", "a > 0 AND 70 % a >= 0", "g > 3 OR 7 / (g - 9) < 1"]);
                format!(
                    "SELECT g, a FROM (SELECT {group} AS g, max({first}) AS a FROM people{inner} GROUP BY {group}) t WHERE {condition} AND g <> {second}"
                )
            }
            4 => {
                let condition =
                    self.pick(&["n = 1", "n > 1 AND 7 / (n - 1) > 0", "divisor <> 3 AND 7 / (divisor - 3) > 0"]);
                format!(
                    "SELECT id, n FROM (SELECT id, divisor, row_number() OVER (PARTITION BY divisor ORDER BY id) AS n FROM people{inner}) t WHERE {condition}"
                )
            }
            5 => {
                let (first, second) = (self.expression(Kind::Integer, 2, ""), self.expression(Kind::Integer, 2, ""));
                let condition = self.pick(&["n <> 0 AND 7 / n > 0", "n < 9", "n % 3 = 1 OR 7 / (n % 3 - 1) > 0"]);
                format!(
                    "SELECT n FROM (SELECT {first} AS n FROM people{inner} UNION ALL SELECT {second} FROM people) t WHERE {condition}"
                )
            }
            _ => {
                let computed = self.expression(Kind::Integer, 2, "");
                let condition = self.pick(&["n <> 0 AND 7 / n > 0", "n < 9", "divisor <> 3 AND n > 5"]);
                format!(
                    "SELECT id, n FROM (SELECT id, divisor, {computed} AS n FROM people{inner}) t WHERE {condition}"
                )
            }
        }
    }

    /// Aggregates of which each takes its own rows.
    fn aggregated_in_part(&mut self) -> String {
        let (argument, rows) = (self.expression(Kind::Integer, 2, ""), self.expression(Kind::Boolean, 2, ""));
        let (condition, group) = (self.condition(""), self.pick(&["", " GROUP BY divisor"]));
        format!(
            "SELECT sum({argument}) FILTER (WHERE {rows}) AS a, count({argument}) FILTER (WHERE {rows}) AS b FROM people{condition}{group}"
        )
    }

    fn with_clause(&mut self) -> String {
        let inner = self.condition("");
        let (first, second) = (self.aggregate(), self.expression(Kind::Text, 1, ""));
        format!("WITH p AS (SELECT * FROM people{inner}) SELECT {second} AS g, {first} AS a FROM p GROUP BY {second}")
    }

    fn list(&mut self, prefix: &str) -> String {
        let mut items = Vec::new();
        for position in 0..=self.below(3) {
            let kind = self.pick(&KINDS);
            items.push(format!("{} AS c{position}", self.expression(kind, 2, prefix)));
        }
        items.join(", ")
    }

    fn condition(&mut self, prefix: &str) -> String {
        if self.one_in(4) {
            return String::new();
        }
        format!(" WHERE {}", self.expression(Kind::Boolean, 3, prefix))
    }

    fn aggregate(&mut self) -> String {
        match self.below(7) {
            0 => "count(*)".to_owned(),
            1 => {
                let kind = self.pick(&KINDS);
                format!("count(DISTINCT {})", self.expression(kind, 1, ""))
            }
            2 => format!("sum({})", self.expression(Kind::Integer, 1, "")),
            3 => format!("avg({})", self.expression(Kind::Float, 1, "")),
            4 => {
                let kind = self.pick(&[Kind::Text, Kind::Date, Kind::Decimal, Kind::Integer]);
                let name = self.pick(&["min", "max"]);
                format!("{name}({})", self.expression(kind, 1, ""))
            }
            5 => format!("bool_or({})", self.expression(Kind::Boolean, 1, "")),
            _ => format!("sum({})", self.expression(Kind::Decimal, 1, "")),
        }
    }

    fn column(&mut self, kind: Kind, prefix: &str) -> String {
        let of_kind: Vec<&str> = COLUMNS.iter().filter(|(_, column)| *column == kind).map(|(name, _)| *name).collect();
        let prefix = if prefix == EITHER { self.pick(&["p.", "q."]) } else { prefix };
        format!("{prefix}{}", self.pick(&of_kind))
    }

    fn literal(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Integer => self.pick(&["0", "1", "2", "7", "100", "500", "3000", "-3"]).to_owned(),
            Kind::Decimal => self.pick(&["CAST(1.50 AS DECIMAL(12,2))", "CAST(500 AS DECIMAL(12,2))"]).to_owned(),
            Kind::Float => self.pick(&["0.5", "1e2", "-2.25"]).to_owned(),
            Kind::Text => self.pick(&["'450100'", "'S00500-secret'", "''", "'7'", "'%'"]).to_owned(),
            Kind::Date => self.pick(&["DATE '1980-01-01'", "DATE '1999-12-31'"]).to_owned(),
            Kind::Boolean => self.pick(&["true", "false", "NULL"]).to_owned(),
        }
    }

    fn expression(&mut self, kind: Kind, depth: usize, prefix: &str) -> String {
        if depth == 0 || self.one_in(4) {
            return if self.one_in(3) { self.literal(kind) } else { self.column(kind, prefix) };
        }
        let below = depth - 1;
        if self.one_in(8) {
            let condition = self.expression(Kind::Boolean, below, prefix);
            let (yes, no) = (self.expression(kind, below, prefix), self.expression(kind, below, prefix));
            return format!("CASE WHEN {condition} THEN {yes} ELSE {no} END");
        }
        if self.one_in(10) && kind != Kind::Boolean {
            let name = self.pick(&["coalesce", "nullif", "greatest", "least"]);
            let (first, second) = (self.expression(kind, below, prefix), self.expression(kind, below, prefix));
            return format!("{name}({first}, {second})");
        }
        match kind {
            Kind::Integer => self.integer(below, prefix),
            Kind::Decimal => {
                let (first, second) = (self.expression(kind, below, prefix), self.literal(kind));
                let sign = self.pick(&["+", "-"]);
                format!("CAST({first} {sign} {second} AS DECIMAL(12,2))")
            }
            Kind::Float => {
                let number = self.pick(&[Kind::Float, Kind::Integer]);
                let inner = self.expression(number, below, prefix);
                match self.below(4) {
                    0 => format!("sqrt(abs(CAST({inner} AS DOUBLE)))"),
                    1 => format!("(CAST({inner} AS DOUBLE) * 0.5)"),
                    2 => format!("round(CAST({inner} AS DOUBLE))"),
                    _ => format!("(CAST({inner} AS DOUBLE) / {})", self.expression(Kind::Float, below, prefix)),
                }
            }
            Kind::Text => {
                let inner = self.expression(Kind::Text, below, prefix);
                match self.below(6) {
                    0 => format!("upper({inner})"),
                    1 => format!("substr({inner}, 2, 3)"),
                    2 => format!("concat({inner}, {})", self.expression(Kind::Text, below, prefix)),
                    3 => format!("replace({inner}, '0', 'x')"),
                    4 => format!("CAST({} AS VARCHAR)", self.expression(Kind::Integer, below, prefix)),
                    _ => format!("left({inner}, 4)"),
                }
            }
            Kind::Date => format!("CAST(date_trunc('month', {}) AS DATE)", self.expression(kind, below, prefix)),
            Kind::Boolean => self.boolean(below, prefix),
        }
    }

    fn integer(&mut self, below: usize, prefix: &str) -> String {
        let inner = self.expression(Kind::Integer, below, prefix);
        match self.below(8) {
            0 => format!("({inner} + {})", self.expression(Kind::Integer, below, prefix)),
            1 => format!("({inner} - {})", self.expression(Kind::Integer, below, prefix)),
            2 => format!("({inner} / {})", self.expression(Kind::Integer, below, prefix)),
            3 => format!("({inner} % {})", self.expression(Kind::Integer, below, prefix)),
            4 => format!("CAST(character_length({}) AS BIGINT)", self.expression(Kind::Text, below, prefix)),
            5 => format!("CAST({} AS BIGINT)", self.expression(Kind::Text, below, prefix)),
            6 => {
                let (divisor, spared) = (self.column(Kind::Integer, prefix), 1 + self.below(7));
                format!("CASE WHEN {divisor} = {spared} THEN {inner} ELSE 70 / ({divisor} - {spared}) END")
            }
            _ => format!("abs({inner})"),
        }
    }

    /// A decimal beside numbers that are written plainly.
    fn beside_plain_decimals(&mut self, decimal: &str) -> String {
        let (first, second) = (self.pick(&PLAIN_DECIMALS), self.pick(&PLAIN_DECIMALS));
        let comparison = self.pick(&["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"]);
        match self.below(6) {
            0 => format!("{decimal} {comparison} {first}"),
            1 => format!("{first} {comparison} {decimal}"),
            2 => format!("{decimal} IN ({first}, {second})"),
            3 => format!("{decimal} NOT BETWEEN {first} AND {second}"),
            4 => format!("CASE {decimal} WHEN {first} THEN true WHEN {second} THEN false END"),
            _ => format!("(nullif({decimal}, {first}) IS NULL OR least({decimal}, {second}) = {second})"),
        }
    }

    fn boolean(&mut self, below: usize, prefix: &str) -> String {
        let kind = self.pick(&KINDS);
        let left = self.expression(kind, below, prefix);
        if kind == Kind::Decimal && self.one_in(2) {
            return self.beside_plain_decimals(&left);
        }
        match self.below(10) {
            0 => format!("{left} IS NULL"),
            1 => format!("{left} IS NOT NULL"),
            2 => format!("NOT ({})", self.expression(Kind::Boolean, below, prefix)),
            3 | 4 => {
                let join = self.pick(&["AND", "OR"]);
                let (first, second) =
                    (self.expression(Kind::Boolean, below, prefix), self.expression(Kind::Boolean, below, prefix));
                format!("({first} {join} {second})")
            }
            5 => {
                let (low, high) = (self.literal(Kind::Integer), self.literal(Kind::Integer));
                format!("{} BETWEEN {low} AND {high}", self.expression(Kind::Integer, below, prefix))
            }
            6 => {
                let pattern = self.pick(&["'45%'", "'%secret%'", "'_5%'", "'S0%'"]);
                format!("{} LIKE {pattern}", self.expression(Kind::Text, below, prefix))
            }
            7 => {
                let divisor = format!("{}divisor", if prefix == EITHER { self.pick(&["p.", "q."]) } else { prefix });
                let (spared, least) = (1 + self.below(7), self.below(4));
                let (is_spared, divided) =
                    (format!("{divisor} = {spared}"), format!("7 / ({divisor} - {spared}) > {least}"));
                match self.below(4) {
                    0 => format!("(NOT {is_spared} AND {divided})"),
                    1 => format!("({is_spared} OR {divided})"),
                    2 => format!("CASE WHEN {is_spared} THEN {left} IS NULL ELSE {divided} END"),
                    _ => format!("coalesce(CASE WHEN {is_spared} THEN true END, {divided})"),
                }
            }
            _ => {
                let comparison = self.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("{left} {comparison} {}", self.expression(kind, below, prefix))
            }
        }
    }
}
