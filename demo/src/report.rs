//! What the demo did, in the form that `lingqu demo --json` prints and that programs and tests rely on.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// One step of the life of data.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// From 1.
    pub number: usize,
    /// What was done, in Chinese.
    pub name: String,
    /// … in English.
    pub name_en: String,
    /// True when every part of it did what it should.
    pub ok: bool,
    /// The figures that matter.
    pub figures: BTreeMap<String, Value>,
}

/// A refusal that the demo shows on purpose.
#[derive(Clone, Debug, Serialize)]
pub struct RefusalShown {
    /// What was tried.
    pub tried: String,
    /// HTTP status.
    pub status: u16,
    /// Problem code.
    pub code: String,
    /// The problem document that the client got.
    pub problem: Value,
    /// True when it is the code that was expected.
    pub expected: bool,
}

/// A finding of the quality reports.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// The table.
    pub table: String,
    /// The columns.
    pub column: String,
    /// Rows that fail.
    pub failing: u64,
    /// Rows checked.
    pub checked: u64,
    /// What the rule demands.
    pub sentence: String,
}

/// An order and its key, so that what the demo did can be tried by hand.
#[derive(Clone, Debug, Serialize)]
pub struct OrderShown {
    /// Its id.
    pub id: String,
    /// Name of the consumer.
    pub consumer: String,
    /// Table name of the product.
    pub product: String,
    /// Modes.
    pub modes: Vec<String>,
    /// A service key of the demo.
    pub key: String,
    /// REAL or SYNTHETIC.
    pub nature: String,
}

/// The books after the settlement.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LedgerShown {
    /// Debits equal credits, in total and for every owner.
    pub balanced: bool,
    /// Totals by name, in yuan.
    pub totals: BTreeMap<String, String>,
}

/// The suspension of the mandate.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SuspensionShown {
    /// Requests answered before.
    pub requests_before: u64,
    /// Orders whose next request was refused.
    pub refused_after: u64,
    /// From the acknowledged command to the last refusal, in milliseconds.
    pub time_to_refusal_ms: f64,
    /// Orders that were answered again after resumption.
    pub answered_after_resumption: u64,
}

/// The evidence of one order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EvidenceShown {
    /// The file.
    pub file: String,
    /// True when it verified offline.
    pub verified: bool,
    /// Journal records proven.
    pub journal_records: usize,
    /// Receipt records proven.
    pub receipt_records: usize,
    /// Bytes of a copy that were changed one at a time.
    pub changes_tried: usize,
    /// … and found and named.
    pub changes_found: usize,
}

/// The leak that was traced.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TraceShown {
    /// The file that leaked.
    pub fragment: String,
    /// The evidence.
    pub evidence: String,
    /// Rows of the fragment.
    pub rows: u64,
    /// Columns of it.
    pub columns: usize,
    /// Whose copy it came from.
    pub consumer: String,
    /// The order that it was delivered under.
    pub order: String,
    /// The largest probability that anybody innocent is accused.
    pub bound: f64,
    /// What the probability that somebody innocent scores so high is below.
    pub p_value_below: String,
    /// Other consumers with marked copies.
    pub cleared: Vec<String>,
    /// True when the evidence verified offline.
    pub verified: bool,
    /// Bytes of a copy of it that were changed one at a time.
    pub changes_tried: usize,
    /// … and found.
    pub changes_found: usize,
}

/// What the neighbour witnessed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WitnessShown {
    /// Entries of the checkpoint that it cosigned.
    pub log_size: u64,
    /// Of how many logs: the one over SHA-256, and its twin over SM3.
    pub cosigned_logs: usize,
    /// True when it refused a rewritten one.
    pub rewriting_refused: bool,
    /// The proof that it keeps of that.
    pub proof: String,
}

/// A login of the demo.
#[derive(Clone, Debug, Serialize)]
pub struct LoginShown {
    /// What to type.
    pub login: String,
    /// The password.
    pub password: String,
    /// The party he acts for.
    pub party: String,
    /// His posts.
    pub duties: Vec<String>,
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DemoReport {
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Refusals shown on purpose.
    pub refusals: Vec<RefusalShown>,
    /// Findings of the quality reports.
    pub quality: Vec<Finding>,
    /// Orders.
    pub orders: Vec<OrderShown>,
    /// The books.
    pub ledger: LedgerShown,
    /// The suspension.
    pub suspension: SuspensionShown,
    /// The evidence.
    pub evidence: EvidenceShown,
    /// The leak.
    pub trace: TraceShown,
    /// The neighbour's word.
    pub witness: WitnessShown,
    /// Logins for the console.
    pub logins: Vec<LoginShown>,
}

impl DemoReport {
    /// True when every step, refusal and check came out as it should.
    pub fn is_good(&self) -> bool {
        self.steps.iter().all(|step| step.ok)
            && self.refusals.iter().all(|refusal| refusal.expected)
            && self.ledger.balanced
            && self.evidence.verified
            && self.evidence.changes_tried == self.evidence.changes_found
            && self.trace.verified
            && self.witness.rewriting_refused
            && self.trace.changes_tried == self.trace.changes_found
    }
}
