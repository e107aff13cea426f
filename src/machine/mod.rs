//! PURE. The state machine: what is known goes in, what to do comes out. No client, no clock, no runtime.
//!
//! [`decide`] is called on every pass with everything that is known and returns a [`Decision`]: effects to carry out and
//! the status to write, with conditions, events and the time to look again, all from one decision.
//!
//! | Question | Module |
//! |---|---|
//! | What is asked for, parsed once? | [`order`], [`controls`] |
//! | Who wrote it, and when? | [`authors`] |
//! | Does the ClusterPair allow it, and is nobody else at it? | [`allowed`], [`glob`], [`lock`] |
//! | What has been seen? | [`observed`], [`health`] |
//! | What must the operator be allowed to do? | [`right`] |
//! | What does each stage do and wait for? | [`stages`] |
//! | What changes the world, and what takes it back? | [`effect`] |
//! | May this weight be written now? | [`permit`], [`stamp`] |
//! | Is it served? | [`gate`]; if not, why? `stuck`, by what is known of [`external_dns`]; while everything goes back, who is not back yet, `exposure` |
//! | Which kinds of records will there be, and has the target one of its own? | [`published`], `alone` |
//! | Does what was checked before still hold? | `recheck`; is what is held still served, `drift` |
//! | Who else writes our weights? | [`contest`]; what stays is replaced once by `replace`, what they give back is taken up by `claim` |
//! | What does deleting the object in mid-way do? | [`deletion`]; what it leaves over at its deadline, `overdue`, what is left to a person, `by_hand`, and how that is paid, [`debt`] |
//! | What does a person stop, send back or try again? | [`pause`], [`requests`] |
//! | What of an edit of the spec in mid-flight? | [`edits`] |
//! | What if the ClusterPair is led to another cluster in mid-flight? | [`pins`] |
//! | What if status is lost, or a rollback began elsewhere? | [`resume`] |
//! | What does a `ClusterPair` tell? | [`pair`]; how long does a deleted one stay? [`pair_hold`] |
//! | What of an order that cannot be read, or has no pair? | [`reject`] |
//! | Can the source take the users back after the end? | `source_serves` |
//! | Whom to wake? | `alarm` |
//! | What does a person read? | [`summary`], [`reason`]; of effects that fail, [`failure`] |

mod alarm;
pub mod allowed;
mod alone;
pub mod authors;
pub mod by_hand;
mod claim;
mod condition;
pub mod contest;
pub mod controls;
pub mod deadline;
pub mod debt;
pub mod deletion;
mod drift;
pub mod drive;
pub mod edits;
pub mod effect;
mod exposure;
pub mod external_dns;
pub mod failure;
pub mod gate;
pub mod glob;
pub mod health;
pub mod inventory;
pub mod lock;
pub mod neighbours;
pub mod observed;
pub mod order;
mod overdue;
pub mod pair;
pub mod pair_hold;
pub mod pause;
pub mod permit;
pub mod pins;
pub mod published;
pub mod reason;
mod recheck;
pub mod records;
pub mod reference;
mod rehearsal;
mod rejection;
mod replace;
pub mod requests;
pub mod resume;
pub mod right;
pub mod run;
pub mod side;
mod source_serves;
pub mod stages;
pub mod stamp;
mod stuck;
pub mod summary;
pub mod traffic;
pub mod urgency;
pub mod version;

pub use drive::{Decision, Needs, decide, needs, rest};
pub use effect::Effect;
pub use failure::Failure;
pub use observed::Observed;
pub use order::Order;
pub use reason::Reason;
pub use rejection::{Asked, reject};
pub use side::Side;
