//! The report of a trace, put together from what was computed and what the receipts say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lingqu_domain::chain;
use lingqu_domain::decide::Reader;
use lingqu_domain::id::{OrderId, PartyId, PermitId, ProductId};
use lingqu_domain::scope::{Mode, Precision, Precisions, Scope};
use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{
    Accusation, Alignment, DECODER_NAMES, DECODER_VERSION, Deed, MatchedColumn, Provenance, Reading, Settings,
};
use roaring::RoaringTreemap;

use super::accusation::{Judged, Recipient, has_decoys, in_whole_case, marks_trace, orders_accused, support};
use super::confirmed::{Varying, is_confirmed};
use super::cover::Cells;
use super::report::{
    Accused, AccusedOrder, Assumption, ColumnTrace, DeliveryTrace, FragmentFacts, HadRows, ProductTrace, ReceiptsTrace,
    SourceTrace, TraceReport, TraceVerdict, TriesTrace, VersionTrace,
};
use super::sources::Sources;
use super::versions::{AllHad, Delivery, Had};
use super::{Case, Computed, LISTED_MAX, MISTAKEN_PER_MILLE, cover, products_of};
use crate::app::App;
use crate::error::AppError;
use crate::fingerprint::MarkedOrder;

/// Rows from which on a column counts as rounded: a few numbers are all even by chance.
const ROUNDED_ROWS_MIN: usize = 20;
/// By fewer different values than this a column may be taken for another one.
const TELLING_VALUES_MIN: usize = 8;

/// What was compared, for the report.
pub(super) struct Tried {
    /// When the codes that were tested were all that there are.
    pub(super) codes_at: Timestamp,
    /// Position of the journal's last event at that time.
    pub(super) journal_position: u64,
    pub(super) bound: f64,
    pub(super) tries: TriesTrace,
    pub(super) versions: usize,
    pub(super) versions_not_tried: usize,
    pub(super) versions_gone: usize,
    pub(super) deliveries_not_comparable: u64,
    pub(super) sources: Sources,
}

impl App {
    pub(super) fn report_of(&self, computed: &Computed, had: &AllHad, tried: &Tried) -> Result<TraceReport, AppError> {
        let products = products_of(&computed.searched, &computed.candidates);
        let varying = Varying::of(&computed.fragment);
        // How many different values columns of the fragment have, as far as that was asked.
        let mut values_of = BTreeMap::new();
        let mut accused = Vec::new();
        let mut traced = Vec::with_capacity(products.len());
        for product in products {
            let judged = computed.judged.iter().find(|(case, _)| case.marked.product == product);
            let had_of_product = had.orders.get(&product).cloned().unwrap_or_default();
            if let Some((case, judged)) = judged {
                accused.extend(self.accused_of((case, judged), tried.bound, &had_of_product, had));
            }
            let details = self.product_details(&product);
            traced.push(ProductTrace {
                name: details.as_ref().map(|details| details.name.clone()).unwrap_or_default(),
                table: details.map(|details| details.table.to_string()).unwrap_or_default(),
                versions: versions_of(computed, &product, &mut values_of),
                marks: judged
                    .map(|(case, judged)| marks_trace(&case.marked.marking, case.marked.epoch, &case.plan, judged)),
                receipts: self.receipts_trace(computed, &varying, &product, &had_of_product),
                product,
            });
        }
        accused.sort_by(|left, right| left.log_p_value.total_cmp(&right.log_p_value));
        let (verdict, reason, reason_en) = answer(computed, &traced, &accused, tried);
        let fragment = &computed.fragment;
        let traced_at = tried.codes_at.to_string();
        Ok(TraceReport {
            verdict,
            reason,
            reason_en,
            bound: tried.bound,
            tries: Some(tried.tries),
            tested: traced.iter().filter_map(|product| Some(product.marks.as_ref()?.tested)).sum(),
            decoder_version: DECODER_VERSION.to_owned(),
            node: self.log_origin()?,
            fragment: FragmentFacts {
                digest: fragment.digest.clone(),
                salt: self.report_salt(&fragment.digest, &traced_at),
                form: fragment.form,
                encoding: fragment.encoding,
                rows_read: fragment.rows_read,
                rows_traced: fragment.row_count() as u64,
                lines_left_out: fragment.lines_left_out,
                columns: fragment.column_names().len(),
            },
            traced_at,
            journal_position: Some(tried.journal_position),
            versions_tried: tried.versions,
            versions_not_tried: tried.versions_not_tried,
            versions_gone: tried.versions_gone,
            deliveries_not_comparable: tried.deliveries_not_comparable,
            assumptions: assumptions(!accused.is_empty(), accused.iter().any(|found| has_decoys(&found.channels))),
            products: traced,
            sources: tried.sources.found.clone(),
            snapshots_tried: tried.sources.tried,
            snapshots_not_tried: tried.sources.not_tried + tried.sources.gone,
            accused,
            evidence: None,
        })
    }

