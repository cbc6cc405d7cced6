//! `lingqu openapi`: the API document, from which the console's client is made.

use crate::failure::Failure;
use crate::output;

/// Print the OpenAPI 3.1 document of the control plane
#[derive(Debug, clap::Args)]
pub struct OpenapiArguments {}

/// Prints the document. Opens no node.
pub fn run(_arguments: OpenapiArguments) -> Result<(), Failure> {
    output::print(&lingqu_api::openapi_json())
}
