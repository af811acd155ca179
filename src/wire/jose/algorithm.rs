// SPDX-License-Identifier: Apache-2.0
//! The algorithms of signatures (RFC 7518 section 3.1, RFC 8037, RFC 9864). `none` is not among them.

macro_rules! algorithms {
    ($($Variant:ident $name:literal,)*) => {
        /// How a token is signed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Algorithm {
            $(#[doc = $name] $Variant,)*
        }

        impl Algorithm {
            /// All of them.
            pub(crate) const ALL: &'static [Algorithm] = &[$(Algorithm::$Variant,)*];

            /// Its name in a header.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Algorithm::$Variant => $name,)* }
            }
        }
    };
}

algorithms! {
    Hs256 "HS256",
    Hs384 "HS384",
    Hs512 "HS512",
    Rs256 "RS256",
    Rs384 "RS384",
    Rs512 "RS512",
    Ps256 "PS256",
    Ps384 "PS384",
    Ps512 "PS512",
    Es256 "ES256",
    Es384 "ES384",
    Es512 "ES512",
    EdDsa "EdDSA",
}

impl Algorithm {
    /// The algorithm of that name, letter by letter. `Ed25519` is the newer name of the only EdDSA that is known here.
    pub(crate) fn of(name: &str) -> Option<Algorithm> {
        if name == "Ed25519" {
            return Some(Algorithm::EdDsa);
        }
        Algorithm::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }
}

/// Some algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// All that are known.
    pub(crate) const ALL: AlgorithmSet = AlgorithmSet(u16::MAX);

    /// Is it among them?
    pub(crate) const fn has(self, algorithm: Algorithm) -> bool {
        self.0 & (1 << algorithm as u16) != 0
    }

    /// Puts one in.
    pub(crate) const fn insert(&mut self, algorithm: Algorithm) {
        self.0 |= 1 << algorithm as u16;
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(list: I) -> AlgorithmSet {
        let mut set = AlgorithmSet::default();
        list.into_iter().for_each(|algorithm| set.insert(algorithm));
        set
    }
}
