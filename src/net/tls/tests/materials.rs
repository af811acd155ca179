// SPDX-License-Identifier: Apache-2.0
//! Files with certificates and keys, right and wrong.

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::proptest;

use super::*;

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn certificates_are_read_from_pem_and_der() {
    let authority = Authority::new();
    let own = authority.server(&["Example.org", "*.example.org"]);
    let chain = format!("# ours\n{}{}", pem("CERTIFICATE", &own.chain[0]), pem("CERTIFICATE", &authority.root()));
    assert_eq!(certificates(chain.as_bytes()).unwrap(), [own.chain[0].clone(), authority.root()]);
    assert_eq!(certificates(&own.chain[0]).unwrap(), own.chain);
    let facts = certificate_facts(&own.chain[0]).unwrap();
    assert_eq!(facts.names, ["example.org", "*.example.org"]);
    assert_eq!((facts.subject.as_str(), facts.issuer.contains("Test Authority")), ("CN=server", true));
    assert!(facts.not_before < facts.not_after);
}

#[test]
fn keys_are_read_from_pem_and_der() {
    let own = Authority::new().server(&["localhost"]);
    let text = pem("PRIVATE KEY", own.key.secret_der());
    assert_eq!(private_key(text.as_bytes()).unwrap(), own.key);
    assert_eq!(private_key(own.key.secret_der()).unwrap(), own.key);
    let both = format!("{}{text}", pem("CERTIFICATE", &own.chain[0]));
    assert_eq!(private_key(both.as_bytes()).unwrap(), own.key);
}

#[test]
fn errors_say_what_is_wrong() {
    let authority = Authority::new();
    let (own, other) = (authority.server(&["localhost"]), authority.server(&["localhost"]));
    let key_only = pem("PRIVATE KEY", own.key.secret_der());
    let chain_only = pem("CERTIFICATE", &own.chain[0]);
    assert_eq!(certificates(b""), Err(MaterialError::NoCertificate));
    assert_eq!(certificates(b"not a certificate"), Err(MaterialError::NoCertificate));
    assert_eq!(certificates(key_only.as_bytes()), Err(MaterialError::NoCertificate));
    assert_eq!(private_key(chain_only.as_bytes()), Err(MaterialError::NoKey));
    assert_eq!(private_key(b"junk"), Err(MaterialError::NoKey));
    assert_eq!(private_key(pem("ENCRYPTED PRIVATE KEY", b"x").as_bytes()), Err(MaterialError::EncryptedKey));
    let cut = &chain_only[..chain_only.len() / 2];
    assert!(matches!(certificates(cut.as_bytes()), Err(MaterialError::NotPem(_))));
    let broken = pem("CERTIFICATE", &own.chain[0][..100]);
    assert!(matches!(certificates(broken.as_bytes()), Err(MaterialError::BadCertificate(_))));

    let refuses = |change: &dyn Fn(&mut ServerMaterial)| {
        let mut material = server_of(vec![authority.server(&["localhost"])]);
        change(&mut material);
        server_config(&material).unwrap_err()
    };
    assert_eq!(refuses(&|material| material.certificates[0].key = other.key.clone_key()), MaterialError::KeyMismatch);
    assert_eq!(refuses(&|material| material.certificates[0].chain.clear()), MaterialError::NoCertificate);
    assert_eq!(refuses(&|material| material.certificates.clear()), MaterialError::NoCertificate);
    assert_eq!(refuses(&|material| material.default = Some(1)), MaterialError::BadDefault);
    let bad_name = |material: &mut ServerMaterial| material.certificates[0].names = vec!["a b".to_owned()];
    assert_eq!(refuses(&bad_name), MaterialError::BadName("a b".to_owned()));
    assert_eq!(refuses(&|material| material.client_auth = ClientAuth::Required(Vec::new())), MaterialError::NoRoots);
    let nameless = |material: &mut ServerMaterial| {
        material.certificates = vec![authority.server(&[])];
        material.default = None;
    };
    assert_eq!(refuses(&nameless), MaterialError::NoNames);
    let no_key = |material: &mut ServerMaterial| {
        material.certificates[0].key = PrivatePkcs8KeyDer::from(b"junk".to_vec()).into();
    };
    assert!(matches!(refuses(&no_key), MaterialError::BadKey(_)));

    let mut client = client_of(&authority);
    client.certificate = Some(Certificate { names: Vec::new(), chain: own.chain.clone(), key: other.key.clone_key() });
    assert_eq!(client_config(&client).unwrap_err(), MaterialError::KeyMismatch);
    assert_eq!(server_name("a b"), Err(MaterialError::BadName("a b".to_owned())));
}

#[test]
fn the_certificate_fits_what_the_client_can_verify() {
    use rustls::server::ResolvesServerCert;

    let authority = Authority::new();
    let material = server_of(vec![authority.server(&["localhost"])]);
    let config = server_config(&material).unwrap();
    // The resolver is the one of names; `only_raw_public_keys` is its default answer.
    assert!(!ResolvesServerCert::only_raw_public_keys(&*config.cert_resolver));
}

#[test]
fn a_connection_is_for_the_hosts_of_its_certificate() {
    let authority = Authority::new();
    let mut given = authority.server(&["given.test", "also.test"]);
    given.names = vec!["given.test".to_owned()];
    let certificates = [
        authority.server(&["first.test"]),
        authority.server(&["one.test", "two.test", "*.three.test"]),
        authority.server(&["x.three.test"]),
        given,
        authority.server(&["also.test"]),
    ];
    let names = CertificateNames::new(&certificates, Some(0)).unwrap();
    for (server_name, host, covered) in [
        (Some("one.test"), "two.test", true),
        (Some("one.test"), "two.test.", true),
        (Some("one.test"), "a.three.test", true),
        (Some("one.test"), "a.b.three.test", false),
        // It has a certificate of its own, but a wildcard of the one that was shown is valid as well.
        (Some("one.test"), "x.three.test", true),
        (Some("x.three.test"), "a.three.test", false),
        (Some("one.test"), "first.test", false),
        (Some("first.test"), "one.test", false),
        // Neither has a certificate: the default is the one of both.
        (Some("other.test"), "first.test", true),
        (Some("first.test"), "other.test", true),
        (Some("one.test"), "other.test", false),
        (None, "first.test", true),
        (None, "other.test", true),
        (None, "127.0.0.1", true),
        (None, "one.test", false),
        // Shown for one name only, but valid for both.
        (Some("given.test"), "also.test", true),
        (Some("also.test"), "given.test", false),
        (Some("one.test"), "", false),
    ] {
        assert_eq!(names.cover(server_name, host.as_bytes()), covered, "{server_name:?} {host}");
    }
    assert!(!names.cover(Some("one.test"), b"\xff"));
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(bytes in vec(any::<u8>(), 0..300), at in 0..400_usize, byte in any::<u8>()) {
        let _ = certificates(&bytes);
        let _ = private_key(&bytes);
        let own = Authority::new().server(&["localhost"]);
        let mut bent = own.chain[0].to_vec();
        let place = at % bent.len();
        bent[place] = byte;
        let _ = certificate_facts(&CertificateDer::from(bent.clone()));
        let _ = certificates(pem("CERTIFICATE", &bent).as_bytes());
    }
}
