//! `scripts/debian-sources` reads both of apt's formats: what a host may have is told here, not taken from this one.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::PathBuf;
use std::process::Command;

/// What the script prints for the suites of `bookworm`, when /etc/apt holds `files`.
fn sources(name: &str, files: &[(&str, &str)], arguments: &[&str]) -> String {
    sources_of("main", name, files, arguments)
}

/// The same for a component of the archive.
fn sources_of(component: &str, name: &str, files: &[(&str, &str)], arguments: &[&str]) -> String {
    let etc = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("apt of {name}"));
    std::fs::create_dir_all(etc.join("sources.list.d")).unwrap();
    for (file, text) in files {
        std::fs::write(etc.join(file), text).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/debian-sources");
    let output = Command::new("sh")
        .arg(script)
        .args(arguments)
        .env("APT_ETC", &etc)
        .env("COMPONENT", component)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const SUITES: &str = "bookworm|bookworm-updates|bookworm-security";

#[test]
fn one_line_entries_keep_their_keyring_and_lose_their_architecture() {
    let list = "# deb http://no.example/debian bookworm main\n\
                deb [arch=amd64 signed-by=/keys/a.gpg] http://one.example/debian bookworm main contrib # comment\n\
                deb-src http://one.example/debian bookworm main\n\
                deb http://one.example/debian bookworm-backports main\n\
                deb http://one.example/debian bookworm contrib\n\
                deb [ trusted=yes ] http://two.example/security bookworm-security main\n";
    assert_eq!(
        sources("one line", &[("sources.list", list)], &[SUITES]),
        "Types: deb\nURIs: http://one.example/debian\nSuites: bookworm\nComponents: main\nSigned-By: /keys/a.gpg\n\n\
         Types: deb\nURIs: http://two.example/security\nSuites: bookworm-security\nComponents: main\nTrusted: yes\n\n"
    );
}

#[test]
fn deb822_stanzas_keep_an_inline_key_and_lose_other_suites() {
    let list = "# comment\nTypes: deb deb-src\nURIs: http://one.example/debian\n\
                Suites: bookworm bookworm-backports\n bookworm-updates\nComponents: main\nArchitectures: amd64\n\
                Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n x\n\n\
                Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n\n\
                Types: deb-src\nURIs: http://src.example/debian\nSuites: bookworm\nComponents: main\n";
    assert_eq!(
        sources("deb822", &[("sources.list.d/debian.sources", list)], &[SUITES]),
        "Types: deb\nURIs: http://one.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\
         Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n x\n\n"
    );
}

#[test]
fn another_component_is_asked_of_the_same_mirror() {
    let wanted = "Types: deb\nURIs: http://one.example/debian\nSuites: bookworm\nComponents: non-free-firmware\n\n";
    let line = "deb http://one.example/debian bookworm main\n";
    let stanza = "Types: deb\nURIs: http://one.example/debian\nSuites: bookworm\nComponents: main\n";
    for (name, file, text) in [
        ("component of a line", "sources.list", line),
        ("component of a stanza", "sources.list.d/debian.sources", stanza),
    ] {
        assert_eq!(sources_of("non-free-firmware", name, &[(file, text)], &["bookworm"]), wanted);
    }
}

#[test]
fn another_suite_is_asked_of_the_same_mirror() {
    let list = "deb http://one.example/debian bookworm main\n";
    assert_eq!(
        sources("backports", &[("sources.list", list)], &["bookworm", "bookworm-backports"]),
        "Types: deb\nURIs: http://one.example/debian\nSuites: bookworm-backports\nComponents: main\n\n"
    );
    assert_eq!(sources("nothing", &[("sources.list", "")], &["bookworm"]), "");
}
