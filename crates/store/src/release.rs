//! What statistics were released to whom, as opaque sketches, and how many questions were refused for what their answers
//! would have told. Rows of both belong to a consumer and a set of resources, and are seen with those of its affiliates and of
//! other sets that have a resource in common; what is compared with what is the engine's business.
//!
//! Beside the numbers of a consumer and set stands once by what they know rows and contributors. Who knows them by anything else is
//! told so, and adds nothing: his numbers could not be compared with these.
//!
//! Positions grow over all consumers and are given under the writer's lock, so whoever has read up to a head has read
//! everything before it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Order, Query};

use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{Store, WriterLock, from_sql, to_sql};

/// The family of the entry that says by what the numbers of a consumer and set know rows and contributors; no column has this name.
const NAMING_FAMILY: &str = "*naming";

/// Most numbers that [`Store::released`] returns at a time.
pub const RELEASED_PAGE_MAX: u64 = 1_000;
/// Most numbers that one call records.
pub const RELEASED_AT_ONCE_MAX: usize = 50_000;

/// Whose record it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The set of resources.
    pub resources: String,
    /// Other sets that have a resource in common with it.
    pub overlapping: Vec<String>,
    /// The consumer.
    pub consumer: String,
    /// Consumers that act together with it; it is not among them.
    pub affiliates: Vec<String>,
    /// Names by what the numbers that it is given now know rows and contributors.
    pub naming: String,
    /// Sets and consumers whose numbers are taken for ones of this naming where they say none, as those of earlier versions do.
    pub unnamed: BTreeSet<(String, String)>,
}

/// A released number, without the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedNumber {
    /// What was counted or measured.
    pub family: String,
    /// At least so many contributors.
    pub contributors_min: u64,
    /// At most so many.
    pub contributors_max: u64,
    /// A sketch of them.
    pub sketch: Vec<u8>,
}

/// Which released numbers are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedRange {
    /// Their family.
    pub family: String,
    /// Numbers of contributors that theirs may lie in.
    pub contributors: RangeInclusive<u64>,
    /// Only those after this position.
    pub after: u64,
    /// Only those up to this position.
    pub until: u64,
}

/// What became of numbers that were to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// They are recorded.
    Recorded,
    /// The head is another one.
    Moved,
    /// There would be more than the most.
    Full,
    /// Others on record know rows and contributors by something else.
    Incomparable,
}

impl Recipient {
    fn sets(&self) -> Vec<String> {
        let mut sets = self.overlapping.clone();
        sets.push(self.resources.clone());
        sets
    }

    fn parties(&self) -> Vec<String> {
        let mut parties = self.affiliates.clone();
        parties.push(self.consumer.clone());
        parties
    }
}