    /// Consumers whose code, or one of whose orders' codes, is in the fragment beyond the bound.
    fn accused_of(
        &self,
        (case, judged): (&Case, &Judged),
        bound: f64,
        had: &BTreeMap<OrderId, Had>,
        all: &AllHad,
    ) -> Vec<Accused> {
        let (marked, plan) = (&case.marked, &case.plan);
        let orders = orders_accused(marked, &judged.orders);
        let mut found = Vec::new();
        for accusation in &judged.recipients.accused {
            let Some((recipient, _)) = case.recipients.get(accusation.candidate) else { continue };
            found.push((recipient.clone(), accusation, &plan.recipients));
        }
        // An order may be told where its consumer is not: nine tenths of the positions are the consumer's, so this is rare.
        for accusation in &judged.orders.accused {
            if let Some(order) = marked.orders.get(accusation.candidate).map(Recipient::of)
                && found.iter().all(|(recipient, ..)| *recipient != order)
            {
                found.push((order, accusation, &plan.orders));
            }
        }
        let accused = |(recipient, accusation, test): (Recipient, &Accusation, &Settings)| {
            let log_p_value = in_whole_case(accusation.log_p_value, bound, test);
            let permits: Vec<PermitId> = self
                .product_details(&marked.product)
                .map(|details| details.inputs.into_values().collect::<BTreeSet<_>>().into_iter().collect())
                .unwrap_or_default();
            let of_code: Vec<&MarkedOrder> =
                marked.orders.iter().filter(|order| Recipient::of(order) == recipient).collect();
            let own: Vec<&OrderId> = of_code.iter().map(|order| &order.order).collect();
            let mut of_consumer: Vec<AccusedOrder> = own
                .iter()
                .map(|order| {
                    let of_test = orders.get(&((*order).clone(), recipient.code_epoch));
                    let log_p_value = of_test.map(|log| in_whole_case(*log, bound, &plan.orders));
                    AccusedOrder {
                        order: (*order).clone(),
                        permits: permits.clone(),
                        p_value: log_p_value.map(f64::exp),
                        log_p_value,
                    }
                })
                .collect();
            of_consumer.sort_by(|a, b| {
                let log = |order: &AccusedOrder| order.log_p_value.unwrap_or(f64::INFINITY);
                log(a).total_cmp(&log(b)).then_with(|| a.order.cmp(&b.order))
            });
            // Copies by the keys of another epoch are not what this code is found in.
            let is_of_another_epoch = |id: &OrderId, code_id: Option<&String>| {
                marked.orders.iter().any(|order| {
                    order.code_epoch != recipient.code_epoch && order.order == *id && code_id == Some(&order.code_id)
                })
            };
            let (mut deliveries, mut counted): (Vec<&Delivery>, u64) = (Vec::new(), 0);
            for (order, code_id, of) in all.deliveries.by_order() {
                if own.contains(&order) && !is_of_another_epoch(order, code_id) {
                    deliveries.extend(&of.kept);
                    counted += of.more;
                }
            }
            deliveries.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.at.cmp(&b.at)));
            let more = deliveries.len().saturating_sub(LISTED_MAX) as u64;
            let mut rows = RoaringTreemap::new();
            own.iter().filter_map(|order| had.get(*order)).for_each(|had| rows |= &had.rows);
            let holders: BTreeSet<PartyId> = of_code.iter().map(|order| order.holder.clone()).collect();
            Accused {
                name: self.party_name(&recipient.consumer),
                product: marked.product.clone(),
                code_epoch: recipient.code_epoch,
                orders: of_consumer,
                p_value: log_p_value.exp(),
                log_p_value,
                decoder: DECODER_NAMES.get(accusation.decoder).copied().unwrap_or_default().to_owned(),
                pass: accusation.pass,
                channels: support(&marked.marking, &accusation.support),
                deliveries: deliveries.into_iter().take(LISTED_MAX).map(delivery_trace).collect(),
                deliveries_more: more + counted,
                rows_delivered: rows.len(),
                keys_held_by: holders.into_iter().collect(),
                consumer: recipient.consumer,
            }
        };
        found.into_iter().map(accused).collect()
    }

    /// Of columns those that the product shows as pseudonyms in every mode that delivers rows; none when it is not in force.
    fn never_in_clear(&self, product: &ProductId, columns: &BTreeSet<&str>) -> Vec<String> {
        let now = self.now();
        let Ok(scope) = self.read(|state| chain::product_scope(&mut Reader::new(state, now), product)) else {
            return Vec::new();
        };
        let masked = scope
            .columns
            .iter()
            .filter(|(name, precisions)| columns.contains(name.as_str()) && is_never_clear(&scope, precisions));
        masked.map(|(name, _)| name.to_string()).collect()
    }

    fn receipts_trace(
        &self,
        computed: &Computed,
        varying: &Varying,
        product: &ProductId,
        had: &BTreeMap<OrderId, Had>,
    ) -> ReceiptsTrace {
        let mut cells = Cells::default();
        for matched in &computed.searched.matched {
            if computed.candidates[matched.place].version.name.0 != *product {
                continue;
            }
            let rows = &matched.alignment.rows;
            cells.rows.extend(rows.iter().map(|row| u64::from(row.leaked)));
            // By a column that only seems to be another one he would be left out who added it.
            for column in varying.confirmed(&matched.alignment) {
                let leaked = computed.fragment.batch.column(column.place);
                let with_value = rows.iter().filter(|row| leaked.is_valid(row.leaked as usize));
                let of_column = cells.columns.entry(column.original.clone()).or_default();
                of_column.extend(with_value.map(|row| u64::from(row.leaked)));
            }
        }
        let columns: BTreeSet<&str> = cells.columns.keys().map(String::as_str).collect();
        let whole: BTreeMap<OrderId, RoaringTreemap> = had
            .iter()
            .map(|(order, had)| (order.clone(), cells.whole_rows(had)))
            .filter(|(_, rows)| !rows.is_empty())
            .collect();
        let mut anybody = RoaringTreemap::new();
        whole.values().for_each(|rows| anybody |= rows);
        let is_left_out = |order: &OrderId, had: &Had| !whole.contains_key(order) && !had.rows.is_disjoint(&cells.rows);
        let missed_max = cells.rows.len() * MISTAKEN_PER_MILLE / 1_000;
        let joined = cells.joined(had, &anybody, missed_max);
        let (cover, anybody) = joined.unwrap_or_else(|| (cover::smallest(&whole, missed_max), anybody));
        let mut orders: Vec<HadRows> = whole
            .iter()
            .filter_map(|(order, rows)| {
                Some(HadRows { consumer: self.consumer_of(order)?, order: order.clone(), rows: rows.len() })
            })
            .collect();
        orders.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.order.cmp(&b.order)));
        let orders_more = orders.len().saturating_sub(LISTED_MAX) as u64;
        orders.truncate(LISTED_MAX);
        ReceiptsTrace {
            never_in_clear: self.never_in_clear(product, &columns),
            rows: cells.rows.len(),
            versions_more: computed.searched.versions_more as u64,
            rows_nobody_had: cells.rows.len() - anybody.len(),
            orders,
            orders_more,
            orders_without_columns: had.iter().filter(|(order, had)| is_left_out(order, had)).count() as u64,
            explanations: cover.sets,
            explained_by: cover.explained_by,
            rows_missed_max: missed_max,
        }
    }
}

