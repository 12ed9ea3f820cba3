//! Bodies of live requests: bounded in size and time.

use rocket::Data;
use rocket::State;
use rocket::data::ToByteUnit as _;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::error::{Error, Kind};

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// `too_large`, `timed_out`, and `bad_request` for a connection that breaks.
pub async fn read(data: Data<'_>, limit: usize, config: &State<Config>) -> Result<Vec<u8>, Error> {
    let read = data.open(limit.bytes()).into_bytes();
    let body = tokio::time::timeout(config.body_timeout(), read)
        .await
        .map_err(|_| Kind::TimedOut)?
        .map_err(|error| Error::new(Kind::BadRequest).because(error))?;
    if !body.is_complete() {
        return Err(Error::new(Kind::TooLarge)
            .saying(format!("What was sent is larger than {limit} bytes.")));
    }
    Ok(body.into_inner())
}

/// Reads JSON of at most `limit` bytes.
///
/// # Errors
/// Those of [`read`], and `bad_input` with what is wrong.
pub async fn read_json<T: DeserializeOwned>(
    data: Data<'_>,
    limit: usize,
    config: &State<Config>,
) -> Result<T, Error> {
    let body = read(data, limit, config).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Error::new(Kind::BadInput).saying(format!("Not the JSON that is expected: {error}.")))
}
