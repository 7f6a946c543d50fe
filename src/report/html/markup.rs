//! HTML in which nothing can be put unescaped by mistake: markup comes from literals of this program alone, everything
//! else is text.

use std::fmt::Display;

/// A piece of HTML.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Html(String);

impl Html {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A text alone.
    pub fn of(text: impl Display) -> Self {
        let mut html = Self::new();
        html.text(text);
        html
    }

    /// Markup.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, or the value of an attribute in double quotes.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        for letter in text.to_string().chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What terminals do with them, browsers may not; XML forbids them.
                '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' => self.0.push('\u{fffd}'),
                letter => self.0.push(letter),
            }
        }
        self
    }

    /// JSON within a `script` element, whose end nothing in it may look like.
    pub fn json(&mut self, value: &serde_json::Value) -> &mut Self {
        let text = value.to_string().replace('<', "\\u003c");
        self.0.push_str(&text);
        self
    }

    /// Another piece.
    pub fn add(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of the page.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// An element with text in it.
pub fn element(open: &'static str, text: impl Display, close: &'static str) -> Html {
    let mut html = Html::new();
    html.raw(open).text(text).raw(close);
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let html = element("<b>", "<script>\"a\" & 'b'\u{1}</script>", "</b>");
        assert_eq!(
            html.into_string(),
            "<b>&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;\u{fffd}&lt;/script&gt;</b>"
        );
    }

    #[test]
    fn json_cannot_end_its_script() {
        let mut html = Html::new();
        let value = serde_json::json!({"a": "</script><!--"});
        html.json(&value);
        let text = html.into_string();
        assert!(!text.contains('<'), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
