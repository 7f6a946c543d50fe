//! Line charts as SVG. Each is drawn twice, for wide and for narrow pages, so that letters and lines keep their size; the
//! style sheet shows one of the two.

use serde_json::json;

use super::super::figures::number;
use super::markup::Html;
use super::scale::{Scale, tick_label, ticks};

/// A curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Which of the tests on the page it is of; decides colour and dashes.
    pub test: usize,
    /// The test's name.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A straight line across the chart with a word beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where it is on the x axis.
    pub x: f64,
    /// What it is.
    pub label: String,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Unique on the page.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// One figure or remark beside the title, or empty.
    pub remark: String,
    /// For those who cannot see it.
    pub description: String,
    /// The x axis, with its unit.
    pub x_label: String,
    /// The unit of the y axis, and what tooltips put behind a value.
    pub y_unit: String,
    /// The largest y, where the chart should reach it whatever the curves do.
    pub y_reach: f64,
    /// Curves.
    pub series: Vec<Series>,
    /// Lines.
    pub marks: Vec<Mark>,
}

/// How large a drawing is.
struct Size {
    class: &'static str,
    width: f64,
    height: f64,
    x_ticks: u32,
    y_ticks: u32,
}

const SIZES: [Size; 2] = [
    Size {
        class: "wide",
        width: 580.0,
        height: 280.0,
        x_ticks: 6,
        y_ticks: 5,
    },
    Size {
        class: "narrow",
        width: 340.0,
        height: 250.0,
        x_ticks: 4,
        y_ticks: 5,
    },
];
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;
/// Rows of the table below a chart.
const TABLE_ROWS: u32 = 10;

impl Chart {
    /// The chart with its heading, its drawings and its table.
    pub fn render(&self) -> Html {
        let mut html = Html::new();
        html.raw("<figure class=\"chart\" data-chart=\"")
            .text(&self.id);
        html.raw("\"><figcaption><span class=\"chart-title\">")
            .text(&self.title);
        html.raw("</span> <span class=\"unit\">")
            .text(&self.y_unit)
            .raw("</span>");
        if !self.remark.is_empty() {
            html.raw("<span class=\"remark\">")
                .text(&self.remark)
                .raw("</span>");
        }
        html.raw("</figcaption>");
        for size in &SIZES {
            html.add(&self.draw(size));
        }
        html.raw("<script type=\"application/json\">")
            .json(&self.data());
        html.raw("</script>").add(&self.table()).raw("</figure>");
        html
    }

    fn largest(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let points = self.series.iter().flat_map(|series| &series.points);
        points.map(of).fold(0.0, f64::max)
    }

    fn x_end(&self) -> f64 {
        let marks = self.marks.iter().map(|mark| mark.x);
        marks.fold(self.largest(|point| point.0), f64::max)
    }

