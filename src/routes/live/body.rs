//! Bodies of live requests, as guards: bounded in size and time.

use rocket::data::{ByteUnit, Data, FromData, Outcome};
use rocket::request::Request;
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind, fail};
use crate::routes::read_body;

/// Bytes of at most `LIMIT`.
pub struct Bytes<const LIMIT: u64>(pub Vec<u8>);

#[rocket::async_trait]
impl<'r, const LIMIT: u64> FromData<'r> for Bytes<LIMIT> {
    type Error = Kind;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        ended(request, read_body(request, data, ByteUnit::Byte(LIMIT)).await.map(Self))
    }
}

/// JSON of at most `LIMIT` bytes. The type of the body is not looked at: beacons cannot set it.
pub struct Json<T, const LIMIT: u64>(pub T);

#[rocket::async_trait]
impl<'r, T: DeserializeOwned, const LIMIT: u64> FromData<'r> for Json<T, LIMIT> {
    type Error = Kind;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        let body = read_body(request, data, ByteUnit::Byte(LIMIT)).await;
        let json = body.and_then(|body| {
            serde_json::from_slice(&body).map_err(|error| {
                Error::new(Kind::BadInput)
                    .saying(format!("Not the JSON that is expected: {error}."))
            })
        });
        ended(request, json.map(Self))
    }
}

/// An error becomes the answer.
fn ended<'r, T>(request: &'r Request<'_>, result: Result<T, Error>) -> Outcome<'r, T>
where
    T: FromData<'r, Error = Kind>,
{
    match result {
        Ok(body) => Outcome::Success(body),
        Err(error) => match fail::<T>(request, error) {
            rocket::request::Outcome::Error(why) => Outcome::Error(why),
            _ => Outcome::Error((Kind::Internal.status(), Kind::Internal)),
        },
    }
}
