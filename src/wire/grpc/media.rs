// SPDX-License-Identifier: Apache-2.0
//! Hot. Which kind of gRPC a `content-type` names, and the name of the same payload in another kind.

use crate::base::ascii::is_name;

/// A kind of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/grpc`: HTTP/2 with trailers.
    Grpc,
    /// `application/grpc-web`: trailers as the body's last frame.
    Web,
    /// `application/grpc-web-text`: the same in base64.
    WebText,
}

impl Media {
    /// The kind that a `content-type` names; `None` for anything else.
    pub(crate) fn of(content_type: &[u8]) -> Option<Media> {
        let (name, _) = split(content_type);
        [Media::WebText, Media::Web, Media::Grpc].into_iter().find(|media| is_name(name, media.name().as_bytes()))
    }

    /// Its name without the payload's.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Media::Grpc => "application/grpc",
            Media::Web => "application/grpc-web",
            Media::WebText => "application/grpc-web-text",
        }
    }

    /// Appends this kind's `content-type` for the payload that another kind's names (`+proto`, `+json`, ...).
    pub(crate) fn write(self, content_type: &[u8], out: &mut Vec<u8>) {
        let (_, payload) = split(content_type);
        out.extend_from_slice(self.name().as_bytes());
        out.extend_from_slice(payload);
    }
}

/// A media type's name before its suffix, and the suffix with its `+`. Parameters are left out.
fn split(content_type: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    let media_type = content_type[..end].trim_ascii();
    media_type.split_at(memchr::memchr(b'+', media_type).unwrap_or(media_type.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (content_type, media) in [
            ("application/grpc", Some(Media::Grpc)),
            ("Application/gRPC+proto", Some(Media::Grpc)),
            ("application/grpc+json; charset=utf-8", Some(Media::Grpc)),
            ("application/grpc ;x", Some(Media::Grpc)),
            ("application/grpc-web", Some(Media::Web)),
            ("application/grpc-web+proto", Some(Media::Web)),
            ("application/grpc-web-text+proto", Some(Media::WebText)),
            ("application/grpc-web-texture", None),
            ("application/grpcx", None),
            ("application/json", None),
            ("text/application/grpc", None),
            ("", None),
        ] {
            assert_eq!(Media::of(content_type.as_bytes()), media, "{content_type}");
        }
    }

    #[test]
    fn names_of_the_same_payload() {
        let name = |media: Media, from: &str| {
            let mut out = Vec::new();
            media.write(from.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(name(Media::Grpc, "application/grpc-web-text+proto"), "application/grpc+proto");
        assert_eq!(name(Media::WebText, "application/grpc"), "application/grpc-web-text");
        assert_eq!(name(Media::Web, "application/grpc+json;a=b"), "application/grpc-web+json");
    }
}
