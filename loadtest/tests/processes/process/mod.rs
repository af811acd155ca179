// SPDX-License-Identifier: Apache-2.0
//! The process: command line, reloads, its end and its successor, what it tells of itself.

mod admin_api;
mod command_line;
mod config_tests;
mod control_plane;
mod documents;
mod limits;
mod logs_and_metrics;
mod reload;
mod service;
mod stop_and_upgrade;
mod store;
mod trace;
mod usage;
