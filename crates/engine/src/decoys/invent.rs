//! Makes decoys out of a table's rows.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{interleave, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use lingqu_fingerprint::{Block, FingerprintError, Originals, RowKeys};

use super::assembly;
use super::donors::{Circle, Donors};
use super::groups::Groups;
use super::keys::Twisted;
use super::lots::{Lot, Lots, number};
use super::written::key_order;

/// How many rows' keys are tried for a decoy, and how often each of them is changed.
const ATTEMPTS: usize = 4;
const TURNS: usize = 8;
/// After so many turns a key may be changed by more.
const TURNS_OF_A_REACH: usize = 2;

/// Makes at most `wanted` decoys of a table of so many rows, in the order of its key; their columns are the table's.
pub(super) fn invent(
    originals: &dyn Originals,
    schema: &SchemaRef,
    key: &[String],
    rows: u64,
    wanted: usize,
    secret: &[u8; 32],
) -> Result<RecordBatch, FingerprintError> {
    let nothing = || RecordBatch::new_empty(SchemaRef::clone(schema));
    if wanted == 0 {
        return Ok(nothing());
    }
    let lots = Lots::of(secret);
    let type_of = |column: &str| schema.column_with_name(column).map(|(_, field)| field.data_type().clone());
    let asked = asked(originals, schema, key, rows, wanted, &lots, Twisted::of(key, &type_of))?;
    let Some((drawn, tries)) = asked else { return Ok(nothing()) };
    let mut taken = Taken::of(&tries);
    originals.visit(&mut |batch: &RecordBatch| taken.meet(&lots, key, batch))?;
    let chosen = chosen(wanted, &tries, taken);
    if chosen.is_empty() {
        return Ok(nothing());
    }
    assembled(&drawn, schema, &tries, &chosen).and_then(|made| sorted(&made, key))
}

/// What is drawn for so many decoys out of a table's rows, and all keys that are tried for them; none where it has no row. What is
/// known of the part of a key that can be changed may be of more rows than these.
pub(super) fn asked(
    originals: &dyn Originals,
    schema: &SchemaRef,
    key: &[String],
    rows: u64,
    wanted: usize,
    lots: &Lots,
    mut twisted: Option<Twisted>,
) -> Result<Option<(Drawn, Vec<Try>)>, FingerprintError> {
    let drawing = Drawing { wanted, groups: Groups::of(originals, schema, key, rows)? };
    let mut circle = Circle::new(&drawing.drawn(lots)?);
    let mut row = 0;
    originals.visit(&mut |batch: &RecordBatch| {
        for id in lots.ids(&RowKeys::of_columns(batch, key)?) {
            circle.meet(number(&id), row);
            row += 1;
        }
        twisted.as_mut().map_or(Ok(()), |twisted| twisted.meet(batch))
    })?;
    let Some(found) = circle.rows() else { return Ok(None) };
    let donors = Donors::read(originals, schema, &found)?;
    let drawn = Drawn { places: found.iter().map(|row| donors.place(*row)).collect(), drawing, donors: donors.rows };
    let tries = tries(&drawn, lots, key, twisted.as_ref())?;
    Ok(Some((drawn, tries)))
}

/// What is drawn for each decoy, in this order: a row for each group that is free, then for each try one for each group with a
/// part of the key, and a second one.
struct Drawing {
    wanted: usize,
    groups: Groups,
}

impl Drawing {
    fn of_each_try(&self) -> usize {
        self.groups.keyed.len() + 1
    }

    fn of_each(&self) -> usize {
        self.groups.free.len() + ATTEMPTS * self.of_each_try()
    }

    fn drawn(&self, lots: &Lots) -> Result<Vec<u64>, FingerprintError> {
        let mut drawn = Vec::with_capacity(self.wanted * self.of_each());
        for decoy in 0..self.wanted {
            for group in &self.groups.free {
                drawn.push(lots.draw(Lot::Donor, decoy, *group, 0)?);
            }
            for attempt in 0..ATTEMPTS {
                for group in &self.groups.keyed {
                    drawn.push(lots.draw(Lot::Donor, decoy, *group, attempt)?);
                }
                drawn.push(lots.draw(Lot::Second, decoy, 0, attempt)?);
            }
        }
        Ok(drawn)
    }

