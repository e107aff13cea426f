//! Moves one namespace's service from a source cluster to a target cluster without downtime.
