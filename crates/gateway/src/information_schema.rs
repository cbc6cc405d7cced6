//! `information_schema`: what an order may ask for, as views that every door answers from.
//!
//! The views are made anew of the order's one table: its name, its granted columns with their types and comments, the parts of
//! its key that are granted. Nothing of another table can stand in them, since nothing of another is given to what makes
//! them. Their columns are those of the SQL standard that clients read, in PostgreSQL's words for types; comments stand in
//! `table_comment` and `column_comment`, as MySQL and DuckDB have them.
//!
//! A question that names these views and nothing else is answered by a session that holds nothing else, so it reads no
//! governed data: it leaves no receipt and costs no quota, but it takes one of the order's places and is bounded. A statement
//! that names a view and a table of data is refused: an answer of both would have rows without a receipt or a receipt of what
//! is no data.

mod views;

pub(crate) use views::{ShownTable, views};