    /// The place of the draw of a group in what was drawn.
    fn of_group(&self, decoy: usize, group: usize, attempt: usize) -> usize {
        let begin = decoy * self.of_each();
        match self.groups.free.iter().position(|free| *free == group) {
            Some(place) => begin + place,
            None => {
                let place = self.groups.keyed.iter().position(|keyed| *keyed == group).unwrap_or_default();
                begin + self.groups.free.len() + attempt * self.of_each_try() + place
            }
        }
    }

    fn of_second(&self, decoy: usize, attempt: usize) -> usize {
        let tries = decoy * self.of_each() + self.groups.free.len();
        tries + attempt * self.of_each_try() + self.groups.keyed.len()
    }
}

/// The rows that were drawn.
pub(super) struct Drawn {
    drawing: Drawing,
    /// For each draw the place of its row among the donors.
    places: Vec<usize>,
    donors: RecordBatch,
}

impl Drawn {
    fn place_of(&self, column: &str) -> Result<usize, FingerprintError> {
        let missing = |_| FingerprintError::ColumnMissing { column: column.to_owned() };
        self.donors.schema().index_of(column).map_err(missing)
    }

    /// A column of all decoys, in a try.
    fn column(&self, column: usize, attempt: usize) -> Result<ArrayRef, FingerprintError> {
        let group = self.drawing.groups.of[column];
        let draws = (0..self.drawing.wanted).map(|decoy| self.drawing.of_group(decoy, group, attempt));
        self.taken(column, draws)
    }

    fn taken(&self, column: usize, draws: impl Iterator<Item = usize>) -> Result<ArrayRef, FingerprintError> {
        let places: UInt64Array = draws.map(|draw| Some(self.places[draw] as u64)).collect();
        take(self.donors.column(column), &places, None).map_err(|_| assembly())
    }
}

/// One key for each decoy.
pub(super) struct Try {
    /// Whose key it is made of.
    attempt: usize,
    /// The column that was changed, as it is then.
    twisted: Option<(usize, ArrayRef)>,
    /// The ids of the keys; none where no key could be made.
    ids: Vec<Option<[u8; 16]>>,
}

/// All keys that are tried, the likeliest first: put together of the parts of several rows, then with a part that is changed.
fn tries(drawn: &Drawn, lots: &Lots, key: &[String], twisted: Option<&Twisted>) -> Result<Vec<Try>, FingerprintError> {
    let mut tries = Vec::with_capacity(ATTEMPTS * (TURNS + 1));
    if drawn.drawing.groups.keyed.len() > 1 {
        for attempt in 0..ATTEMPTS {
            tries.push(a_try(drawn, lots, key, attempt, None)?);
        }
    }
    let Some(twisted) = twisted else { return Ok(tries) };
    let place = drawn.place_of(&twisted.column)?;
    let wanted = drawn.drawing.wanted;
    for attempt in 0..ATTEMPTS {
        let own = drawn.column(place, attempt)?;
        let second = drawn.taken(place, (0..wanted).map(|decoy| drawn.drawing.of_second(decoy, attempt)))?;
        for turn in 0..TURNS {
            let draws = (0..wanted).map(|decoy| lots.draw(Lot::Twist, decoy, turn, attempt));
            let draws: Vec<u64> = draws.collect::<Result<_, _>>()?;
            let changed = twisted.twisted(&own, &second, &draws, turn / TURNS_OF_A_REACH)?;
            tries.push(a_try(drawn, lots, key, attempt, Some((place, changed)))?);
        }
    }
    Ok(tries)
}

fn a_try(
    drawn: &Drawn,
    lots: &Lots,
    key: &[String],
    attempt: usize,
    twisted: Option<(usize, ArrayRef)>,
) -> Result<Try, FingerprintError> {
    let mut parts: Vec<(&str, ArrayRef)> = Vec::with_capacity(key.len());
    for part in key {
        let place = drawn.place_of(part)?;
        let array = match &twisted {
            Some((changed, array)) if *changed == place => ArrayRef::clone(array),
            _ => drawn.column(place, attempt)?,
        };
        parts.push((part, array));
    }
    let is_missing = |row: usize| parts.iter().any(|(_, part)| part.is_null(row));
    let missing: Vec<bool> = (0..drawn.drawing.wanted).map(is_missing).collect();
    let batch = RecordBatch::try_from_iter_with_nullable(parts.into_iter().map(|(name, part)| (name, part, true)));
    let keys = RowKeys::of_columns(&batch.map_err(|_| assembly())?, key)?;
    let ids = lots.ids(&keys).iter().zip(missing).map(|(id, missing)| (!missing).then(|| id_of(id))).collect();
    Ok(Try { attempt, twisted, ids })
}