/// Whether a column is a pseudonym in every mode that delivers rows and shows it.
fn is_never_clear(scope: &Scope, precisions: &Precisions) -> bool {
    let delivering = [Mode::Lookup, Mode::Rows, Mode::File].into_iter().filter(|mode| scope.modes.contains(mode));
    let mut shown =
        delivering.map(|mode| precisions.in_mode(mode)).filter(|shown| *shown != Precision::Hidden).peekable();
    shown.peek().is_some()
        && shown.all(|shown| {
            matches!(shown, Precision::PseudonymOfPermit | Precision::PseudonymOfConsumer | Precision::PseudonymOfOrder)
        })
}

fn delivery_trace(delivery: &Delivery) -> DeliveryTrace {
    DeliveryTrace {
        receipt: delivery.receipt.clone(),
        order: delivery.order.clone(),
        at: delivery.at.to_string(),
        mode: delivery.mode.code().to_owned(),
        protocol: delivery.protocol.clone(),
        rows: delivery.rows,
    }
}

fn versions_of(computed: &Computed, product: &ProductId, values_of: &mut BTreeMap<usize, usize>) -> Vec<VersionTrace> {
    let mut versions = Vec::new();
    for matched in &computed.searched.matched {
        let candidate = &computed.candidates[matched.place];
        if candidate.version.name.0 != *product {
            continue;
        }
        let alignment = &matched.alignment;
        let log_odds = match alignment.provenance {
            Provenance::Inside(odds) => Some(odds),
            Provenance::Outside(_) | Provenance::Unverified => None,
        };
        let column = |column: &MatchedColumn| ColumnTrace {
            place: column.place + 1,
            original: column.original.clone(),
            factor: column.factor,
            rounded_to: column.rounded_to,
            agreement: column.agreement.beyond_chance(),
        };
        let doubts: Vec<Doubt<'_>> =
            alignment.columns.iter().filter_map(|column| Doubt::of(column, values_of, &computed.fragment)).collect();
        versions.push(VersionTrace {
            made_from: candidate.version.name.1.clone(),
            snapshots: candidate.version.snapshots.clone(),
            originals: alignment.originals,
            rows: alignment.rows.len() as u64,
            confirmed: log_odds.is_some(),
            log_odds,
            columns: alignment.columns.iter().map(column).collect(),
            deeds: told_of(alignment).map(deed).chain(doubts.iter().map(Doubt::in_words)).collect(),
            deeds_zh: told_of(alignment).map(deed_zh).chain(doubts.iter().map(Doubt::in_words_zh)).collect(),
        });
    }
    versions
}

