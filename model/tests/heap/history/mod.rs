//! The history checker: right histories pass, each kind of anomaly is found every time, and the engine's own histories pass.

mod anomalies;
mod generate;
mod recorded;
mod replay;