impl Store {
    /// Position of the last number recorded for a consumer or its affiliates, of any of the sets; 0 when there is none.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn released_head(&self, recipient: &Recipient) -> Result<u64, StoreError> {
        head(self.db(), recipient).await
    }

    /// Numbers recorded for a consumer or its affiliates, of any of the sets, with their positions and in their order, at most
    /// [`RELEASED_PAGE_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn released(
        &self,
        recipient: &Recipient,
        range: &ReleasedRange,
    ) -> Result<Vec<(u64, ReleasedNumber)>, StoreError> {
        const DOING: &str = "reading released statistics";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .columns(["position", "contributors_min", "contributors_max", "sketch"])
            .from("released")
            .and_where(Expr::col("resources").is_in(recipient.sets()))
            .and_where(Expr::col("consumer").is_in(recipient.parties()))
            .and_where(Expr::col("family").eq(range.family.as_str()))
            .and_where(Expr::col("contributors_min").lte(bounded(*range.contributors.end())))
            .and_where(Expr::col("contributors_max").gte(bounded(*range.contributors.start())))
            .and_where(Expr::col("position").gt(to_sql(range.after)))
            .and_where(Expr::col("position").lte(to_sql(range.until)))
            .order_by("position", Order::Asc)
            .limit(RELEASED_PAGE_MAX)
            .take();
        let mut numbers = Vec::new();
        for row in self.db().query_all(&query).await.map_err(fault)? {
            let count = |index| row.try_get_by_index::<i64>(index).map_err(fault);
            let number = ReleasedNumber {
                family: range.family.clone(),
                contributors_min: from_sql(DOING, count(1)?)?,
                contributors_max: from_sql(DOING, count(2)?)?,
                sketch: row.try_get_by_index(3).map_err(fault)?,
            };
            numbers.push((from_sql(DOING, count(0)?)?, number));
        }
        Ok(numbers)
    }

    /// Whether all that was recorded for a consumer or its affiliates, of any of the sets, knows rows and contributors by the
    /// recipient's naming.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn released_comparably(&self, recipient: &Recipient) -> Result<bool, StoreError> {
        Ok(named(self.db(), recipient).await?.is_some())
    }

    /// Records numbers for a consumer, all or none, when `head` is still the head and all that is on record has the recipient's
    /// naming. They are durable when this returns. `most` is the most that one consumer may have of one set of resources.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn release(
        &self,
        recipient: &Recipient,
        known_head: u64,
        numbers: &[ReleasedNumber],
        most: u64,
    ) -> Result<Release, StoreError> {
        const DOING: &str = "recording released statistics";
        let fault = |error| StoreError::database(DOING, error);
        if numbers.len() > RELEASED_AT_ONCE_MAX {
            return Ok(Release::Full);
        }
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        if head(write.db(), recipient).await? != known_head {
            return Ok(Release::Moved);
        }
        let Some(named) = named(write.db(), recipient).await? else { return Ok(Release::Incomparable) };
        let own = (recipient.resources.clone(), recipient.consumer.clone());
        let naming = ReleasedNumber {
            family: NAMING_FAMILY.to_owned(),
            contributors_min: 0,
            contributors_max: 0,
            sketch: recipient.naming.clone().into_bytes(),
        };
        let entries: Vec<&ReleasedNumber> = numbers.iter().chain((!named.contains(&own)).then_some(&naming)).collect();
        let count = Query::select()
            .expr(Expr::col("position").count())
            .from("released")
            .and_where(Expr::col("resources").eq(recipient.resources.as_str()))
            .and_where(Expr::col("consumer").eq(recipient.consumer.as_str()))
            .and_where(Expr::col("family").ne(NAMING_FAMILY))
            .take();
        if number(write.db(), &count, DOING).await?.saturating_add(numbers.len() as u64) > most {
            return Ok(Release::Full);
        }
        let last = Query::select().expr(Expr::col("position").max()).from("released").take();
        let mut position = number(write.db(), &last, DOING).await?;
        for chunk in entries.chunks(INSERT_ROWS_MAX) {
            let mut insert = Query::insert()
                .into_table("released")
                .columns([
                    "position",
                    "resources",
                    "consumer",
                    "family",
                    "contributors_min",
                    "contributors_max",
                    "sketch",
                ])
                .take();
            for number in chunk {
                position += 1;
                insert.values_panic([
                    to_sql(position).into(),
                    recipient.resources.as_str().into(),
                    recipient.consumer.as_str().into(),
                    number.family.as_str().into(),
                    bounded(number.contributors_min).into(),
                    bounded(number.contributors_max).into(),
                    number.sketch.clone().into(),
                ]);
            }
            write.db().execute(&insert).await.map_err(fault)?;
        }
        write.commit(DOING).await?;
        Ok(Release::Recorded)
    }

    /// How many questions of a consumer and its affiliates, of any of the sets, were refused on a day.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn release_refusals(&self, recipient: &Recipient, day: &str) -> Result<u64, StoreError> {
        let query = Query::select()
            .expr(Expr::col("count").sum().cast_as("bigint"))
            .from("release_refusal")
            .and_where(Expr::col("resources").is_in(recipient.sets()))
            .and_where(Expr::col("consumer").is_in(recipient.parties()))
            .and_where(Expr::col("day").eq(day))
            .take();
        number(self.db(), &query, "reading refused statistics").await
    }

    /// Counts a refused question of a consumer on a day, durably. Days before it are forgotten.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn count_release_refusal(&self, recipient: &Recipient, day: &str) -> Result<(), StoreError> {
        const DOING: &str = "counting refused statistics";
        let fault = |error| StoreError::database(DOING, error);
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let forget = Query::delete()
            .from_table("release_refusal")
            .and_where(Expr::col("resources").eq(recipient.resources.as_str()))
            .and_where(Expr::col("consumer").eq(recipient.consumer.as_str()))
            .and_where(Expr::col("day").lt(day))
            .take();
        write.db().execute(&forget).await.map_err(fault)?;
        let insert = Query::insert()
            .into_table("release_refusal")
            .columns(["resources", "consumer", "day", "count"])
            .values_panic([
                recipient.resources.as_str().into(),
                recipient.consumer.as_str().into(),
                day.into(),
                1_i64.into(),
            ])
            .on_conflict(
                OnConflict::columns(["resources", "consumer", "day"])
                    .value("count", Expr::col(("release_refusal", "count")).add(1))
                    .to_owned(),
            )
            .take();
        write.db().execute(&insert).await.map_err(fault)?;
        write.commit(DOING).await
    }
}