/// A column that few values and nothing else told: three numbers may be minutes of the one or tens of the other.
struct Doubt<'a> {
    place: usize,
    original: &'a str,
    values: usize,
}

impl<'a> Doubt<'a> {
    fn of(column: &'a MatchedColumn, values_of: &mut BTreeMap<usize, usize>, fragment: &Fragment) -> Option<Self> {
        if is_confirmed(column) {
            return None;
        }
        // All values of a column are looked through once, however many versions it is taken for one of.
        let values = *values_of.entry(column.place).or_insert_with(|| fragment.distinct_values(column.place));
        let is_doubtful = (1..TELLING_VALUES_MIN).contains(&values);
        is_doubtful.then(|| Doubt { place: column.place + 1, original: &column.original, values })
    }

    fn in_words(&self) -> String {
        let Doubt { place, original, values } = self;
        format!(
            "column {place} was taken for {original} by {values} different values alone, which nothing confirms: it may be another"
        )
    }

    fn in_words_zh(&self) -> String {
        let Doubt { place, original, values } = self;
        format!("第 {place} 列仅凭 {values} 个不同取值认作 {original}，别无印证，可能是另一列")
    }
}

/// What was done to a fragment, as far as its rows bear it out.
fn told_of(alignment: &Alignment) -> impl Iterator<Item = &Deed> {
    alignment.deeds.iter().filter(|deed| is_told(deed, alignment.rows.len()))
}

