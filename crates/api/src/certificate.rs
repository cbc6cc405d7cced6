//! Certificates, checked by anybody: a page to read and a JSON document to verify, at the address that the certificate's
//! QR code holds.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use lingqu_app::CertificateView;
use lingqu_domain::calendar::day_of;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::ProblemDocument;
use crate::{Api, Shared};

/// A certificate as anyone may see it: what publicity shows, and nothing more.
#[derive(Serialize, ToSchema)]
pub(crate) struct PublicCertificate {
    /// 登记编码
    code: String,
    /// `resource` or `product`.
    kind: String,
    /// Id of what is registered.
    object: String,
    /// Its name.
    name: String,
    /// Brief content.
    content: String,
    /// Name of the registering party.
    applicant: String,
    /// Name of the registrar.
    registrar: String,
    /// When it was issued, RFC 3339.
    issued_at: String,
    /// Until when it holds, RFC 3339.
    valid_until: String,
    /// Whether it holds now.
    valid: bool,
    /// The signed note: text and Ed25519 signature of the node (C2SP signed-note).
    note: String,
    /// The key that verifies it.
    vkey: String,
}

/// A certificate, without login.
#[utoipa::path(get, path = "/public/certificates/{code}/certificate.json", operation_id = "public_certificate", tag = "public",
    params(("code" = String, Path, description = "登记编码")),
    responses((status = 200, body = PublicCertificate), (status = 404, body = ProblemDocument)))]
pub(crate) async fn json(
    State(api): Shared,
    Path(code): Path<String>,
) -> Result<Json<PublicCertificate>, ProblemDocument> {
    let found = find(&api, &code).await?.ok_or_else(|| ProblemDocument::not_found(&code))?;
    let CertificateView { code, kind, object, name, content, applicant, registrar, issued_at, valid_until, .. } = found;
    let (valid, note, vkey) = (found.valid, found.note, found.vkey);
    let kind = kind.to_owned();
    Ok(Json(PublicCertificate {
        code,
        kind,
        object,
        name,
        content,
        applicant,
        registrar,
        issued_at,
        valid_until,
        valid,
        note,
        vkey,
    }))
}

/// The page of a certificate: needs no login, no script and nothing from elsewhere, and prints well.
pub(crate) async fn page(
    State(api): Shared,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ProblemDocument> {
    let Some(found) = find(&api, &code).await? else {
        let body = frame(
            "没有此证书 No such certificate",
            &format!(
                "<h1>没有此登记凭证</h1><p>登记编码 <code>{}</code> 不存在，请核对。</p>\
             <p lang=\"en\">There is no certificate with this code; check it.</p>",
                escape(&code.chars().take(80).collect::<String>())
            ),
        );
        return Ok((StatusCode::NOT_FOUND, html_headers(), body).into_response());
    };
    let qr = api.app.certificate_qr(&address(&api, &headers, &found.code))?;
    Ok((html_headers(), describe(&found, &qr)).into_response())
}

async fn find(api: &Api, code: &str) -> Result<Option<CertificateView>, ProblemDocument> {
    api.app.refresh().await?;
    Ok(api.app.certificate(code)?)
}

/// Where the certificate can be checked: under the node's public address if one is set, else under the address that the
/// reader came by.
fn address(api: &Api, headers: &HeaderMap, code: &str) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if api.settings.secure_cookies { "https" } else { "http" };
    let base = api.settings.public_url.clone().unwrap_or_else(|| format!("{scheme}://{host}"));
    format!("{}/public/certificates/{code}", base.trim_end_matches('/'))
}

