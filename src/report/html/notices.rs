//! What went wrong, what to do about it, and what speaks against a submission.

use super::markup::{Html, element};
use super::page::Named;
use crate::error::Failure;

/// One notice. What several tests have in common is said once.
#[derive(Debug, PartialEq)]
struct Notice<'a> {
    tests: Vec<&'a Named<'a>>,
    kind: Kind,
    message: String,
    /// What stands below it, each with a word for what it is.
    more: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Bad,
    Note,
}

/// All notices of the tests.
pub fn notices(tests: &[Named<'_>]) -> Html {
    let mut html = Html::new();
    let mut all: Vec<Notice<'_>> = Vec::new();
    for notice in tests.iter().flat_map(of) {
        let same = |other: &&mut Notice<'_>| {
            (other.kind, &other.message, &other.more)
                == (notice.kind, &notice.message, &notice.more)
        };
        match all.iter_mut().find(same) {
            Some(said) => said.tests.extend(notice.tests),
            None => all.push(notice),
        }
    }
    // What went wrong comes first.
    all.sort_by_key(|notice| notice.kind);
    for notice in &all {
        html.add(&draw(notice));
    }
    html
}

fn of<'a>(test: &'a Named<'a>) -> Vec<Notice<'a>> {
    let result = &test.stored.result;
    let notice = |kind, message, more| Notice {
        tests: vec![test],
        kind,
        message,
        more,
    };
    let failed = |failure: &Failure| {
        let causes = failure
            .causes
            .iter()
            .map(|cause| ("Caused by:", cause.clone()));
        let hint = failure
            .hint
            .iter()
            .map(|hint| ("What to do:", hint.clone()));
        notice(
            Kind::Bad,
            failure.message.clone(),
            causes.chain(hint).collect(),
        )
    };
    let mut all: Vec<Notice<'a>> = result.failure.iter().map(failed).collect();
    all.extend(result.findings.iter().map(|finding| {
        let command = finding.command.iter();
        let command = command.map(|command| ("Command:", command.clone()));
        let remedy = [("What to do:", finding.remedy.clone())];
        notice(
            Kind::Bad,
            format!("{}: {}", finding.rule, finding.message),
            remedy.into_iter().chain(command).collect(),
        )
    }));
    all.extend(test.stored.damaged.iter().map(failed));
    if !result.not_for_submission.is_empty() {
        let reasons = result.not_for_submission.join("; ");
        all.push(notice(
            Kind::Note,
            format!("not for submission: {reasons}"),
            Vec::new(),
        ));
    }
    all
}

fn draw(notice: &Notice<'_>) -> Html {
    let mut html = Html::new();
    html.raw(match notice.kind {
        Kind::Bad => "<div class=\"notice bad\"><p>",
        Kind::Note => "<div class=\"notice note\"><p>",
    });
    for (index, test) in notice.tests.iter().enumerate() {
        html.raw(if index > 0 { " " } else { "" })
            .add(&test.shown());
    }
    html.raw(" ").text(&notice.message).raw("</p>");
    for (what, text) in &notice.more {
        html.add(&element(
            "<p class=\"muted\">",
            format!("{what} {text}"),
            "</p>",
        ));
    }
    html.raw("</div>");
    html
}