/// Whether so many rows bear a deed out.
fn is_told(deed: &Deed, rows: usize) -> bool {
    !matches!(deed, Deed::Rounded { .. }) || rows >= ROUNDED_ROWS_MIN
}

fn deed(deed: &Deed) -> String {
    match deed {
        Deed::Renamed { column } => format!("{column} has another name"),
        Deed::Dropped { column } => format!("{column} is not there"),
        Deed::Rounded { column, step } => format!("{column} was rounded to {step}"),
        Deed::Scaled { column, factor } => format!("{column} is in another unit (times {factor})"),
        Deed::Shifted { column, offset } => format!("{column} was shifted (by {})", -offset),
        Deed::Rewritten { column, reading } => match reading {
            Reading::Measured => format!("the numbers of {column} were written with units or signs"),
            Reading::DecimalComma => format!("the numbers of {column} were written with a decimal comma"),
            Reading::Clock => format!("{column} was written as times of day"),
            Reading::Duration => format!("{column} was written as hours, minutes and seconds"),
            Reading::Plain | Reading::DayFirst | Reading::MonthFirst | Reading::Digits => {
                format!("the dates of {column} were written otherwise")
            }
        },
        Deed::Sampled { missing } => format!("{missing} rows are not there"),
        Deed::Shuffled => "rows are in another order".to_owned(),
        Deed::Duplicated { rows } => format!("{rows} rows are there more than once"),
        Deed::Joined => {
            "its columns were joined to another product's rows, by whose originals they were found".to_owned()
        }
    }
}

fn deed_zh(deed: &Deed) -> String {
    match deed {
        Deed::Renamed { column } => format!("{column} 被改名"),
        Deed::Dropped { column } => format!("缺少 {column}"),
        Deed::Rounded { column, step } => format!("{column} 被取整到 {step}"),
        Deed::Scaled { column, factor } => format!("{column} 换了单位（乘以 {factor}）"),
        Deed::Shifted { column, offset } => format!("{column} 整体平移（{}）", -offset),
        Deed::Rewritten { column, reading } => match reading {
            Reading::Measured => format!("{column} 的数字带上了单位或符号"),
            Reading::DecimalComma => format!("{column} 的数字改用逗号作小数点"),
            Reading::Clock => format!("{column} 改写成了钟点"),
            Reading::Duration => format!("{column} 改写成了时分秒"),
            Reading::Plain | Reading::DayFirst | Reading::MonthFirst | Reading::Digits => {
                format!("{column} 的日期改了写法")
            }
        },
        Deed::Sampled { missing } => format!("缺少 {missing} 行"),
        Deed::Shuffled => "行的次序被打乱".to_owned(),
        Deed::Duplicated { rows } => format!("{rows} 行重复出现"),
        Deed::Joined => "其列被拼接到另一产品的行上，并经该产品的原始行找回".to_owned(),
    }
}

/// The answer and why, in Chinese and English.
fn answer(
    computed: &Computed,
    products: &[ProductTrace],
    accused: &[Accused],
    tried: &Tried,
) -> (TraceVerdict, String, String) {
    if !accused.is_empty() {
        let (zh, en) = accusing_words(accused.len(), tried.bound);
        return (TraceVerdict::Accused, zh, en);
    }
    let Some(source) = tried.sources.found.first() else { return by_products(computed, products, tried) };
    if is_source_itself(source, products) {
        return of_source(source, tried.deliveries_not_comparable);
    }
    let (zh, en) = beside_copies(source);
    if products.is_empty() {
        return (TraceVerdict::Undecided, zh, en);
    }
    let (verdict, by_marks_zh, by_marks) = by_products(computed, products, tried);
    (verdict, format!("{by_marks_zh}；{zh}"), format!("{by_marks}; {en}"))
}

/// The words of an answer that accuses, in Chinese and English. Evidence is held against them as against [`assumptions`].
pub(super) fn accusing_words(accused: usize, bound: f64) -> (String, String) {
    (
        format!("片段含有 {accused} 个接收方副本的指纹；任何无辜接收方被误指的概率合计不超过 {bound}"),
        format!(
            "the copies of {accused} recipient(s) went into it; the probability that anybody innocent is accused is at most {bound} for the whole case"
        ),
    )
}