fn id_of(block: &Block) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(block);
    id
}

/// Which of the keys that are tried a row of the table has.
pub(super) struct Taken {
    asked: HashSet<[u8; 16]>,
    taken: HashSet<[u8; 16]>,
}

impl Taken {
    pub(super) fn of(tries: &[Try]) -> Taken {
        let asked = tries.iter().flat_map(|of| of.ids.iter().flatten().copied()).collect();
        Taken { asked, taken: HashSet::new() }
    }

    /// Meets some rows.
    pub(super) fn meet(&mut self, lots: &Lots, key: &[String], batch: &RecordBatch) -> Result<(), FingerprintError> {
        let ids = lots.ids(&RowKeys::of_columns(batch, key)?);
        self.taken.extend(ids.iter().map(id_of).filter(|id| self.asked.contains(id)));
        Ok(())
    }
}

/// For each decoy the first try whose key nobody has, neither a row nor another decoy; those without one are left out.
pub(super) fn chosen(wanted: usize, tries: &[Try], Taken { mut taken, .. }: Taken) -> Vec<(usize, usize)> {
    let mut chosen = Vec::with_capacity(wanted);
    for decoy in 0..wanted {
        let is_free = |of: &Try| of.ids[decoy].is_some_and(|id| !taken.contains(&id));
        let Some(turn) = tries.iter().position(is_free) else { continue };
        taken.extend(tries[turn].ids[decoy]);
        chosen.push((decoy, turn));
    }
    chosen
}

/// The decoys, each with the key of its try.
fn assembled(
    drawn: &Drawn,
    schema: &SchemaRef,
    tries: &[Try],
    chosen: &[(usize, usize)],
) -> Result<RecordBatch, FingerprintError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for column in 0..schema.fields().len() {
        let of_attempts = (0..ATTEMPTS).map(|attempt| drawn.column(column, attempt));
        let of_attempts: Vec<ArrayRef> = of_attempts.collect::<Result<_, _>>()?;
        let of_tries = tries.iter().map(|of| match &of.twisted {
            Some((twisted, array)) if *twisted == column => ArrayRef::clone(array),
            _ => ArrayRef::clone(&of_attempts[of.attempt]),
        });
        let of_tries: Vec<ArrayRef> = of_tries.collect();
        let arrays: Vec<&dyn Array> = of_tries.iter().map(AsRef::as_ref).collect();
        let places: Vec<(usize, usize)> = chosen.iter().map(|(decoy, turn)| (*turn, *decoy)).collect();
        columns.push(interleave(&arrays, &places).map_err(|_| assembly())?);
    }
    RecordBatch::try_new(SchemaRef::clone(schema), columns).map_err(|_| assembly())
}

