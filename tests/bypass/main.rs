//! The bypass suite: what a consumer might try to see more than was granted, over every door of the data plane.
//!
//! The table [`TRIP_GUARDED`](lingqu_tests::scenario::TRIP_GUARDED) has hidden rows in its files (every line but `L1`), a
//! masked column (`vehicle`), a coarsened one (`day`) and a column that is not granted (`note`). Each attempt of
//! [`attempts`] is a statement; each of [`requests`] a request of HTTP. Everything that comes back, headers and errors
//! included, is searched for the secrets: no word of them may appear, whether the attempt is answered or refused. What an
//! attempt is answered with is compared with what the visible rows alone lead to, so that neither a count nor the presence
//! of an error tells of the hidden ones. A refusal has at each door ([`doors`]) the code and the status that it is known by,
//! and leaves neither a receipt nor a debit behind: nothing was done before it. Nothing was read either: a statement that is to be
//! refused is put while the data files are not there.
//!
//! Beside statements and requests: statistics, exact and noised, whose answers could be taken from one another ([`statistics`],
//! [`noised`]), copies whose rows do not all exist ([`decoyed`]), what passes a limit ([`limits`]), what Delta Sharing shares
//! and hints ([`sharing`]), what the metadata of files tells ([`files`]), what psql shows of the catalogue ([`catalogue`]),
//! whose comments come along with it ([`meanings`]), what was prepared before the right was taken away ([`revoked`]), and
//! what a broken source file tells ([`sources`]).

mod attempts;
mod catalogue;
#[path = "../interop/clients.rs"]
mod clients;
mod decoyed;
mod doors;
mod files;
mod limits;
mod meanings;
mod noised;
mod requests;
mod revoked;
mod served;
mod sharing;
mod sources;
mod statements;
mod statistics;
