//! Certificates, checked by anybody: a page to read and a JSON document to verify, at the address that the certificate's
//! QR code holds.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::problem::ProblemDocument;
