//! The OpenAPI document: what the handlers say of themselves, with title, security and tags added.

use lingqu_domain::predicate::{Comparison, Literal};
use lingqu_domain::scope::{Precision, Precisions};
use utoipa::ToSchema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, OpenApi, SecurityRequirement};

/// Tags, in the order they are shown.
const TAGS: [(&str, &str); 12] = [
    ("session", "登录 Signing in"),
    ("commands", "办理 Changing something: commands, uploads, users"),
    ("consents", "个人授权 Consents that persons give, narrow and withdraw before a consent agent"),
    ("subjects", "我的数据去向 Where a person's data went"),
    ("lists", "台账 Every entity, by page and by id"),
    ("market", "数据产品超市 Listed products and what they offer"),
    ("orders", "订单 Journey, receipts, evidence, service keys"),
    ("ledger", "账簿 Settlements, postings, trial balance"),
    ("oversight", "监督 The journal"),
    ("node", "节点 The node"),
    ("public", "公开 Without login"),
    ("problem", "问题 Problem documents (RFC 9457)"),
];

/// Adds what no single handler says.
pub(crate) fn complete(document: &mut OpenApi) {
    document.info = InfoBuilder::new()
        .title("Lingqu 灵渠 control plane")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "公共数据授权运营平台的控制面。The control plane of authorised operation of public data. A session's cookie says who \
             asks; a change repeats the session's token in X-CSRF-Token and names an Idempotency-Key. What is refused is a \
             problem document (application/problem+json, RFC 9457) with a stable code and a sentence in Chinese and English. \
             Whoever may not know of an entity is answered 404, as if there were none, by reading and by commands. A body has at \
             most 1 MiB (an upload 2 GiB) and arrives within 30 seconds (an upload: each piece), else 413 or 408. Any address \
             may answer 503 with Retry-After: `behind` and `busy` pass in a moment, `storage_unavailable` when the operator has \
             mended the node's storage; send the request again then, a change with the same Idempotency-Key.",
        ))
        .build();
    document.tags =
        Some(TAGS.iter().map(|(name, text)| TagBuilder::new().name(*name).description(Some(*text)).build()).collect());
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            crate::session::COOKIE,
            "set by POST /api/v1/session",
        ))),
    );
    components.add_security_scheme(
        "csrf",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            crate::session::CSRF_HEADER,
            "the session's `csrf`, repeated by every change",
        ))),
    );
    // Types that are named only by schemas written by hand, where nothing collects them.
    name_schema::<Precisions>(components);
    name_schema::<Precision>(components);
    name_schema::<Literal>(components);
    name_schema::<Comparison>(components);
    let both = SecurityRequirement::new("session", Vec::<String>::new()).add("csrf", Vec::<String>::new());
    document.security = Some(vec![both]);
}

fn name_schema<T: ToSchema>(components: &mut Components) {
    components.schemas.insert(T::name().into_owned(), T::schema());
}

/// The document as text.
pub(crate) fn text(document: &OpenApi) -> String {
    let mut text = document.to_pretty_json().expect("the document holds only strings, lists and maps with string keys");
    text.push('\n');
    text
}
