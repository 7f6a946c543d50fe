//! Chromium without a window: opens a page, gives back what became of it and what its console said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names that distributions give it.
const NAMES: &[&str] = &[
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
/// With this in the environment, a test that needs a browser fails where there is none.
const REQUIRED: &str = "GPTJ_REQUIRE_BROWSER";

/// A browser of this machine.
pub struct Browser {
    program: PathBuf,
}

/// A page after its scripts ran.
pub struct Opened {
    /// Its elements as they were at the end.
    pub dom: String,
    /// Errors and warnings of its console.
    pub console: Vec<String>,
}

impl Browser {
    /// Looks for one. Where there is none, the test has nothing to look at, and says so.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let candidates = NAMES
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let found = candidates.into_iter().find(|program| program.is_file());
        assert!(
            found.is_some() || std::env::var_os(REQUIRED).is_none(),
            "there is no chromium here, and {REQUIRED} is set: apt-get install chromium"
        );
        if found.is_none() {
            eprintln!("skipped: there is no chromium here (apt-get install chromium)");
        }
        found.map(|program| Self { program })
    }

    /// Opens a file in a page of that width. A window cannot be narrower than 500 pixels; a frame in one can, and media
    /// queries go by the frame. In `folder` there is room for what that takes.
    pub fn open(&self, file: &Path, width: u32, folder: &Path) -> Opened {
        let html = fs::read_to_string(file).unwrap();
        let quoted = html.replace('&', "&amp;").replace('"', "&quot;");
        let wrapper = format!(
            "<!DOCTYPE html><meta charset=\"utf-8\"><body style=\"margin:0\">\
             <iframe style=\"border:0;width:{width}px;height:900px\" srcdoc=\"{quoted}\"></iframe>\
             <script>onload = () => {{\n\
               const inner = frames[0];\n\
               const page = inner.document;\n\
               const out = document.body.dataset;\n\
               out.width = inner.innerWidth;\n\
               out.needs = page.documentElement.scrollWidth;\n\
               out.text = page.body.innerText;\n\
               out.data = page.getElementById('report-data')?.textContent ?? '';\n\
               const shown = [...page.querySelectorAll('svg')].filter((svg) => svg.getClientRects().length);\n\
               out.charts = shown.length;\n\
               out.smallest = Math.min(...shown.map((svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width));\n\
               const chart = shown[0];\n\
               if (chart) {{\n\
                 const box = chart.getBoundingClientRect();\n\
                 chart.dispatchEvent(new inner.PointerEvent('pointermove', {{\n\
                   clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }}));\n\
                 out.tip = page.getElementById('tip').innerText;\n\
               }}\n\
               document.body.replaceChildren();\n\
             }};</script>"
        );
        let page = folder.join(format!("wrapper-{width}.html"));
        fs::write(&page, wrapper).unwrap();
        self.run(&page, folder)
    }

    /// Opens a page as it is.
    pub fn run(&self, page: &Path, folder: &Path) -> Opened {
        let output = Command::new(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--disable-extensions",
                "--disable-dev-shm-usage",
                "--window-size=1600,1000",
            ])
            .args([
                "--enable-logging=stderr",
                "--virtual-time-budget=5000",
                "--dump-dom",
            ])
            .arg(format!(
                "--user-data-dir={}",
                folder.join("profile").display()
            ))
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        let console = stderr.lines().filter(|line| line.contains(":CONSOLE"));
        Opened {
            dom: String::from_utf8_lossy(&output.stdout).into_owned(),
            console: console.map(str::to_owned).collect(),
        }
    }
}

impl Opened {
    /// What the wrapper wrote down under that name.
    pub fn noted(&self, name: &str) -> String {
        let start = format!("data-{name}=\"");
        let rest = self.dom.split_once(&start).map(|(_, rest)| rest);
        let value = rest
            .and_then(|rest| rest.split_once('"'))
            .map(|(value, _)| value);
        let value = value.unwrap_or_else(|| panic!("the page has no {name}: {:.2000}", self.dom));
        let value = value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">");
        value.replace("&nbsp;", "\u{a0}").replace("&amp;", "&")
    }

    /// The same as a number.
    pub fn number(&self, name: &str) -> f64 {
        self.noted(name).parse().unwrap()
    }
}
