//! What happens when the machine or its operator fails: the process is killed at any moment, the disk is full, the
//! directory can't be written, a port is taken, a file is damaged. Every test runs the real binary.

mod check;
mod confined;
mod damage;
mod full_disk;
mod heads;
mod ingest;
mod kill;
mod load;
mod noised;
mod prepared;
mod quota;
mod replicas;
mod start;
mod tables;
