//! The rig itself, on real control planes. One program, so that its tests share a pair of them.

mod api_server_faults;
mod control_plane;
mod route53;
mod route53_sdk;
mod setup;
mod supervision;
mod surroundings;
