//! The protocols of the data plane, each used through a client that others wrote: pip's ADBC driver of Arrow Flight SQL,
//! `delta-sharing`, psycopg, and Debian's psql and PostgreSQL JDBC driver. A node plays a part of the demo, serves it from
//! the real binary, and the client's own script beside this file says what it got.

mod catalogue;
mod clients;
mod document;
mod doors;
mod erased;
mod evidence;
mod flight;
mod foreign;
mod generated;
mod gone;
mod live;
mod marked;
mod node;
mod objects;
mod openlineage;
mod postgres;
mod proposed;
mod sharing;
mod tls;
mod traced;