fn sorted(decoys: &RecordBatch, key: &[String]) -> Result<RecordBatch, FingerprintError> {
    let (converter, columns) = key_order(&decoys.schema(), key)?;
    let keys: Vec<ArrayRef> = columns.iter().map(|column| ArrayRef::clone(decoys.column(*column))).collect();
    let rows = converter.convert_columns(&keys).map_err(|_| assembly())?;
    let mut places: Vec<u64> = (0..decoys.num_rows() as u64).collect();
    places.sort_by_key(|place| rows.row(usize::try_from(*place).unwrap_or_default()));
    take_record_batch(decoys, &UInt64Array::from(places)).map_err(|_| assembly())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    const SECRET: [u8; 32] = [9; 32];

    /// Stations with their names, and what was measured there; every third number of a measurement is not given out.
    fn table(rows: std::ops::Range<i64>) -> Vec<RecordBatch> {
        let rows: Vec<i64> = rows.filter(|row| row % 3 != 0).collect();
        let station = |row: i64| (row * 7_919 + row * row % 101) % 17;
        let text = |prefix: &str| -> ArrayRef {
            Arc::new(rows.iter().map(|row| Some(format!("{prefix}{:03}", station(*row)))).collect::<StringArray>())
        };
        let whole = |of: &dyn Fn(i64) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| of(*row))))
        };
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("id", whole(&|row| row), true),
            ("station", text("S"), true),
            ("name", text("站"), true),
            ("load", whole(&|row| row * 31 % 977), true),
        ]);
        let batch = batch.unwrap();
        (0..batch.num_rows()).step_by(700).map(|from| batch.slice(from, 700.min(batch.num_rows() - from))).collect()
    }

    fn invented(table: &Vec<RecordBatch>, key: &[&str], wanted: usize, secret: [u8; 32]) -> RecordBatch {
        let key: Vec<String> = key.iter().map(|part| (*part).to_owned()).collect();
        let rows = table.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        invent(table, &table[0].schema(), &key, rows, wanted, &secret).unwrap()
    }

    fn integers(batch: &RecordBatch, column: &str) -> Vec<i64> {
        batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()
    }

    fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
        batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
    }

    #[test]
    fn decoys_are_like_rows_and_are_none() {
        let table = table(0..9_000);
        let made = invented(&table, &["id"], 50, SECRET);
        assert_eq!((made.num_rows(), made.schema()), (50, table[0].schema()));
        let ids = integers(&made, "id");
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "in the order of the key, each once");
        // The numbers that nobody has are those that three divides.
        assert!(ids.iter().all(|id| id % 3 == 0 && (1..9_000).contains(id)), "{ids:?}");
        for (station, name) in texts(&made, "station").iter().zip(texts(&made, "name")) {
            assert_eq!(station[1..], name["站".len()..], "what hangs together stays together");
        }
        let loads: BTreeSet<i64> = table.iter().flat_map(|batch| integers(batch, "load")).collect();
        assert!(integers(&made, "load").iter().all(|load| loads.contains(load)));
        let stations: BTreeSet<String> = texts(&made, "station").into_iter().collect();
        assert!(stations.len() > 8, "they come from all over the table: {stations:?}");
    }

    #[test]
    fn they_hang_on_data_and_secret_alone_and_stay_when_little_changes() {
        let whole = table(0..9_000);
        let made = invented(&whole, &["id"], 50, SECRET);
        let joined = vec![arrow::compute::concat_batches(&whole[0].schema(), &whole).unwrap()];
        assert_eq!(invented(&joined, &["id"], 50, SECRET), made, "however the rows are cut");
        let others: BTreeSet<i64> = integers(&invented(&whole, &["id"], 50, [8; 32]), "id").into_iter().collect();
        let ids: BTreeSet<i64> = integers(&made, "id").into_iter().collect();
        assert!(ids.intersection(&others).count() < 10);
        let later: BTreeSet<i64> =
            integers(&invented(&table(0..9_300), &["id"], 50, SECRET), "id").into_iter().collect();
        assert!(ids.intersection(&later).count() > 40, "{ids:?} {later:?}");
    }

    #[test]
    fn a_key_of_parts_is_put_together_anew_and_a_full_one_leaves_no_room() {
        let table = table(0..3_000);
        let key = ["station", "load"];
        let there: BTreeSet<(String, i64)> =
            table.iter().flat_map(|batch| texts(batch, "station").into_iter().zip(integers(batch, "load"))).collect();
        let made = invented(&table, &key, 40, SECRET);
        let pairs: BTreeSet<(String, i64)> = texts(&made, "station").into_iter().zip(integers(&made, "load")).collect();
        assert_eq!(pairs.len(), made.num_rows());
        assert!(made.num_rows() > 30 && pairs.is_disjoint(&there), "{}", made.num_rows());

        let full: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5_000));
        let full = vec![RecordBatch::try_from_iter_with_nullable([("id", full, true)]).unwrap()];
        assert_eq!(invented(&full, &["id"], 40, SECRET).num_rows(), 0);
        let empty = vec![full[0].slice(0, 0)];
        assert_eq!(invented(&empty, &["id"], 40, SECRET).num_rows(), 0);
    }
}