/// The sets and consumers of a recipient whose numbers say their naming; none when one of them has another naming than the
/// recipient.
async fn named(
    db: &impl ConnectionTrait,
    recipient: &Recipient,
) -> Result<Option<BTreeSet<(String, String)>>, StoreError> {
    const DOING: &str = "reading what released statistics are known by";
    let fault = |error| StoreError::database(DOING, error);
    let entries = || {
        Query::select()
            .columns(["resources", "consumer"])
            .from("released")
            .and_where(Expr::col("resources").is_in(recipient.sets()))
            .and_where(Expr::col("consumer").is_in(recipient.parties()))
            .take()
    };
    let namings = entries().column("sketch").and_where(Expr::col("family").eq(NAMING_FAMILY)).take();
    let mut named = BTreeSet::new();
    for row in db.query_all(&namings).await.map_err(fault)? {
        let naming: Vec<u8> = row.try_get_by_index(2).map_err(fault)?;
        if naming != recipient.naming.as_bytes() {
            return Ok(None);
        }
        named.insert((row.try_get_by_index(0).map_err(fault)?, row.try_get_by_index(1).map_err(fault)?));
    }
    let is_known = |set: &(String, String)| named.contains(set) || recipient.unnamed.contains(set);
    let sets = recipient.sets();
    let mut pairs = sets.iter().flat_map(|set| recipient.parties().into_iter().map(move |party| (set.clone(), party)));
    if pairs.all(|pair| is_known(&pair)) {
        return Ok(Some(named));
    }
    for row in db.query_all(&entries().distinct().take()).await.map_err(fault)? {
        let pair = (row.try_get_by_index(0).map_err(fault)?, row.try_get_by_index(1).map_err(fault)?);
        if !is_known(&pair) {
            return Ok(None);
        }
    }
    Ok(Some(named))
}

async fn head(db: &impl ConnectionTrait, recipient: &Recipient) -> Result<u64, StoreError> {
    let query = Query::select()
        .expr(Expr::col("position").max())
        .from("released")
        .and_where(Expr::col("resources").is_in(recipient.sets()))
        .and_where(Expr::col("consumer").is_in(recipient.parties()))
        .take();
    number(db, &query, "reading released statistics").await
}

/// The one number that a query answers; 0 when there is none.
pub(crate) async fn number(
    db: &impl ConnectionTrait,
    query: &sea_orm::sea_query::SelectStatement,
    doing: &'static str,
) -> Result<u64, StoreError> {
    let fault = |error| StoreError::database(doing, error);
    let row = db.query_one(query).await.map_err(fault)?;
    let found: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)?.flatten();
    from_sql(doing, found.unwrap_or(0))
}

/// A number of contributors as SQL holds it.
fn bounded(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
