//! Tables of settings: what wins, what is refused, and what the refusal names.

use super::environment::NOT_SETTINGS;
use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(toml: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.toml");
    std::fs::write(&file, toml).unwrap();
    Settings::load(Some(&file), environment(variables), flags).map_err(|error| error.to_string())
}

fn local(toml: &str) -> Result<Settings, String> {
    load(&format!("data = \"d\"\n{toml}"), &[], &Flags::default())
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let settings = local("").unwrap();
    assert_eq!(settings, Settings::check(Config::new("d".into())).unwrap());
    assert_eq!(settings.data(), Path::new("d"));
    assert_eq!(settings.listen.to_string(), "127.0.0.1:7460");
    assert_eq!(settings.http.to_string(), "127.0.0.1:7461");
    assert!(settings.create_topics());
    assert_eq!(settings.connections_max, 1024);
    assert_eq!(settings.window_bytes + settings.produce_bytes, 512 << 20);
    assert_eq!((settings.journal_file_bytes(), settings.reserve_bytes()), (128 << 20, 128 << 20));
    assert_eq!(settings.segment_bytes(), 512 << 20);
    assert_eq!(settings.cleaner_bytes_per_second(), 64 << 20);
    assert_eq!(settings.scrub_bytes_per_second(), 8 << 20);
    assert_eq!((settings.certificate, settings.tokens), (Certificate::Made, Tokens::Made));
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let toml = "data = \"file\"\nlisten = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\n\
                create_topics = false\nnetwork_memory = \"1GiB\"";
    let flags = Flags { listen: "127.0.0.1:5".parse().ok(), ..Flags::default() };
    let settings = load(
        toml,
        &[("LOGMILL_LISTEN", "127.0.0.1:3"), ("LOGMILL_HTTP", "127.0.0.1:4"), ("HOME", "/")],
        &flags,
    )
    .unwrap();
    assert_eq!(settings.data, Path::new("file"));
    assert_eq!((settings.listen.port(), settings.http.port()), (5, 4));
    assert!(!settings.create_topics);
    assert_eq!(settings.window_bytes, 512 << 20);
}

#[test]
fn variables_of_the_command_line_are_not_settings() {
    for name in NOT_SETTINGS {
        load("data = \"d\"", &[(name, "x")], &Flags::default()).unwrap();
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (toml, variables, says) in [
        ("", &[][..], &["data"][..]),
        ("data = \"d\"\nlisten_on = 1", &[], &["listen_on", "server.toml"]),
        ("data = \"d\"\nlisten = \"localhost:1\"", &[], &["listen", "server.toml"]),
        ("data = \"d\"\nsegment_bytes = \"2GiB\"", &[], &["segment_bytes", "1.0 GiB or less"]),
        ("data = \"d\"\nnetwork_memory = \"many\"", &[], &["network_memory"]),
        ("data = \"d\"\n[tls]\ncert = \"x\"", &[], &["tls"]),
        ("data = ", &[], &["server.toml"]),
        ("data = \"d\"", &[("LOGMILL_LISTN", "x")], &["listn", "LOGMILL_LISTN"]),
        (
            "data = \"d\"",
            &[("LOGMILL_CREATE_TOPICS", "perhaps")],
            &["create_topics", "LOGMILL_CREATE_TOPICS"],
        ),
        ("data = \"d\"\nconnections_max = 0", &[], &["connections_max"]),
        (
            "data = \"d\"\njournal_file_bytes = \"1000KiB\"",
            &[],
            &["journal_file_bytes", "1.0 MiB or more"],
        ),
        (
            "data = \"d\"",
            &[("LOGMILL_JOURNAL_FILE_BYTES", "2GiB")],
            &["journal_file_bytes", "1.0 GiB or less"],
        ),
        ("data = \"d\"\nreserve_bytes = \"1MiB\"", &[], &["reserve_bytes", "64.0 MiB or more"]),
        (
            "data = \"d\"\nscrub_bytes_per_second = \"1KiB\"",
            &[],
            &["scrub_bytes_per_second", "64.0 KiB or more"],
        ),
        ("data = \"d\"\nnetwork_memory = \"1MiB\"", &[], &["network_memory", "256.0 MiB"]),
    ] {
        let text = load(toml, variables, &Flags::default()).unwrap_err();
        for part in says {
            assert!(text.to_lowercase().contains(&part.to_lowercase()), "{part} not in: {text}");
        }
    }
}

#[test]
fn the_scrubber_can_be_switched_off_and_paced() {
    for (value, bytes) in [("0", 0), ("64KiB", 64 << 10), ("1GiB", 1 << 30)] {
        let settings = local(&format!("scrub_bytes_per_second = \"{value}\"")).unwrap();
        assert_eq!(settings.scrub_bytes_per_second(), bytes);
    }
}

#[test]
fn a_config_file_that_is_not_there_is_an_error() {
    let missing = Path::new("/nowhere/server.toml");
    let error = Settings::load(Some(missing), [], &Flags::default()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/server.toml"), "{error}");
}

#[test]
fn beyond_loopback_certificate_and_tokens_must_be_given() {
    let cert = "tls_cert = \"c\"\ntls_key = \"k\"\n";
    let tokens = "token_file = \"t\"\n";
    for key in ["listen", "http"] {
        for address in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1", "[2001:db8::1]:1"] {
            let open = format!("{key} = \"{address}\"\n");
            for (toml, missing) in [
                (open.clone(), "tls_cert and tls_key"),
                (format!("{open}{tokens}"), "tls_cert and tls_key"),
                (format!("{open}{cert}"), "token_file"),
            ] {
                let text = local(&toml).unwrap_err();
                assert!(text.contains(missing) && text.contains(address), "{toml}: {text}");
            }
            local(&format!("{open}{cert}{tokens}")).unwrap();
        }
    }
    for address in ["127.0.0.1:0", "127.0.0.9:1", "[::1]:1"] {
        local(&format!("listen = \"{address}\"")).unwrap();
    }
}

#[test]
fn half_a_certificate_is_refused_and_the_other_half_named() {
    assert!(local("tls_cert = \"c\"").unwrap_err().contains("tls_key"));
    assert!(local("tls_key = \"k\"").unwrap_err().contains("tls_cert"));
}
