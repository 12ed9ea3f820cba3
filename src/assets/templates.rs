//! Templates: embedded, replaceable, and always escaped.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use minijinja::value::Value;
use minijinja::{AutoEscape, Output, State};
use rocket::fairing::Fairing;
use rocket_dyn_templates::{Engines, Template};
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "templates/"]
#[allow_missing = true]
struct Embedded;

/// Largest template in the overrides folder.
const MAX_BYTES: u64 = 1024 * 1024;

/// Where templates come from.
pub struct Templates {
    overrides: PathBuf,
    watched: PathBuf,
}

/// A folder of templates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", folder.display())]
pub struct TemplateError {
    folder: PathBuf,
    cause: std::io::Error,
}

impl Templates {
    /// Templates with those in the folder `overrides` in place of the embedded ones of that name.
    /// The folder is made when it is missing, since the template engine insists on one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(overrides: &Path, reload: bool) -> Result<Self, TemplateError> {
        std::fs::create_dir_all(overrides)
            .map_err(|cause| TemplateError { folder: overrides.to_owned(), cause })?;
        let mut watched = overrides.to_owned();
        if cfg!(debug_assertions) && reload {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
            if source.is_dir() {
                watched = source;
            }
        }
        Ok(Self { overrides: overrides.to_owned(), watched })
    }

    /// The folder whose changes make a debug build read templates again.
    #[must_use]
    pub fn watched(&self) -> &Path {
        &self.watched
    }

    /// Rocket's part of it.
    pub fn fairing(self) -> impl Fairing {
        Template::try_custom(move |engines| self.add_to(engines))
    }

    fn add_to(&self, engines: &mut Engines) -> Result<(), Box<dyn StdError>> {
        let environment = &mut engines.minijinja;
        // rocket_dyn_templates escapes only templates it has found as files; without this, one
        // that is embedded would print names as they are.
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_formatter(write_escaped);
        for name in Embedded::iter().filter(|name| name.ends_with(".html.j2")) {
            if let Some(file) = Embedded::get(&name) {
                let text = String::from_utf8(file.data.into_owned())?;
                environment.add_template_owned(name.into_owned(), text)?;
            }
        }
        for entry in std::fs::read_dir(&self.overrides)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(ToOwned::to_owned) else { continue };
            if name.ends_with(".html.j2") && entry.metadata()?.len() <= MAX_BYTES {
                environment.add_template_owned(name, std::fs::read_to_string(entry.path())?)?;
            }
        }
        Ok(())
    }
}

/// Writes a value into HTML. As minijinja does it, but without turning every slash of an address
/// into six characters.
fn write_escaped(
    out: &mut Output<'_>,
    state: &State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() && state.auto_escape() == AutoEscape::Html => {
            let mut rest = text;
            while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
                let (plain, tail) = rest.split_at(at);
                out.write_str(plain)?;
                out.write_str(match tail.as_bytes().first() {
                    Some(b'&') => "&amp;",
                    Some(b'<') => "&lt;",
                    Some(b'>') => "&gt;",
                    Some(b'"') => "&quot;",
                    _ => "&#39;",
                })?;
                rest = &tail[1..];
            }
            out.write_str(rest)?;
            Ok(())
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_html_is_escaped_unless_it_is_safe() {
        let mut environment = minijinja::Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_formatter(write_escaped);
        let check = |template: &str, expected: &str| {
            let context = minijinja::context! { x => "</a b='\"&é", n => 7 };
            assert_eq!(environment.render_str(template, context).expect("renders"), expected);
        };
        check("{{ x }}", "&lt;/a b=&#39;&quot;&amp;é");
        check("{{ x|safe }}", "</a b='\"&é");
        check("{{ n }}|{{ missing }}", "7|");
        check("{{ [x] }}", "[&quot;&lt;&#x2f;a b=&#x27;\\&quot;&amp;é&quot;]");
    }
}
