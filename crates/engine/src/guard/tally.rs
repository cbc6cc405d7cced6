//! What the guard must know of each group: how many contributors it has, how large the two largest of them are beside
//! the whole, and a sketch of all of them. Counted by an aggregate function beside the consumer's own, in one pass.
//!
//! Where the table names subjects, each group keeps its subjects in memory, as `count(DISTINCT …)` does, within the
//! session's limit; where it does not, what is kept is of a fixed size.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{ScalarValue, internal_datafusion_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};

use super::former::Former;
use super::sketch::{Kind, Sketch};

/// What a group is made of, of one family of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Rows with a value, whoever's they are.
    pub(crate) rows: u64,
    /// Distinct contributors.
    pub(crate) contributors: u64,
    /// The sum of the absolute values of all contributions.
    pub(crate) total: f64,
    /// The largest and the second largest contributor's part of it.
    pub(crate) largest: [f64; 2],
    /// The rows of contributors, by contributor.
    pub(crate) sketch: Sketch,
    /// What sketches of the former kind are compared with.
    pub(crate) former: Former,
}

impl Tally {
    pub(crate) fn new(buckets: u32) -> Self {
        let sketch = Sketch::new(Kind::Added, buckets);
        Self { rows: 0, contributors: 0, total: 0.0, largest: [0.0; 2], sketch, former: Former::new(buckets) }
    }

    fn add_contribution(&mut self, size: f64) {
        self.total += size;
        self.add_largest(size);
    }

    fn add_largest(&mut self, size: f64) {
        if size > self.largest[0] {
            self.largest = [size, self.largest[0]];
        } else if size > self.largest[1] {
            self.largest[1] = size;
        }
    }

    /// Adds a tally of other rows. Contributors of both are counted twice, and their largest parts stay apart.
    pub(crate) fn merge(&mut self, other: &Tally) {
        self.rows += other.rows;
        self.contributors += other.contributors;
        self.total += other.total;
        self.add_largest(other.largest[0]);
        self.add_largest(other.largest[1]);
        self.sketch.merge(&other.sketch);
        self.former.merge(&other.former);
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.contributors.to_le_bytes());
        for size in [self.total, self.largest[0], self.largest[1]] {
            bytes.extend(size.to_le_bytes());
        }
        let sketch = self.sketch.to_bytes();
        bytes.extend((sketch.len() as u64).to_le_bytes());
        bytes.extend(sketch);
        bytes.extend(self.former.to_bytes());
    }

    /// Reads what the aggregate function yields.
    pub(crate) fn of_bytes(bytes: &[u8]) -> DataFusionResult<Tally> {
        Self::read(bytes).ok_or_else(|| internal_datafusion_err!("a tally can't be read"))
    }

    fn read(mut bytes: &[u8]) -> Option<Tally> {
        let rows = u64::from_le_bytes(take(&mut bytes)?);
        let contributors = u64::from_le_bytes(take(&mut bytes)?);
        let total = f64::from_le_bytes(take(&mut bytes)?);
        let largest = [f64::from_le_bytes(take(&mut bytes)?), f64::from_le_bytes(take(&mut bytes)?)];
        let length = usize::try_from(u64::from_le_bytes(take(&mut bytes)?)).ok()?;
        let (sketch, former) = bytes.split_at_checked(length)?;
        let (sketch, former) = (Sketch::of_bytes(sketch)?, Former::of_bytes(former)?);
        Some(Tally { rows, contributors, total, largest, sketch, former })
    }
}

fn take(bytes: &mut &[u8]) -> Option<[u8; 8]> {
    let (taken, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(*taken)
}

/// The aggregate function's call: over the contributor's digest and that of the text which names him, whether he counts, the
/// contribution's digest (rows without one don't take part) and its size.
pub(crate) fn tally(has_subject: bool, buckets: u32, arguments: [Expr; 5]) -> Expr {
    let signature = Signature::any(arguments.len(), Volatility::Immutable);
    let function = TallyFunction { has_subject, buckets, signature };
    AggregateUDF::new_from_impl(function).call(arguments.into())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TallyFunction {
    has_subject: bool,
    buckets: u32,
    signature: Signature,
}

impl AggregateUDFImpl for TallyFunction {
    fn name(&self) -> &'static str {
        "tally"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _argument_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::LargeBinary)
    }

    fn accumulator(&self, _arguments: AccumulatorArgs) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(TallyAccumulator { rest: Tally::new(self.buckets), subjects: self.has_subject.then(HashMap::new) }))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> DataFusionResult<Vec<FieldRef>> {
        Ok(vec![Field::new(format!("{}_state", arguments.name), DataType::LargeBinary, true).into()])
    }
}

#[derive(Debug)]
struct TallyAccumulator {
    /// All rows, but for the parts of subjects.
    rest: Tally,
    /// Each subject's part.
    subjects: Option<HashMap<i64, f64>>,
}

