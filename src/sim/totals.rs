// SPDX-License-Identifier: Apache-2.0
//! Counts of a run, to read and to check that each feature was exercised.

use std::collections::BTreeMap;
use std::fmt;

use crate::sim::{grpc, websocket};

/// Counts of a run, to read and to check that each feature was exercised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Exchanges begun by clients.
    pub exchanges: u64,
    /// Times that a request reached an origin.
    pub attempts: u64,
    /// Exchanges by how they ended.
    pub answered: u64,
    /// With the gateway's own response.
    pub refused: u64,
    /// With a broken connection.
    pub broken: u64,
    /// Never begun by the gateway.
    pub unserved: u64,
    /// Streams that an origin refused.
    pub refusals_of_origins: u64,
    /// Responses by HTTP version: of the client, then of the origin.
    pub answered_by: [[u64; 2]; 2],
    /// Those of them whose content came in a coding.
    pub coded_by: [[u64; 2]; 2],
    /// Cancelled by the client.
    pub given_up: u64,
    /// Body bytes that arrived anywhere.
    pub bytes: u64,
    /// The gateway's own answers by status.
    pub refusals: BTreeMap<u16, u64>,
    /// WebSockets.
    pub talks: websocket::Counts,
    /// gRPC calls.
    pub calls: grpc::Counts,
    /// Hostile clients that the gateway disconnected, by attack.
    pub harms: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// Adds another run's.
    pub fn add(&mut self, other: &Totals) {
        self.exchanges += other.exchanges;
        self.attempts += other.attempts;
        self.answered += other.answered;
        self.refused += other.refused;
        self.broken += other.broken;
        self.unserved += other.unserved;
        self.refusals_of_origins += other.refusals_of_origins;
        for (client, others) in other.answered_by.iter().enumerate() {
            for (origin, count) in others.iter().enumerate() {
                self.answered_by[client][origin] += count;
                self.coded_by[client][origin] += other.coded_by[client][origin];
            }
        }
        self.given_up += other.given_up;
        self.bytes += other.bytes;
        for (status, count) in &other.refusals {
            *self.refusals.entry(*status).or_default() += count;
        }
        self.talks.add(&other.talks);
        self.calls.add(&other.calls);
        for (harm, count) in &other.harms {
            *self.harms.entry(harm).or_default() += count;
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { exchanges, attempts, answered, refused, broken, unserved, given_up, bytes, refusals, .. } = self;
        let [[one_one, one_two], [two_one, two_two]] = self.answered_by;
        write!(out, "{exchanges} exchanges, {attempts} attempts at origins: {answered} answered ")?;
        write!(
            out,
            "(1 to 1: {one_one}, 1 to 2: {one_two}, 2 to 1: {two_one}, 2 to 2: {two_two}; compressed {:?}), \
             {refused} refused ",
            self.coded_by
        )?;
        write!(out, "{refusals:?}, {broken} broken, {unserved} unserved, {given_up} given up; ")?;
        write!(
            out,
            "{} streams refused by origins; {bytes} body bytes\n{}\n{}\nhostile clients {:?}",
            self.refusals_of_origins, self.talks, self.calls, self.harms
        )
    }
}
