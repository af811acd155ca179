// SPDX-License-Identifier: Apache-2.0
//! Random bytes for what must not be guessed.

/// The machine has no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRandomness;

/// Random bytes. Without them nothing is made that must not be guessed.
pub(crate) fn random<const COUNT: usize>() -> Result<[u8; COUNT], NoRandomness> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
