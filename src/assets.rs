//! Files that are inside the program: static files and templates.
//!
//! `static/` and `templates/` of the source are embedded; a folder of overrides may replace any
//! of them or add to them. Static files stand under one hash of all of them, so that modules may
//! import each other by relative paths and a new version is a new address. In a debug build they
//! are read from the source at each request.

mod files;
mod templates;

pub use files::{Asset, AssetError, Assets};
pub use templates::{TemplateError, Templates};