    fn draw(&self, size: &Size) -> Html {
        let x_end = self.x_end();
        let y_ticks = ticks(
            self.largest(|point| point.1).max(self.y_reach),
            size.y_ticks,
        );
        let y_end = y_ticks[y_ticks.len() - 1];
        let (right, bottom) = (size.width - RIGHT, size.height - BOTTOM);
        let x = Scale::new((0.0, x_end), (LEFT, right));
        let y = Scale::new((0.0, y_end), (bottom, TOP));
        let mut svg = Html::new();
        svg.raw("<svg class=\"")
            .text(size.class)
            .raw("\" viewBox=\"0 0 ");
        svg.text(size.width).raw(" ").text(size.height);
        svg.raw("\" role=\"img\" aria-labelledby=\"")
            .text(self.name("t", size))
            .raw(" ");
        svg.text(self.name("d", size))
            .raw("\" data-left=\"")
            .text(LEFT);
        svg.raw("\" data-right=\"")
            .text(right)
            .raw("\" data-top=\"")
            .text(TOP);
        svg.raw("\" data-bottom=\"")
            .text(bottom)
            .raw("\" data-x=\"")
            .text(x_end.max(f64::MIN_POSITIVE));
        svg.raw("\" data-y=\"")
            .text(y_end)
            .raw("\"><title id=\"")
            .text(self.name("t", size));
        svg.raw("\">")
            .text(&self.title)
            .raw("</title><desc id=\"")
            .text(self.name("d", size));
        svg.raw("\">")
            .text(&self.description)
            .raw("</desc><g class=\"axis\">");
        let y_step = y_ticks[1] - y_ticks[0];
        for tick in &y_ticks {
            let at = place(y.place(*tick));
            svg.raw("<line class=\"grid\" x1=\"")
                .text(LEFT)
                .raw("\" x2=\"")
                .text(right);
            svg.raw("\" y1=\"")
                .text(&at)
                .raw("\" y2=\"")
                .text(&at)
                .raw("\"/>");
            svg.raw("<text class=\"y\" x=\"")
                .text(LEFT - 7.0)
                .raw("\" y=\"")
                .text(&at);
            svg.raw("\" dy=\"0.34em\">")
                .text(tick_label(*tick, y_step))
                .raw("</text>");
        }
        let x_ticks = ticks(x_end, size.x_ticks);
        let x_step = x_ticks[1] - x_ticks[0];
        for tick in x_ticks.iter().filter(|tick| **tick <= x_end * (1.0 + 1e-9)) {
            let at = place(x.place(*tick));
            svg.raw("<line class=\"tick\" x1=\"")
                .text(&at)
                .raw("\" x2=\"")
                .text(&at);
            svg.raw("\" y1=\"")
                .text(bottom)
                .raw("\" y2=\"")
                .text(bottom + 4.0)
                .raw("\"/>");
            svg.raw("<text class=\"x\" x=\"")
                .text(&at)
                .raw("\" y=\"")
                .text(bottom + 17.0);
            svg.raw("\">")
                .text(tick_label(*tick, x_step))
                .raw("</text>");
        }
        svg.raw("<text class=\"label\" x=\"")
            .text((LEFT + right) / 2.0)
            .raw("\" y=\"");
        svg.text(size.height - 5.0)
            .raw("\">")
            .text(&self.x_label)
            .raw("</text></g>");
        for mark in &self.marks {
            svg.add(&draw_mark(mark, x, bottom, right));
        }
        for series in self
            .series
            .iter()
            .filter(|series| !series.points.is_empty())
        {
            let path: Vec<String> = series
                .points
                .iter()
                .map(|point| format!("{},{}", place(x.place(point.0)), place(y.place(point.1))))
                .collect();
            if self.series.len() == 1 {
                let ends = (series.points[0].0, series.points[series.points.len() - 1].0);
                svg.raw("<polygon class=\"area s")
                    .text(colour(series.test))
                    .raw("\" points=\"");
                svg.text(place(x.place(ends.0)))
                    .raw(",")
                    .text(bottom)
                    .raw(" ")
                    .text(path.join(" "));
                svg.raw(" ")
                    .text(place(x.place(ends.1)))
                    .raw(",")
                    .text(bottom)
                    .raw("\"/>");
            }
            svg.raw(match self.series.len() {
                // Dashes help to tell curves apart.
                1 => "<polyline class=\"curve alone s",
                _ => "<polyline class=\"curve s",
            })
            .text(colour(series.test))
            .raw("\" points=\"");
            svg.text(path.join(" ")).raw("\"/>");
        }
        svg.raw("<line class=\"cursor\" y1=\"")
            .text(TOP)
            .raw("\" y2=\"")
            .text(bottom)
            .raw("\"/></svg>");
        svg
    }

    fn name(&self, part: &str, size: &Size) -> String {
        format!("{}-{}-{part}", self.id, size.class)
    }

