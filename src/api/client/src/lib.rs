//! client-api.