/// The answer by the versions of products that a fragment was compared with, where nobody is accused.
fn by_products(computed: &Computed, products: &[ProductTrace], tried: &Tried) -> (TraceVerdict, String, String) {
    let not_compared_count = (tried.versions_not_tried + tried.versions_gone) as u64 + tried.deliveries_not_comparable;
    if products.is_empty() && tried.versions == 0 && not_compared_count > 0 {
        return (
            TraceVerdict::Undecided,
            "曾有交付，但没有任何产品版本可供比对（其文件已不在本节点，或为不入库的实时数据），无法判断片段是否出自本节点".to_owned(),
            "there were deliveries and no version of a product can be compared, being live data or not here any more: whether it comes \
             from here can't be told; restore the files from a backup and trace it again"
                .to_owned(),
        );
    }
    if products.is_empty() && computed.searched.is_foreign {
        let (zh, en) = not_compared(not_compared_count);
        return (
            TraceVerdict::Foreign,
            format!("与已比对的 {} 个产品版本均不相符{zh}", tried.versions),
            format!("it comes from none of the {} versions of products that it was compared with{en}", tried.versions),
        );
    }
    let undecided = |zh: String, en: String| (TraceVerdict::Undecided, zh, en);
    if products.is_empty() {
        return undecided(
            "片段太小，无法判断其是否出自本节点；请提供更多行或列".to_owned(),
            "it is too small to tell whether it comes from here; find more rows or columns of it".to_owned(),
        );
    }
    let Some(marks) =
        products.iter().filter_map(|product| product.marks.as_ref()).max_by(|a, b| a.power.total_cmp(&b.power))
    else {
        return undecided(
            "所属产品按声明不加指纹，仅能由交付回执说明哪些订单曾取得这些行；这不构成指认".to_owned(),
            "its products are declared exact and bear no marks: the receipts say which orders had these rows, which accuses nobody"
                .to_owned(),
        );
    };
    if marks.positions == 0 {
        return undecided(
            "片段中未见带指纹的单元格；交付回执仅能说明哪些订单曾取得这些行".to_owned(),
            "no marked cell is left in it; the receipts say which orders had these rows, which accuses nobody"
                .to_owned(),
        );
    }
    match marks.needed {
        Some(times) if times > 1.0 => undecided(
            format!("指纹位置不足（{} 处），约需 {times:.1} 倍的片段才能以 99% 的把握指认", marks.positions),
            format!("it shows {} marked positions, too few; about {times:.1} times as much is needed to accuse with a power of 0.99", marks.positions),
        ),
        Some(_) => undecided(
            "指纹位置足够，但没有任何已登记的接收方达到指认界限：可能由多方合谋，或出自未登记的副本".to_owned(),
            "it shows enough marked positions and no registered recipient reaches the bound: several may have worked together, or the \
             copy is nobody's who had a key"
                .to_owned(),
        ),
        None => undecided(
            format!("指纹位置不足（{} 处），或其值已被毁坏，无法指认任何人", marks.positions),
            format!("it shows {} marked positions, and no accusation is possible by them: too few, or their values were destroyed", marks.positions),
        ),
    }
}

/// What is added to an answer where so many deliveries, or versions that were delivered, were not compared.
fn not_compared(count: u64) -> (&'static str, &'static str) {
    if count == 0 {
        return ("", "");
    }
    ("；另有部分交付无法比对，见报告", "; some deliveries could not be compared, see below")
}

/// Whether a fragment is rows of a source that no order's copy went into: it has what nobody was ever delivered, and no product
/// whose marks could be in it.
fn is_source_itself(source: &SourceTrace, products: &[ProductTrace]) -> bool {
    !source.never_delivered.is_empty()
        && source.marked.is_empty()
        && products.iter().all(|product| product.marks.is_none())
}