fn describe(found: &CertificateView, qr: &str) -> String {
    let (kind, kind_en) = match found.kind {
        "product" => ("公共数据产品和服务登记", "registration of a public data product"),
        _ => ("公共数据资源登记", "registration of a public data resource"),
    };
    let (mark, validity, validity_en) = if found.valid {
        ("valid", "✔ 有效", "valid")
    } else {
        ("expired", "✘ 不在有效期内", "not valid now")
    };
    let rows = [
        ("登记编码", "code", format!("<code>{}</code>", escape(&found.code))),
        ("名称", "name", escape(&found.name)),
        ("内容", "content", escape(&found.content)),
        ("登记主体", "registering party", escape(&found.applicant)),
        ("登记机构", "registrar", escape(&found.registrar)),
        ("登记对象", "object", format!("<code>{}</code>", escape(&found.object))),
        ("发证日期", "issued", day(&found.issued_at)),
        ("有效期至", "valid until", day(&found.valid_until)),
    ];
    let mut table = String::new();
    for (label, label_en, value) in rows {
        table.push_str(&format!("<tr><th>{label}<small lang=\"en\">{label_en}</small></th><td>{value}</td></tr>"));
    }
    // The QR image is drawn by the node itself; its XML declaration does not belong inside a page.
    let qr = qr.find("<svg").map_or("", |start| &qr[start..]);
    frame(
        &format!("登记凭证 {}", found.code),
        &format!(
            "<h1>登记凭证</h1><p class=\"kind\">{kind}<br><small lang=\"en\">Certificate: {kind_en}</small></p>\
             <p class=\"{mark}\"><strong>{validity}</strong> <span lang=\"en\">{validity_en}</span></p>\
             <div class=\"sheet\"><table>{table}</table>\
             <figure>{qr}<figcaption>扫码核验 <span lang=\"en\">scan to check</span></figcaption></figure></div>\
             <details><summary>数字签名 <span lang=\"en\">digital signature (Ed25519, C2SP signed note)</span></summary>\
             <pre>{}</pre><p>验证公钥 <span lang=\"en\">verifier key</span> <code>{}</code></p>\
             <p><a href=\"/public/certificates/{}/certificate.json\">JSON</a></p></details>",
            escape(&found.note),
            escape(&found.vkey),
            escape(&found.code),
        ),
    )
}

const STYLE: &str = "body{font-family:\"PingFang SC\",\"Microsoft YaHei\",\"Noto Sans CJK SC\",sans-serif;max-width:52rem;\
     margin:2rem auto;padding:0 1rem;color:#1f1f1f;line-height:1.6}h1{letter-spacing:.3em;text-align:center;color:#a8071a}\
     .kind{text-align:center}.sheet{display:flex;margin-bottom:1rem;flex-wrap:wrap;gap:2rem;border:3px double #a8071a;padding:1.5rem}\
     table{flex:1;min-width:18rem;border-collapse:collapse}th{text-align:left;width:9rem;padding:.4rem;vertical-align:top;\
     font-weight:600}th small{display:block;font-weight:400;color:#595959}td{padding:.4rem;overflow-wrap:anywhere}\
     figure{margin:0;text-align:center}.valid{color:#237804;text-align:center}.expired{color:#a8071a;text-align:center}\
     pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f5f5f5;padding:1rem}code{overflow-wrap:anywhere}\
     @media print{details{display:none}}";

fn frame(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{} · 灵渠</title>\
         <style>{STYLE}</style></head><body><main>{body}</main></body></html>",
        escape(title)
    )
}

fn html_headers() -> [(header::HeaderName, HeaderValue); 2] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]
}

/// The civil day in Beijing, as official documents write it.
fn day(moment: &str) -> String {
    match moment.parse::<Timestamp>() {
        Ok(moment) => {
            let date = day_of(moment);
            format!("{}年{}月{}日", date.year(), date.month(), date.day())
        }
        Err(_) => escape(moment),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> CertificateView {
        CertificateView {
            code: "450000-ZY-2026-000001".to_owned(),
            kind: "resource",
            object: "res_0".to_owned(),
            name: "<script>alert('一')</script>".to_owned(),
            content: "航班 & 天气".to_owned(),
            applicant: "某厅".to_owned(),
            registrar: "某中心".to_owned(),
            issued_at: "2026-11-20T16:30:00Z".to_owned(),
            valid_until: "2029-11-20T16:30:00Z".to_owned(),
            valid: true,
            note: "note".to_owned(),
            vkey: "key".to_owned(),
        }
    }

    #[test]
    fn what_people_wrote_is_shown_and_never_run() {
        let page = describe(&view(), "<?xml version=\"1.0\"?><svg></svg>");
        assert!(page.contains("&lt;script&gt;alert(&#39;一&#39;)&lt;/script&gt;"));
        assert!(!page.contains("<script"));
        assert!(!page.contains("<?xml"));
    }

    #[test]
    fn days_are_those_of_beijing() {
        // 16:30 in Greenwich is half past midnight of the next day in Beijing.
        assert!(describe(&view(), "<svg></svg>").contains("2026年11月21日"));
    }

    #[test]
    fn an_expired_certificate_says_so() {
        let page = describe(&CertificateView { valid: false, ..view() }, "<svg></svg>");
        assert!(page.contains("不在有效期内") && !page.contains("✔"));
    }
}
