// SPDX-License-Identifier: Apache-2.0
//! The path of a request on one screen (`path`), its policies, and the actions that forward nothing.

mod alternatives;
pub(crate) mod echo;
mod find;
pub(crate) mod path;
pub(crate) mod policies;
pub(crate) mod prepare;
pub(crate) mod redirect;
pub(crate) mod trace;
