//! Outbound federation: a durable queue per destination, which follows the log.