/// The answer where a fragment is the source itself. Of so many deliveries it is known which columns they were made of, and
/// not which rows they had.
fn of_source(source: &SourceTrace, not_comparable: u64) -> (TraceVerdict, String, String) {
    let SourceTrace { name, snapshot, never_delivered, .. } = source;
    let columns = never_delivered.join(", ");
    let (zh, en) = not_compared(not_comparable);
    (
        TraceVerdict::Undecided,
        format!(
            "这是资源“{name}”的原始数据（快照 {snapshot}），而不是任何订单的副本：其中 {columns} 从未由任何产品交付{zh}。请向持有该数据的提供方与本节点的管理者查问；这不构成指认"
        ),
        format!(
            "it is the source itself, rows of the snapshot {snapshot}, and no order's copy: nothing that was ever delivered is made of its columns {columns}{en}. Ask those who hold it, the provider and who runs this node; nobody is accused by it"
        ),
    )
}

/// What is said where a fragment has columns of a source and a copy may have gone into it all the same.
fn beside_copies(source: &SourceTrace) -> (String, String) {
    let SourceTrace { name, snapshot, never_delivered, columns_alone, .. } = source;
    let places = columns_alone.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (never_zh, never) = if never_delivered.is_empty() {
        (String::new(), String::new())
    } else {
        let columns = never_delivered.join(", ");
        (format!("（{columns} 从未由任何产品交付）"), format!(" ({columns} was never delivered by any product)"))
    };
    (
        format!(
            "其第 {places} 列是资源“{name}”快照 {snapshot} 的行{never_zh}，可能与某订单的副本拼接而成：不能排除订单的副本，也不构成指认"
        ),
        format!(
            "its columns {places} are rows of the snapshot {snapshot}{never}, which somebody may have joined to a copy: that a copy went into it is not excluded, and nobody is accused by it"
        ),
    )
}

/// What voids an answer. Of an answer that accuses more, and evidence of it is refused that does not say all of it in these words:
/// who changes one goes on reading what was written before. Where decoys support an accusation it says whose word they are.
pub(super) fn assumptions(accuses: bool, by_decoys: bool) -> Vec<Assumption> {
    let mut list = vec![(
        "比对范围为有回执的交付；未经本节点交付而流出的数据不在其中",
        "it was compared with what was delivered with receipts; what left otherwise is not in it",
    )];
    if accuses {
        list.extend([
            (
                "分组密码为伪随机函数，且密钥两半中至少一半保密",
                "the block cipher is a pseudo-random function, and one half of the keys at least was secret",
            ),
            (
                "密钥在泄露之前已承诺并写入存证日志：证据包证明承诺先于本次溯源的记录；是否先于泄露，以包内见证方当时的联署或他人留存的检查点核对",
                "the keys were committed to and the commitments logged before the leak: the evidence proves that they were before this trace was recorded; that they were before the leak show the times of witnesses in it, or checkpoints that others kept",
            ),
            (
                "解码器版本、误指上限与登记总数在检验之前已定；同一文件的各次溯源共用上限，改动过的文件未另行溯源",
                "decoder version, bound and number of registered recipients were fixed before; traces of one file share the bound, and it was not tried in a changed form besides",
            ),
            (
                "所指为“某接收方的副本”，不等于该接收方本人；副本可能被盗",
                "it is the copy of a recipient that is named, not the recipient: a copy can be stolen",
            ),
            (
                "同时持有密钥两半者可以伪造与任何人相符的副本；应以交付回执与他人留存的检查点佐证",
                "who holds both halves of the keys can make a copy that fits anybody: corroborate by receipts and by checkpoints that others kept",
            ),
        ]);
    }
    if by_decoys {
        list.push((
            "哪些行是诱饵行，日志并无记载，仅凭节点所述；应将其与节点的诱饵文件及提供方的原始数据逐行核对，凡提供方数据中有的行都不是诱饵行",
            "which rows are decoys stands in no log and is the node's word: hold each against the node's file of decoys and the provider's own data, where a row that is found is no decoy",
        ));
    }
    list.into_iter().map(|(text, text_en)| Assumption { text: text.to_owned(), text_en: text_en.to_owned() }).collect()
}
