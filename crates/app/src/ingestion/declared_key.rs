//! Whether a key that is declared to say whose a row is (`key_names_subject`) does: no two rows have the same. Products are joined
//! by it on the word of the resource's entry, and rows of two persons under one number would go out with the consent of one of
//! them (decision 0075).

use std::sync::Arc;

use lingqu_domain::refusal::Refusal;
use lingqu_domain::resource::Resource;
use lingqu_engine::Limits;
use lingqu_quality::{Demand, Dimension, Rule, RuleSet, Severity};

use crate::{App, AppError};

impl App {
    /// Error: `invalid` when rows of a version share a key that is declared so.
    pub(super) async fn must_name_subjects(&self, resource: &Resource, version: u64) -> Result<(), AppError> {
        let details = &resource.details;
        if !details.key_names_subject {
            return Ok(());
        }
        let files = self.snapshots.version(resource.id.as_str(), version).await?.files;
        let table = details.table.to_string();
        let rule = Rule {
            id: "key_names_subject".to_owned(),
            dimension: Dimension::Accurate,
            table: table.clone(),
            columns: details.key.clone(),
            severity: Severity::High,
            opens_ticket: false,
            sentence: "主键指明主体，不得重复".to_owned(),
            sentence_en: "the key says whose a row is and does not repeat".to_owned(),
            demand: Demand::Unique,
            only_where: Vec::new(),
        };
        let rules = RuleSet { name: "key".to_owned(), version: "1".to_owned(), rules: vec![rule] };
        let tables = [(table.as_str(), Arc::clone(&files))];
        let now = self.clock.now();
        let report = lingqu_quality::run(&self.engine, &tables, Limits::default(), &rules, now, &mut |_| ()).await?;
        let repeated: u64 = report.findings.iter().map(|finding| finding.failing_count).sum();
        if repeated == 0 {
            return Ok(());
        }
        Err(Refusal::invalid(
            "key",
            format!("主键声明为指明主体，但有 {repeated} 行与他行主键相同；请更正源数据后再次提交"),
            format!(
                "the key is declared to say whose a row is, and {repeated} rows share theirs with another; mend the source and submit \
                 it again"
            ),
        )
        .into())
    }
}
