//! Documents for people: a report in Chinese as PDF, from plain values.
//!
//! This room is for laying out text; it does not know what a record means, where a font lies or who may read it. It performs
//! no I/O: the font's bytes come in, the file's bytes go out.