impl Accumulator for TallyAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let who = values[0].as_primitive::<Int64Type>();
        let written = values[1].as_primitive::<Int64Type>();
        let counted = values[2].as_boolean();
        let what = values[3].as_primitive::<Int64Type>();
        let sizes = values[4].as_primitive::<Float64Type>();
        for row in 0..who.len() {
            if what.is_null(row) {
                continue;
            }
            let contributor = who.value(row);
            let size = if sizes.is_null(row) { 0.0 } else { sizes.value(row).abs() };
            let [who, written, what] = [contributor, written.value(row), what.value(row)].map(i64::cast_unsigned);
            self.rest.rows += 1;
            match &mut self.subjects {
                Some(subjects) if counted.value(row) => *subjects.entry(contributor).or_insert(0.0) += size,
                // Nobody's rows hide nobody, so the sketch is without them.
                Some(_) => {
                    self.rest.former.add_nobodys(who, what);
                    self.rest.add_contribution(size);
                    continue;
                }
                None => {
                    self.rest.contributors += 1;
                    self.rest.add_contribution(size);
                }
            }
            self.rest.sketch.add(who, what);
            self.rest.former.add(written, what, written != who);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let mut whole = self.rest.clone();
        for size in self.subjects.iter().flat_map(HashMap::values) {
            whole.contributors += 1;
            whole.add_contribution(*size);
        }
        let mut bytes = Vec::new();
        whole.write(&mut bytes);
        Ok(ScalarValue::LargeBinary(Some(bytes)))
    }

    fn size(&self) -> usize {
        let subjects = self.subjects.as_ref().map_or(0, HashMap::capacity);
        size_of::<Self>() + self.rest.sketch.size() + self.rest.former.size() + subjects * (size_of::<(i64, f64)>() + 1)
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        let subjects = self.subjects.take().unwrap_or_default();
        let mut bytes = Vec::with_capacity(8 + subjects.len() * 16 + self.rest.sketch.size());
        bytes.extend((subjects.len() as u64).to_le_bytes());
        for (subject, size) in subjects {
            bytes.extend(subject.to_le_bytes());
            bytes.extend(size.to_le_bytes());
        }
        self.rest.write(&mut bytes);
        Ok(vec![ScalarValue::LargeBinary(Some(bytes))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        for state in states[0].as_binary::<i64>().iter().flatten() {
            self.merge_state(state).ok_or_else(|| internal_datafusion_err!("the state of a tally can't be read"))?;
        }
        Ok(())
    }
}

impl TallyAccumulator {
    fn merge_state(&mut self, mut state: &[u8]) -> Option<()> {
        let count = u64::from_le_bytes(take(&mut state)?);
        for _ in 0..count {
            let subject = i64::from_le_bytes(take(&mut state)?);
            let size = f64::from_le_bytes(take(&mut state)?);
            *self.subjects.as_mut()?.entry(subject).or_insert(0.0) += size;
        }
        self.rest.merge(&Tally::read(state)?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int64Array, LargeBinaryArray};

    use super::*;

    /// Rows of (contributor or none, value), tallied in parts that are then merged.
    fn tallied(has_subject: bool, parts: &[&[(Option<i64>, f64)]]) -> Tally {
        let accumulator = || TallyAccumulator { rest: Tally::new(256), subjects: has_subject.then(HashMap::new) };
        let mut whole = accumulator();
        let mut row = 0;
        for part in parts {
            let mut partial = accumulator();
            let who: Int64Array = part.iter().map(|(who, _)| Some(who.unwrap_or(1_000))).collect();
            let counted: BooleanArray = part.iter().map(|(who, _)| Some(who.is_some())).collect();
            let what: Int64Array = part
                .iter()
                .map(|_| {
                    row += 1;
                    Some(row * 7_919)
                })
                .collect();
            let sizes: Float64Array = part.iter().map(|(_, size)| Some(*size)).collect();
            partial
                .update_batch(&[
                    Arc::new(who.clone()),
                    Arc::new(who),
                    Arc::new(counted),
                    Arc::new(what),
                    Arc::new(sizes),
                ])
                .expect("the types are right");
            let Ok(state) = partial.state() else { panic!("a state") };
            let ScalarValue::LargeBinary(Some(state)) = &state[0] else { panic!("{state:?}") };
            whole
                .merge_batch(&[Arc::new(LargeBinaryArray::from(vec![Some(state.as_slice())]))])
                .expect("its own state");
        }
        match whole.evaluate() {
            Ok(ScalarValue::LargeBinary(Some(bytes))) => Tally::of_bytes(&bytes).expect("its own bytes"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_of_a_subject_are_brought_together() {
        let parts: [&[_]; 2] = [&[(Some(1), 10.0), (Some(2), -4.0)], &[(Some(1), 5.0), (None, 3.0)]];
        let by_subject = tallied(true, &parts);
        assert_eq!((by_subject.contributors, by_subject.total, by_subject.largest), (2, 22.0, [15.0, 4.0]));
        let by_row = tallied(false, &parts);
        assert_eq!((by_row.contributors, by_row.total, by_row.largest), (4, 22.0, [10.0, 5.0]));
        assert_eq!((by_row.sketch.filled(), by_subject.sketch.filled()), (3, 2));
    }

    /// Else many of them would make up for the contributors by whom two answers differ.
    #[test]
    fn nobody_s_rows_leave_no_trace_in_the_sketch() {
        let tenants: &[_] = &[(Some(1), 10.0), (Some(2), 4.0)];
        let vacant: &[_] = &[(None, 3.0); 9];
        let (with, without) = (tallied(true, &[tenants, vacant]), tallied(true, &[tenants]));
        assert_eq!((with.rows, with.contributors, with.total), (11, 2, 41.0));
        assert_eq!(with.sketch.difference(&without.sketch, u64::MAX), 0);
        // A sketch from before may have them.
        assert_eq!((with.former.sketches().len(), without.former.sketches().len()), (2, 1));
    }
}