    /// What tooltips show.
    fn data(&self) -> serde_json::Value {
        let short = |value: f64| (value * 1e4).round() / 1e4;
        let series: Vec<_> = self
            .series
            .iter()
            .map(|series| {
                json!({
                    "name": series.name,
                    "colour": colour(series.test),
                    "x": series.points.iter().map(|point| short(point.0)).collect::<Vec<_>>(),
                    "y": series.points.iter().map(|point| short(point.1)).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({ "x": self.x_label, "unit": self.y_unit, "series": series })
    }

    /// Some of the values, for those who cannot see the chart or want numbers.
    fn table(&self) -> Html {
        let mut html = Html::new();
        html.raw("<details class=\"numbers\"><summary>Numbers</summary><div class=\"scroll\"><table><caption class=\"hidden\">");
        html.text(&self.title)
            .raw("</caption><thead><tr><th scope=\"col\">")
            .text(&self.x_label)
            .raw("</th>");
        for series in &self.series {
            html.raw("<th scope=\"col\" class=\"n\">")
                .text(&series.name);
            html.raw(" <span class=\"unit\">")
                .text(&self.y_unit)
                .raw("</span></th>");
        }
        html.raw("</tr></thead><tbody>");
        for row in 0..=TABLE_ROWS {
            let x = self.largest(|point| point.0) * f64::from(row) / f64::from(TABLE_ROWS);
            html.raw("<tr><th scope=\"row\">")
                .text(number(x))
                .raw("</th>");
            for series in &self.series {
                let value = series.nearest(x).map_or("–".to_owned(), number);
                html.raw("<td class=\"n\">").text(value).raw("</td>");
            }
            html.raw("</tr>");
        }
        html.raw("</tbody></table></div></details>");
        html
    }
}

impl Series {
    /// The value of the point that is nearest to `x`; none beyond the ends.
    fn nearest(&self, x: f64) -> Option<f64> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let slack = (last.0 - first.0) * 0.02;
        if x < first.0 - slack || x > last.0 + slack {
            return None;
        }
        let far = |point: &(f64, f64)| (point.0 - x).abs();
        let nearest = self.points.iter().min_by(|a, b| far(a).total_cmp(&far(b)));
        nearest.map(|point| point.1)
    }
}

fn draw_mark(mark: &Mark, x: Scale, bottom: f64, right: f64) -> Html {
    let at = x.place(mark.x);
    // The word stands where there is room for it.
    let left_of_it = at > right / 2.0;
    let mut svg = Html::new();
    svg.raw("<g class=\"mark\"><line x1=\"")
        .text(place(at))
        .raw("\" x2=\"")
        .text(place(at));
    svg.raw("\" y1=\"")
        .text(TOP)
        .raw("\" y2=\"")
        .text(bottom)
        .raw("\"/><text x=\"");
    svg.text(place(if left_of_it { at - 5.0 } else { at + 5.0 }));
    svg.raw("\" y=\"")
        .text(bottom - 8.0)
        .raw("\" class=\"")
        .text(if left_of_it { "before" } else { "behind" });
    svg.raw("\">").text(&mark.label).raw("</text></g>");
    svg
}

/// Colours and dashes repeat after six tests.
pub fn colour(test: usize) -> usize {
    test % 6
}

/// A place in a tenth of a unit: a page needs no more, and stays small.
fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart {
            id: "c".to_owned(),
            title: "Tokens".to_owned(),
            remark: "mean 5".to_owned(),
            description: "What <it> shows".to_owned(),
            x_label: "seconds".to_owned(),
            y_unit: "tokens/s".to_owned(),
            y_reach: 0.0,
            series: vec![Series {
                test: 7,
                name: "a & b".to_owned(),
                points: vec![(0.0, 0.0), (5.0, 50.0), (10.0, 100.0)],
            }],
            marks: vec![Mark {
                x: 20.0,
                label: "bound".to_owned(),
            }],
        }
    }

    #[test]
    fn points_are_where_their_values_say() {
        let text = chart().render().into_string();
        // The mark at 20 is the right end, 10 is half way: (46 + 566) / 2; 100 is the top, 50 half way down.
        assert!(text.contains("points=\"46,238 176,125 306,12\""), "{text}");
        assert!(text.contains("curve alone s1"), "colours repeat");
        assert_eq!(text.matches("<svg").count(), 2);
        assert_eq!(text.matches("What &lt;it&gt; shows").count(), 2);
    }

    #[test]
    fn the_table_has_the_curves_values() {
        let text = chart().table().into_string();
        assert!(
            text.contains("<th scope=\"row\">5</th><td class=\"n\">50</td>"),
            "{text}"
        );
        assert!(text.contains("a &amp; b"), "{text}");
        let series = &chart().series[0];
        assert_eq!(series.nearest(10.1), Some(100.0));
        assert_eq!(series.nearest(11.0), None);
    }

    #[test]
    fn a_chart_without_curves_is_drawn_all_the_same() {
        let mut empty = chart();
        empty.series.clear();
        empty.marks.clear();
        let text = empty.render().into_string();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
