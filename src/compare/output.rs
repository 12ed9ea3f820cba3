//! The files: JSON, CSV, HTML and Markdown.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::markdown;
use super::plan::Wanted;
use super::report;
use super::results::{Metric, Results};

/// Where the files go.
pub struct Output {
    json: Option<PathBuf>,
    csv: Option<PathBuf>,
    html: Option<PathBuf>,
    markdown: Option<PathBuf>,
    /// What was made for them.
    directory: Option<PathBuf>,
}

impl Output {
    /// Makes the directory, and sees to it that each file can be written.
    ///
    /// # Errors
    /// Which one cannot, and why.
    pub fn prepare(wanted: &Wanted) -> Result<Self, String> {
        let mut output = Self {
            json: wanted.json.clone(),
            csv: wanted.csv.clone(),
            html: wanted.html.clone(),
            markdown: wanted.markdown.clone(),
            directory: None,
        };
        if let Some(directory) = &wanted.directory {
            output.directory = (!directory.exists()).then(|| directory.clone());
            fs::create_dir_all(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
            output.json = Some(directory.join("results.json"));
            output.csv = Some(directory.join("results.csv"));
            output.html = Some(directory.join("report.html"));
        }
        for path in output.all() {
            // What is there already stays until there is something to replace it.
            let opened = fs::OpenOptions::new().append(true).create(true).open(path);
            opened.map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(output)
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        let all = [&self.html, &self.csv, &self.json, &self.markdown];
        all.into_iter().flatten().map(PathBuf::as_path)
    }

    /// Takes away what was made and stayed empty.
    pub fn discard(&self) {
        for path in self.all() {
            if fs::metadata(path).is_ok_and(|file| file.len() == 0) {
                let _ = fs::remove_file(path);
            }
        }
        if let Some(directory) = &self.directory {
            // Fails when there is something in it.
            let _ = fs::remove_dir(directory);
        }
    }

    /// Writes all of them; returns their names.
    ///
    /// # Errors
    /// Which one could not be written, and why.
    pub fn write(&self, results: &Results) -> Result<Vec<&Path>, String> {
        let put = |path: &'_ Option<PathBuf>, text: &dyn Fn() -> Result<String, String>| {
            if let Some(path) = path {
                fs::write(path, text()?).map_err(|e| format!("{}: {e}", path.display()))?;
            }
            Ok::<_, String>(())
        };
        let json = || serde_json::to_string_pretty(results).map_err(|e| e.to_string());
        put(&self.json, &json)?;
        put(&self.csv, &|| Ok(csv(results)))?;
        put(&self.html, &|| report::render(results))?;
        put(&self.markdown, &|| Ok(markdown::render(results)))?;
        Ok(self.all().collect())
    }
}

/// A line for each cell (RFC 4180; no field needs quotes).
fn csv(results: &Results) -> String {
    let mut text = "mode,clients,publish_s,poll_s,runs,edits".to_owned();
    for metric in Metric::ALL {
        let key = metric.key();
        let _ = write!(text, ",{key}_min,{key}_median,{key}_max");
    }
    text.push_str("\r\n");
    for result in &results.cells {
        let cell = &result.cell;
        let poll = cell.delivery.interval().map(|i| i.as_secs_f64().to_string());
        let edits: usize = result.runs.iter().map(|run| run.edits).sum();
        let _ = write!(
            text,
            "{},{},{},{},{},{edits}",
            cell.delivery.name(),
            cell.clients,
            cell.publish.as_secs_f64(),
            poll.unwrap_or_default(),
            result.runs.len(),
        );
        for metric in Metric::ALL {
            match result.get(metric) {
                Some(s) => {
                    let _ = write!(text, ",{},{},{}", s.min, s.median, s.max);
                }
                None => text.push_str(",,,"),
            }
        }
        text.push_str("\r\n");
    }
    text
}
