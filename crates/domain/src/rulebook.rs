//! The rulebook: every number of days, share, rate and threshold that a rule leaves to the place where it is applied.
//! A node adopts a version; each event records the version it was decided under. Defaults and their sources are those
//! of the project's policy notes; the operator of a node confirms them before going live.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::calendar::Calendar;
use crate::refusal::Refusal;
use crate::resource::Grade;
use crate::scope::Mode;

/// One version of the rules' parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rulebook {
    /// Name of this version.
    pub version: String,
    /// Working days a registrar has to accept or return an application (REG-26; Fujian: 3).
    pub acceptance_days: u32,
    /// Working days a registrar has to review (guide of the national platform: 20).
    pub review_days: u32,
    /// Working days of publicity (Fujian: 10).
    pub publicity_days: u32,
    /// Years a registration certificate is valid.
    pub certificate_years: i16,
    /// Working days a provider has to answer a demand.
    pub supply_days: u32,
    /// Working days a provider has to mend what a quality ticket names.
    pub ticket_days: u32,
    /// Longest term of a mandate, in years (default 5).
    pub mandate_years_max: i16,
    /// Most percentage points above the ten-year treasury yield that permitted profit may be (PRICE-65: 6).
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub profit_points_max: Decimal,
    /// The modes that a column of a grade may at most be used by (GB/T 43697-2024 in outline). A grade that is not
    /// listed is refused.
    pub grade_modes: BTreeMap<Grade, Vec<Mode>>,
    /// The cohort floor of resources with personal data.
    pub cohort_floor_personal: u32,
    /// The cohort floor of other resources.
    pub cohort_floor: u32,
    /// Whether products must be registered before they are listed.
    pub product_registration_required: bool,
    /// Working days and holidays.
    pub calendar: Calendar,
}

/// Longest validity or term that a rulebook may set, in years.
pub const YEARS_MAX: i16 = 100;

impl Rulebook {
    /// Checks the values that a date is computed from. Error: `invalid` with the field.
    pub fn check(&self) -> Result<(), Refusal> {
        let version_chars = self.version.trim().chars().count();
        if version_chars == 0 || version_chars > 60 {
            return Err(Refusal::invalid("version", "版本号为 1 至 60 个字", "a version name has 1 to 60 characters"));
        }
        for (field, years) in
            [("certificate_years", self.certificate_years), ("mandate_years_max", self.mandate_years_max)]
        {
            if !(1..=YEARS_MAX).contains(&years) {
                return Err(Refusal::invalid(
                    field,
                    format!("为 1 至 {YEARS_MAX} 年"),
                    format!("1 to {YEARS_MAX} years"),
                ));
            }
        }
        Ok(())
    }

    /// The defaults.
    pub fn initial() -> Self {
        let mut grade_modes = BTreeMap::new();
        grade_modes.insert(Grade::General1, Mode::ALL.to_vec());
        grade_modes.insert(Grade::General2, Mode::ALL.to_vec());
        grade_modes.insert(Grade::General3, Mode::IN_DOMAIN.to_vec());
        grade_modes.insert(Grade::General4, vec![Mode::Compute, Mode::Verification]);
        grade_modes.insert(Grade::Important, vec![Mode::Compute, Mode::Statistics]);
        Self {
            version: "2026-11".to_owned(),
            acceptance_days: 3,
            review_days: 20,
            publicity_days: 10,
            certificate_years: 3,
            supply_days: 5,
            ticket_days: 10,
            mandate_years_max: 5,
            profit_points_max: Decimal::from(6),
            grade_modes,
            cohort_floor_personal: 10,
            cohort_floor: 5,
            product_registration_required: true,
            calendar: Calendar::published_2026(),
        }
    }
}
