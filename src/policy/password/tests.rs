// SPDX-License-Identifier: Apache-2.0
//! Tests of `password`: hashes that crypt(3), `openssl passwd`, argon2's own library and Kong's formula made.

use super::*;

const SESAME: &str = "Open: sesame 9+72 bytes long because bcrypt looks at the first 72 bytes only!";

/// Passwords and their hashes.
const FITTING: &[(&str, &str)] = &[
    ("password", "$apr1$r31.....$ARC3pREO82RIm0aQ2zszC0"),
    ("password", "$5$saltstring$OH4IDuTlsuTYPdED1gsuiRMyTAwNlRWyA6Xr3I4/dQ5"),
    (
        "password",
        "$6$saltstringsalt16$0R1lY.6xsXL5/SnYD/CthxusI8vyOxCgJSxMSsnFRU7/dZlwotOAtM9Ql.67uGlvGItWbBHzF7qYy.Qn9vFdA0",
    ),
    ("password", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="),
    ("password", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.aDV7CQarKHMuNfh2oJkFzsHZya4whFe"),
    ("password", "$2y$04$abcdefghijklmnopqrstuughE8Ev8uGFaUgY2cNEySvxngrb/Jzdm"),
    ("password", "$2a$06$DCq7YPn5Rq63x1Lad4cll.kD3zZ845LsvMekyowTQk2VNmbDdQsWO"),
    ("password", "$5$rounds=1400$anotherlongsalts$87EGYaZ5e.A4qxHNIAtpTOXMHgQkTK7HhX2JU8P.n.A"),
    ("password", "$kong-sha1$0b9c9b9e-consumer$0fb2576760ab61d7c60bbab92b8077bd9d61da34"),
    ("password", "$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$CKGe5/bX9YnCq2rxjW5yQXKxn31v1GKzhDCrMc6r6vA"),
    ("password", "$argon2i$v=19$m=256,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$U+VJCRfl5dTcQbjBkh9ILQ"),
    ("pässwörd", "$apr1$r31.....$CnMBtjJHTKsiwi5FN79xp0"),
    ("pässwörd", "$5$saltstring$bWOoCRTKNT.aiY/gJjvk1HjBYuRpcYQmcc5hqf6H4T4"),
    ("pässwörd", "{SHA}9Rfd8dMqES/xrVXGbRsSyzjn6Pc="),
    ("pässwörd", "$2y$04$abcdefghijklmnopqrstuuyx2n0Zzopyr9QuYTMCfOJJOj526QVoC"),
    ("pässwörd", "$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$6DcnUg7MUx57XuG3wBGLtKRPKwgDalzs+n/FFxz6U/U"),
    (SESAME, "$apr1$r31.....$BVFVxzxfqI6f8BlJkdHNy/"),
    (SESAME, "$5$saltstring$fzsdEW2PAdj5w.4QS1zQdJslDYLP9MlQXhTaZJqNbe6"),
    (
        SESAME,
        "$6$rounds=10000$saltstringsaltst$vZ.asiLzc8chrfUFqytH9W.A9ryZMAUnT9hKyOkDhx0vC4tnWrujw4EhwAyOOv4RarEZQ.Qlf6ogs\
         FM9wjbhF/",
    ),
    (SESAME, "$2b$05$CCCCCCCCCCCCCCCCCCCCC.ma1xpYK1kve7uLTTaTVfGv3hlYVK.56"),
    (SESAME, "$kong-sha1$0b9c9b9e-consumer$04e36dfa51a3253ce850b0fb70933ecf768be10f"),
];

#[test]
fn what_others_hashed_fits() {
    for (password, text) in FITTING {
        let hash = PasswordHash::parse(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        assert_eq!(hash.verify(password.as_bytes()), Verdict::Fits, "{text}");
        for wrong in ["", "Password", "password ", &password[1..]] {
            assert_eq!(hash.verify(wrong.as_bytes()), Verdict::Differs, "{text} {wrong}");
        }
        assert!(!format!("{hash:?}").contains('$'), "a hash is not shown");
    }
}

#[test]
fn bcrypt_looks_at_72_bytes_as_everywhere() {
    let hash = PasswordHash::parse("$2b$05$CCCCCCCCCCCCCCCCCCCCC.ma1xpYK1kve7uLTTaTVfGv3hlYVK.56").unwrap();
    assert_eq!(hash.verify(&SESAME.as_bytes()[..72]), Verdict::Fits);
    assert_eq!(hash.verify(&SESAME.as_bytes()[..71]), Verdict::Differs);
}

/// What is refused when it is read.
const WRONG: &[&str] = &[
    "",
    "password",
    "rqXexS6ZhobKA",
    "{PLAIN}password",
    "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
    "{SHA}",
    "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9=",
    "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
    "$2x$05$CCCCCCCCCCCCCCCCCCCCC.aDV7CQarKHMuNfh2oJkFzsHZya4whFe",
    "$2b$03$CCCCCCCCCCCCCCCCCCCCC.aDV7CQarKHMuNfh2oJkFzsHZya4whFe",
    "$2b$16$CCCCCCCCCCCCCCCCCCCCC.aDV7CQarKHMuNfh2oJkFzsHZya4whFe",
    "$2b$5$CCCCCCCCCCCCCCCCCCCCC.aDV7CQarKHMuNfh2oJkFzsHZya4whFe",
    "$2b$05$CCCCCCCCCCCCCCCCCCCCC.aDV7CQarKHMuNfh2oJkFzsHZya4whF",
    "$2b$05$CCCCCCCCCCCCCCCCCCCCC.aDV7CQarKHMuNfh2oJkFzsHZya4wh:e",
    "$2b$05$",
    "$apr1$$ARC3pREO82RIm0aQ2zszC0",
    "$apr1$123456789$ARC3pREO82RIm0aQ2zszC0",
    "$apr1$r31.....$ARC3pREO82RIm0aQ2zszC",
    "$5$saltstring$OH4IDuTlsuTYPdED1gsuiRMyTAwNlRWyA6Xr3I4/dQ",
    "$5$$OH4IDuTlsuTYPdED1gsuiRMyTAwNlRWyA6Xr3I4/dQ5",
    "$5$rounds=999$saltstring$OH4IDuTlsuTYPdED1gsuiRMyTAwNlRWyA6Xr3I4/dQ5",
    "$5$rounds=1000001$saltstring$OH4IDuTlsuTYPdED1gsuiRMyTAwNlRWyA6Xr3I4/dQ5",
    "$5$rounds=$saltstring$OH4IDuTlsuTYPdED1gsuiRMyTAwNlRWyA6Xr3I4/dQ5",
    "$argon2d$v=19$m=256,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$W5lwoVIExt6AxYDlVmtIdA",
    "$argon2id$v=19$m=999999999,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$CKGe5/bX9YnCq2rxjW5yQXKxn31v1GKzhDCrMc6r6vA",
    "$argon2id$v=19$m=1024,t=99,p=1$c29tZXNhbHRzb21lc2FsdA$CKGe5/bX9YnCq2rxjW5yQXKxn31v1GKzhDCrMc6r6vA",
    "$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA",
    "$argon2id$",
    "$kong-sha1$$0fb2576760ab61d7c60bbab92b8077bd9d61da34",
    "$kong-sha1$id$0fb2576760ab61d7c60bbab92b8077bd9d61da3",
    "$kong-sha1$id$0fb2576760ab61d7c60bbab92b8077bd9d61da3é",
];

#[test]
fn what_is_no_hash_or_costs_too_much_is_refused() {
    for text in WRONG {
        assert!(PasswordHash::parse(text).is_err(), "{text}");
    }
}

#[test]
fn fast_hashes_are_weak() {
    for (_, text) in FITTING {
        let fast = ["$apr1$", "{SHA}", "$kong"].iter().any(|start| text.starts_with(start));
        assert_eq!(PasswordHash::parse(text).unwrap().method().is_weak(), fast, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(
        text in "(\\$2y\\$|\\$argon2id\\$|\\$5\\$|\\$apr1\\$|\\{SHA\\}|\\$kong-sha1\\$)?.{0,60}",
    ) {
        let _ = PasswordHash::parse(&text);
    }
}
