//! The parameters of a path, for requests that are declared here and not by ruma.

use ruma::api::error::DeserializationError;
use serde::{Deserialize, de::value::SeqDeserializer};

/// A tuple of the parameters, or a structure whose fields they are, in their order.
pub(crate) fn path<'de, T: Deserialize<'de>>(
    arguments: &[&'de str],
) -> Result<T, DeserializationError> {
    let arguments = SeqDeserializer::<_, serde::de::value::Error>::new(arguments.iter().copied());
    Ok(T::deserialize(arguments)?)
}
