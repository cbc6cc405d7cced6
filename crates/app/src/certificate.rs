//! Registration certificates (登记凭证): a signed note with a code and a QR that anyone can check.

use lingqu_domain::registration::{Registration, RegistrationStage};
use lingqu_transparency::{NoteSigner, sign_note};
use serde::Serialize;

use crate::app::App;
use crate::error::AppError;

/// A certificate as anyone may see it: what publicity shows, and nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateView {
    /// 登记编码
    pub code: String,
    /// `resource` or `product`.
    pub kind: &'static str,
    /// Id of what is registered.
    pub object: String,
    /// Its name.
    pub name: String,
    /// Brief content.
    pub content: String,
    /// Name of the registering party.
    pub applicant: String,
    /// Name of the registrar.
    pub registrar: String,
    /// When it was issued, RFC 3339.
    pub issued_at: String,
    /// Until when it holds, RFC 3339.
    pub valid_until: String,
    /// Whether it holds now.
    pub valid: bool,
    /// The signed note: text and Ed25519 signature of the node.
    pub note: String,
    /// The key that verifies it.
    pub vkey: String,
}

impl App {
    /// The certificate with a code, if there is one.
    pub fn certificate(&self, code: &str) -> Result<Option<CertificateView>, AppError> {
        let now = self.clock.now();
        let found = self.read(|state| {
            state.registrations.values().map(|entity| &entity.value).find_map(|registration| {
                let RegistrationStage::Certified(certificate) = &registration.stage else { return None };
                if certificate.code != code {
                    return None;
                }
                let name = |id: &lingqu_domain::id::PartyId| {
                    state.parties.get(id).map_or_else(String::new, |party| party.value.name.clone())
                };
                let registrar = registration.registrar.as_ref().map(name).unwrap_or_default();
                Some((registration.clone(), certificate.clone(), name(&registration.applicant), registrar))
            })
        });
        let Some((registration, certificate, applicant, registrar)) = found else { return Ok(None) };
        let signer = self.log_signer()?;
        Ok(Some(CertificateView {
            code: certificate.code.clone(),
            kind: kind_of(&registration),
            object: registration.object.as_str().to_owned(),
            name: registration.name.clone(),
            content: registration.content.clone(),
            applicant,
            registrar,
            issued_at: certificate.issued_at.to_string(),
            valid_until: certificate.valid_until.to_string(),
            valid: certificate.issued_at <= now && now < certificate.valid_until,
            note: certificate_text(&registration, &signer)?,
            vkey: signer.verifier().to_string(),
        }))
    }

    /// A QR of the address at which a certificate can be checked, as SVG.
    pub fn certificate_qr(&self, address: &str) -> Result<String, AppError> {
        let code = qrcode::QrCode::new(address.as_bytes())
            .map_err(|error| AppError::Invalid(format!("the address is too long for a QR: {error}")))?;
        Ok(code.render::<qrcode::render::svg::Color<'_>>().min_dimensions(160, 160).build())
    }
}

fn kind_of(registration: &Registration) -> &'static str {
    match registration.object {
        lingqu_domain::registration::Registrable::Resource(_) => "resource",
        lingqu_domain::registration::Registrable::Product(_) => "product",
    }
}

/// The signed text of a certificate; the same registration always gives the same text. Only for certified ones.
pub(crate) fn certificate_text(registration: &Registration, signer: &NoteSigner) -> Result<String, AppError> {
    let text = certificate_body(registration)
        .ok_or_else(|| AppError::Fault(format!("{} is not certified", registration.id)))?;
    sign_note(&text, &[signer]).map_err(|error| AppError::Fault(error.to_string()))
}

/// What a certificate says, before it is signed; none where nothing was certified.
pub(crate) fn certificate_body(registration: &Registration) -> Option<String> {
    let RegistrationStage::Certified(certificate) = &registration.stage else { return None };
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(format!(
        "lingqu-certificate v1\ncode {}\nkind {}\nobject {}\nname {}\napplicant {}\nregistrar {}\nissued {}\nvalid-until {}\n",
        certificate.code,
        kind_of(registration),
        registration.object.as_str(),
        one_line(&registration.name),
        registration.applicant,
        registration.registrar.as_ref().map_or("-", |registrar| registrar.as_str()),
        certificate.issued_at,
        certificate.valid_until,
    ))
}
