//! Checks of one Rust file.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::Visit;

use super::repository::TextFile;

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Where `println!` may stand: the one module that owns stdout, and programs that show how
/// applications use the client.
const PRINTS_ALLOWED: [&str; 2] = ["broker/cli/src/output.rs", "examples/clients/"];

pub(crate) fn header(file: &TextFile) -> Vec<String> {
    let first = file.text.lines().find(|line| !line.trim().is_empty());
    if first.is_some_and(|line| line.starts_with("//! ")) {
        return Vec::new();
    }
    vec![format!("{}: does not begin with `//!` and what it is for", file.path)]
}

/// The line, from 1, on which the file's tests begin.
fn first_test_line(text: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let is_test_module =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ");
    lines.windows(2).position(is_test_module).map(|index| index + 1)
}

pub(crate) fn file_length(file: &TextFile) -> Vec<String> {
    let lines =
        first_test_line(&file.text).map_or_else(|| file.text.lines().count(), |line| line - 1);
    if file.is_test() || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![format!(
        "{}: {lines} lines, at most {FILE_LINES_MAX}; split it by noun or verb",
        file.path
    )]
}

pub(crate) fn function_lengths(file: &TextFile) -> Vec<String> {
    let parsed = match syn::parse_file(&file.text) {
        Ok(parsed) => parsed,
        Err(error) => return vec![format!("{}: does not parse: {error}", file.path)],
    };
    let mut functions = Functions { path: &file.path, offences: Vec::new() };
    functions.visit_file(&parsed);
    functions.offences
}

struct Functions<'a> {
    path: &'a str,
    offences: Vec<String>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            let (path, name) = (self.path, &signature.ident);
            self.offences.push(format!(
                "{path}:{first}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}"
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}

pub(crate) fn prints(file: &TextFile) -> Vec<String> {
    if PRINTS_ALLOWED.iter().any(|allowed| file.path.starts_with(allowed)) {
        return Vec::new();
    }
    let mut offences = Vec::new();
    each_pair(tokens(&file.text), &mut |first, second| {
        if let (TokenTree::Ident(name), TokenTree::Punct(bang)) = (first, second)
            && (name == "println" || name == "print")
            && bang.as_char() == '!'
        {
            let line = name.span().start().line;
            offences.push(format!("{}:{line}: `{name}!` outside the CLI's output", file.path));
        }
    });
    offences
}

/// Ignored tests anywhere, and sleeps in test code.
pub(crate) fn ignored_or_asleep(file: &TextFile) -> Vec<String> {
    let tests_from = if file.is_test() || file.path.starts_with("tests/src/") {
        Some(1)
    } else {
        first_test_line(&file.text)
    };
    let mut offences = Vec::new();
    each_pair(tokens(&file.text), &mut |first, second| {
        let line = first.span().start().line;
        if is_ignore(first, second) {
            offences.push(format!("{}:{line}: an ignored test", file.path));
        }
        if let (TokenTree::Ident(name), TokenTree::Group(_)) = (first, second)
            && name.to_string().starts_with("sleep")
            && tests_from.is_some_and(|from| line >= from)
        {
            offences.push(format!(
                "{}:{line}: a test sleeps; wait for the event, with a deadline",
                file.path
            ));
        }
    });
    offences
}

/// `#[ignore…]`, also inside `cfg_attr`.
fn is_ignore(first: &TokenTree, second: &TokenTree) -> bool {
    let (TokenTree::Punct(hash), TokenTree::Group(attribute)) = (first, second) else {
        return false;
    };
    let mut idents = attribute.stream().into_iter().filter_map(|token| match token {
        TokenTree::Ident(name) => Some(name),
        _ => None,
    });
    hash.as_char() == '#'
        && attribute.delimiter() == Delimiter::Bracket
        && match idents.next() {
            Some(name) if name == "ignore" => true,
            Some(name) if name == "cfg_attr" => attribute.to_string().contains("ignore"),
            _ => false,
        }
}

fn tokens(text: &str) -> TokenStream {
    text.parse().unwrap_or_default()
}

/// Calls `look` with each two tokens that stand side by side, at any depth.
fn each_pair(stream: TokenStream, look: &mut dyn FnMut(&TokenTree, &TokenTree)) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    for pair in tokens.windows(2) {
        look(&pair[0], &pair[1]);
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            each_pair(group.stream(), look);
        }
    }
}

#[test]
fn a_long_function_is_found_wherever_it_stands() {
    let body = "    let _ = 1;\n".repeat(69);
    for (before, after) in [("", ""), ("impl X {", "}"), ("trait X {", "}"), ("mod m {", "}")] {
        let long = format!("//! x\n{before}\nfn f() {{\n{body}}}\n{after}\n");
        let found = function_lengths(&TextFile::new("a.rs", &long));
        assert_eq!(found, ["a.rs:3: `f` has 71 lines, at most 70"], "{before}");
        let fits = long.replacen("    let _ = 1;\n", "", 1);
        assert!(function_lengths(&TextFile::new("a.rs", &fits)).is_empty(), "{before}");
    }
}

#[test]
fn only_production_lines_are_counted() {
    let code = "// line\n".repeat(400);
    let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}\n");
    assert!(file_length(&TextFile::new("a.rs", &tests)).is_empty());
    assert_eq!(file_length(&TextFile::new("a.rs", &format!("// one\n{tests}"))).len(), 1);
    assert!(file_length(&TextFile::new("a/tests.rs", &code.repeat(2))).is_empty());
}

#[test]
fn prints_and_sleeps_and_ignored_tests_are_found() {
    let of = |path, text: &str, check: fn(&TextFile) -> Vec<String>| {
        check(&TextFile::new(path, text)).len()
    };
    assert_eq!(of("a.rs", "fn f() { g(|| { println!(\"x\") }) }", prints), 1);
    assert_eq!(of("a.rs", "/// println!(\"x\")\nfn f() { writeln!(x) }", prints), 0);
    let sleeps = "async fn f() { tokio::time::sleep(x).await }";
    assert_eq!(of("tests/e2e/a.rs", sleeps, ignored_or_asleep), 1);
    assert_eq!(of("a.rs", sleeps, ignored_or_asleep), 0);
    let inline = format!("fn g() {{}}\n#[cfg(test)]\nmod tests {{ {sleeps} }}");
    assert_eq!(of("a.rs", &inline, ignored_or_asleep), 1);
    assert_eq!(of("a.rs", "#[test]\n#[ignore = \"x\"]\nfn f() {}", ignored_or_asleep), 1);
    assert_eq!(of("a.rs", "#[cfg_attr(all(), ignore)]\nfn f() {}", ignored_or_asleep), 1);
}
