//! Mistakes in a system file, shown as a compiler shows them: file, line, column, the text underlined, a mend.
//!
//! Collecting and rendering only; what is a mistake is decided by who reports it.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::ops::Range;

/// Bytes of a system file.
pub type Span = Range<usize>;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, with values.
    pub title: String,
    /// Where, and what stands there.
    pub primary: (Span, String),
    /// The other owner.
    pub secondary: Vec<(Span, String)>,
    /// What to do.
    pub help: String,
}

impl Diagnostic {
    /// A mistake at `span`.
    pub fn new(span: Span, title: impl Into<String>, help: impl Into<String>) -> Self {
        Self { title: title.into(), primary: (span, String::new()), secondary: Vec::new(), help: help.into() }
    }
    /// The same with `label` under the underlined text.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.primary.1 = label.into();
        self
    }
    /// The same with a second place.
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push((span, label.into()));
        self
    }
}

/// Renders `mistakes` of the file `path` with content `text`, in the file's order.
pub fn render(path: &str, text: &str, mistakes: &[Diagnostic], renderer: &Renderer) -> String {
    let mut sorted: Vec<&Diagnostic> = mistakes.iter().collect();
    sorted.sort_by_key(|mistake| mistake.primary.0.start);
    let mut out = String::new();
    for mistake in sorted {
        out.push_str(&renderer.render(&[group(path, text, mistake)]));
        out.push_str("\n\n");
    }
    let count = match mistakes.len() {
        1 => "1 mistake".to_owned(),
        n => format!("{n} mistakes"),
    };
    out.push_str(&renderer.render(&[Group::with_title(Level::ERROR.primary_title(format!("{path} has {count}")))]));
    out.push('\n');
    out
}

fn group<'a>(path: &'a str, text: &'a str, mistake: &'a Diagnostic) -> Group<'a> {
    let label = |label: &'a str| (!label.is_empty()).then_some(label);
    let (span, words) = &mistake.primary;
    let primary = AnnotationKind::Primary.span(within(text, span)).label(label(words));
    let secondary = mistake
        .secondary
        .iter()
        .map(|(span, words)| AnnotationKind::Context.span(within(text, span)).label(label(words)));
    let snippet = Snippet::source(text).path(path).annotation(primary).annotations(secondary);
    Level::ERROR
        .primary_title(mistake.title.as_str())
        .element(snippet)
        .element(Level::HELP.message(mistake.help.as_str()))
}

/// A span that the renderer accepts, whatever the parser said about the end of the file.
fn within(text: &str, span: &Span) -> Span {
    let end = span.end.min(text.len());
    span.start.min(end)..end
}
