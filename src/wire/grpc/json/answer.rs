// SPDX-License-Identifier: Apache-2.0
//! The head of a response that is made here.

use std::borrow::Cow;

/// The head of a response in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonResponseHead {
    /// Its status.
    pub status: u16,
    /// Its media type.
    pub content_type: Cow<'static, str>,
}
