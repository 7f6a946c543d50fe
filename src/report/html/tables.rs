//! Tables with a row for each figure and a column for each test.

use super::super::compare::FIGURES;
use super::super::figures::{count, duration, number, ratio};
use super::super::published::{Distance, Standing, standing};
use super::markup::{Html, element};
use super::page::Named;
use crate::error::Failure;

/// What stands in a cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// The value.
    pub value: String,
    /// Smaller, below or beside it.
    pub note: String,
}

impl Cell {
    /// A value alone.
    pub fn of(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            note: String::new(),
        }
    }

    /// Nothing to say.
    pub fn none() -> Self {
        Self::of("–")
    }
}

/// A row: its heading and one cell for each test.
pub type Row = (Html, Vec<Cell>);

/// How a table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Figures, to the right.
    Figures,
    /// Texts; what is the same in all tests stands there once.
    Texts,
}

/// The table.
pub fn table(tests: &[Named<'_>], rows: &[Row], style: Style) -> Html {
    let mut html = Html::new();
    let class = match style {
        Style::Figures => "figures",
        Style::Texts => "texts",
    };
    html.raw("<div class=\"scroll\"><table class=\"")
        .text(class)
        .raw("\"><thead><tr><th></th>");
    for test in tests {
        html.raw("<th scope=\"col\">")
            .add(&test.shown())
            .raw("</th>");
    }
    html.raw("</tr></thead><tbody>");
    for (heading, cells) in rows {
        let same = style == Style::Texts && cells.windows(2).all(|pair| pair[0] == pair[1]);
        html.raw(if same || style == Style::Figures {
            "<tr>"
        } else {
            "<tr class=\"differs\">"
        });
        html.raw("<th scope=\"row\">").add(heading).raw("</th>");
        let shown = if same {
            &cells[..1.min(cells.len())]
        } else {
            cells
        };
        for (index, cell) in shown.iter().enumerate() {
            match same && cells.len() > 1 {
                true => html.raw("<td colspan=\"").text(cells.len()).raw("\">"),
                false => html.raw("<td>"),
            };
            if let Some(test) = tests.get(index).filter(|_| style == Style::Texts && !same) {
                html.add(&test.swatch());
            }
            html.raw("<span class=\"value\">")
                .text(&cell.value)
                .raw("</span>");
            // An empty one keeps the values of a column below each other.
            if !cell.note.is_empty() || (style == Style::Figures && index > 0) {
                html.raw(" <small>").text(&cell.note).raw("</small>");
            }
            html.raw("</td>");
        }
        html.raw("</tr>");
    }
    html.raw("</tbody></table></div>");
    html
}

/// Figures of several tests with their ratios to the first.
pub fn comparison(tests: &[Named<'_>]) -> Html {
    let rows: Vec<Row> = FIGURES
        .iter()
        .map(|(name, figure)| {
            let values: Vec<Option<f64>> = tests
                .iter()
                .map(|test| figure(&test.stored.result))
                .collect();
            (Html::of(name), beside_first(&values, number))
        })
        .filter(|(_, cells)| cells.iter().any(|cell| *cell != Cell::none()))
        .collect();
    table(tests, &rows, Style::Figures)
}

/// Values, and the ratio of each but the first to the first.
fn beside_first(values: &[Option<f64>], show: fn(f64) -> String) -> Vec<Cell> {
    let first = values.first().copied().flatten();
    let one = |(index, value): (usize, &Option<f64>)| {
        let Some(value) = *value else {
            return Cell::none();
        };
        let note = first
            .filter(|_| index > 0)
            .and_then(|first| ratio(value, first));
        Cell {
            value: show(value),
            note: note.unwrap_or_default(),
        }
    };
    values.iter().enumerate().map(one).collect()
}

/// LoadGen's percentiles, of the tests that have them: all of one scenario.
pub fn percentiles(tests: &[Named<'_>]) -> Option<Html> {
    let measured: Vec<Named<'_>> = tests
        .iter()
        .filter(|test| test.stored.result.performance.is_some())
        .cloned()
        .collect();
    if measured.is_empty() {
        return None;
    }
    let latencies: Vec<_> = measured
        .iter()
        .filter_map(|test| test.stored.result.performance.as_ref())
        .map(|performance| &performance.latency_ns)
        .collect();
    let row = |name: &str, of: fn(&super::super::result::Latency) -> u64| {
        let values: Vec<Option<f64>> = latencies.iter().map(|ns| Some(of(ns) as f64)).collect();
        (Html::of(name), beside_first(&values, duration))
    };
    let rows = [
        row("min", |ns| ns.min),
        row("mean", |ns| ns.mean),
        row("p50", |ns| ns.p50),
        row("p90", |ns| ns.p90),
        row("p95", |ns| ns.p95),
        row("p97", |ns| ns.p97),
        row("p99", |ns| ns.p99),
        row("p99.9", |ns| ns.p99_9),
        row("max", |ns| ns.max),
    ];
    Some(table(&measured, &rows, Style::Figures))
}

/// Scores against thresholds, of the tests that have them.
pub fn accuracy(tests: &[Named<'_>]) -> Html {
    let mut html = Html::new();
    for test in tests {
        let Some(accuracy) = &test.stored.result.accuracy else {
            continue;
        };
        html.raw("<h3>").add(&test.shown()).raw("</h3>");
        html.raw("<div class=\"scroll\"><table class=\"figures\"><thead><tr><th></th><th scope=\"col\">reached</th>");
        html.raw("<th scope=\"col\">threshold</th><th scope=\"col\">margin</th><th scope=\"col\"></th></tr></thead><tbody>");
        let Some(verdict) = &accuracy.verdict else {
            let scores = &accuracy.scores;
            for (name, value) in [
                ("ROUGE1", scores.rouge1),
                ("ROUGE2", scores.rouge2),
                ("ROUGEL", scores.rouge_l),
                ("GEN_LEN", scores.gen_len as f64),
            ] {
                html.raw("<tr><th scope=\"row\">")
                    .text(name)
                    .raw("</th><td>")
                    .text(score(name, value));
                html.raw("</td><td>–</td><td>–</td><td>no reference</td></tr>");
            }
            html.raw("</tbody></table></div>");
            continue;
        };
        for metric in &verdict.metrics {
            html.raw("<tr><th scope=\"row\">")
                .text(&metric.name)
                .raw("</th><td>");
            html.text(score(&metric.name, metric.value))
                .raw("</td><td>");
            html.text(score(&metric.name, metric.threshold))
                .raw("</td><td>");
            html.text(score(&metric.name, metric.margin()))
                .raw("</td><td>");
            html.add(&badge(metric.pass)).raw("</td></tr>");
        }
        html.raw("<tr><th scope=\"row\">samples</th><td>")
            .text(count(verdict.samples));
        html.raw("</td><td>")
            .text(count(verdict.expected_samples))
            .raw("</td><td></td><td>");
        html.add(&badge(verdict.samples == verdict.expected_samples));
        html.raw("</td></tr></tbody></table></div>");
        if let Some(reference) = &accuracy.reference {
            html.raw("<p class=\"muted\">Held against: ")
                .text(&reference.source)
                .raw("</p>");
        }
    }
    html
}

fn score(name: &str, value: f64) -> String {
    match name {
        "GEN_LEN" => number(value.round()),
        _ => format!("{value:.3}"),
    }
}

fn badge(pass: bool) -> Html {
    match pass {
        true => element("<span class=\"badge good\">", "PASSED", "</span>"),
        false => element("<span class=\"badge bad\">", "FAILED", "</span>"),
    }
}

/// How far each test is from what was published for its GPU.
pub fn published(tests: &[Named<'_>]) -> Result<Html, Failure> {
    let mut html = Html::new();
    let mut not_compared: Vec<(String, Html)> = Vec::new();
    html.raw("<div class=\"pairs\">");
    for test in tests {
        match standing(&test.stored.result)? {
            Standing::Nothing(why) => {
                match not_compared.iter_mut().find(|(same, _)| *same == why) {
                    Some((_, names)) => {
                        names.raw(" ").add(&test.shown());
                    }
                    None => not_compared.push((why, test.shown())),
                }
            }
            Standing::Compared {
                gpu,
                per_gpu,
                distances,
            } => {
                html.raw("<div><h3>")
                    .add(&test.shown())
                    .raw("</h3><p>This result: <strong>");
                html.text(number(per_gpu))
                    .raw(" samples/s</strong> per GPU, ")
                    .text(gpu)
                    .raw(".");
                if !test.stored.result.not_for_submission.is_empty() {
                    html.raw(" It is not for submission; the others were submitted.");
                }
                html.raw("</p>")
                    .add(&distances_table(&distances))
                    .raw("</div>");
            }
        }
    }
    html.raw("</div>");
    for (why, names) in not_compared {
        html.raw("<p class=\"together\">")
            .add(&names)
            .raw(" <span class=\"muted\">Not compared: ");
        html.text(why).raw(".</span></p>");
    }
    Ok(html)
}

fn distances_table(distances: &[Distance]) -> Html {
    let mut html = Html::new();
    html.raw("<div class=\"scroll\"><table class=\"figures\"><thead><tr><th scope=\"col\">published</th>");
    html.raw("<th scope=\"col\">system, samples/s</th><th scope=\"col\">per GPU</th>");
    html.raw("<th scope=\"col\">this result is</th></tr></thead><tbody>");
    for distance in distances {
        let theirs = &distance.published;
        html.raw("<tr><th scope=\"row\">")
            .text(&theirs.round)
            .raw(" ")
            .text(&theirs.submitter);
        html.raw(" <small>")
            .text(&theirs.system)
            .raw("</small></th><td>");
        html.text(number(distance.theirs))
            .raw("</td><td>")
            .text(number(distance.theirs_per_gpu));
        html.raw("</td><td>×")
            .text(format!("{:.2}", distance.ratio))
            .raw("</td></tr>");
    }
    html.raw("</tbody></table></div>");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_first() {
        let cells = beside_first(&[Some(2.0), Some(3.0), None], number);
        assert_eq!(cells[0], Cell::of("2"));
        assert_eq!(cells[1].note, "×1.500");
        assert_eq!(cells[2], Cell::none());
        let without = beside_first(&[None, Some(3.0)], number);
        assert_eq!(without[1].note, "", "there is nothing to compare with");
    }
}
