//! Random interleavings of everything that can go wrong. Whatever happens, the promises hold, and a fault-free end is reached.

use jiff::SignedDuration;
use namespace_migration::api::status::{PipelineStage, RequestOutcome};
use namespace_migration::api::{
    DeletionPolicy, PAUSED_ANNOTATION, RETRY_ANNOTATION, ROLLBACK_ANNOTATION, RemovalPolicy, Stage,
};
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::{NamespaceFacts, SecretFacts};
use namespace_migration::machine::records::RecordKind;
use namespace_migration::machine::{Side, decide, needs, requests};
use proptest::prelude::*;
use serde_json::json;

use crate::executor::Faults;
use crate::recording::{broken_promise, ended_but_acts};
use crate::world::World;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Happening {
    /// So many passes and the time between them, without any trouble.
    Smooth(usize),
    Pass(Faults),
    Time(i64),
    Verdict(Side, Verdict),
    Unreachable(Side),
    Reachable(Side),
    /// A request that was in flight arrives.
    Land(usize),
    Foreign {
        side: Side,
        weight: i32,
        strip: bool,
    },
    /// A CI run writes its manifests again: source 100, target 0.
    Ci,
    /// A pipeline deletes the Ingress and makes it anew.
    Recreate(Side),
    /// One external-dns stops, or starts.
    StopDns(Side, bool),
    /// One external-dns that may have been stopped follows once.
    Lag(Side),
    /// One external-dns does not follow with AAAA, or does again.
    LagInAaaa(Side, bool),
    /// DNS cannot be read, or can be again.
    Unreadable(bool),
    /// A load balancer loses its address, or has it again.
    Address(Side, bool),
    /// Somebody edits a side's record in the zone, or deletes it.
    EditRecord(Side, Option<i32>),
    Terminating(Side, bool),
    LoseStatus,
    RaiseAttempt,
    Delete(DeletionPolicy),
    EditPolicy(DeletionPolicy),
    StripFinalizer,
    CreateAnew,
    /// A pass over the pair, which pays what is owed.
    Pay,
    /// By annotation, or by the spec.
    Pause(bool),
    Suspend(bool),
    UpTo(i32),
    RequestRollback,
    RequestRetry,
    Steps(&'static [i32]),
}

/// What the steps are edited to.
const STEPS: [&[i32]; 4] = [&[10, 60, 100], &[5, 30, 60, 100], &[100], &[60, 70, 100]];

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Source), Just(Side::Target)]
}

fn policy() -> impl Strategy<Value = DeletionPolicy> {
    prop_oneof![3 => Just(DeletionPolicy::Rollback), 1 => Just(DeletionPolicy::Freeze), 1 => Just(DeletionPolicy::Orphan)]
}

fn faults() -> impl Strategy<Value = Faults> {
    let place = || prop_oneof![8 => Just(None), 1 => (0..3_usize).prop_map(Some)];
    let stale = prop_oneof![8 => Just(0_usize), 1 => 1..4_usize];
    (stale, place(), place(), prop::bool::weighted(0.08), place()).prop_map(
        |(stale, crash_before, crash_after, crash_before_save, delay)| Faults {
            stale,
            crash_before,
            crash_after,
            crash_before_save,
            delay,
            bug: None,
        },
    )
}

fn happening() -> impl Strategy<Value = Happening> {
    let seconds = prop_oneof![4 => Just(10_i64), 8 => Just(200), 4 => Just(700), 1 => Just(4000), 1 => Just(90_000)];
    let verdict = prop_oneof![5 => Just(Verdict::Pass), 1 => Just(Verdict::Inconclusive), 1 => Just(Verdict::Fail)];
    prop_oneof![
        16 => (1..12_usize).prop_map(Happening::Smooth),
        16 => faults().prop_map(Happening::Pass),
        6 => seconds.prop_map(Happening::Time),
        2 => (side(), verdict).prop_map(|(side, verdict)| Happening::Verdict(side, verdict)),
        1 => side().prop_map(Happening::Unreachable),
        3 => side().prop_map(Happening::Reachable),
        2 => (0..3_usize).prop_map(Happening::Land),
        1 => (side(), prop_oneof![Just(0), Just(1), Just(5), Just(50), Just(95), Just(100), Just(255)], prop::bool::weighted(0.3))
            .prop_map(|(side, weight, strip)| Happening::Foreign { side, weight, strip }),
        1 => Just(Happening::Ci),
        1 => side().prop_map(Happening::Recreate),
        2 => (side(), prop::bool::weighted(0.6)).prop_map(|(side, stopped)| Happening::StopDns(side, stopped)),
        2 => side().prop_map(Happening::Lag),
        2 => (side(), prop::bool::weighted(0.5)).prop_map(|(side, lags)| Happening::LagInAaaa(side, lags)),
        1 => prop::bool::weighted(0.4).prop_map(Happening::Unreadable),
        1 => (side(), prop::bool::weighted(0.4)).prop_map(|(side, is_there)| Happening::Address(side, is_there)),
        1 => (side(), prop_oneof![Just(None), Just(Some(0)), Just(Some(5)), Just(Some(100))])
            .prop_map(|(side, weight)| Happening::EditRecord(side, weight)),
        1 => (side(), prop::bool::weighted(0.3)).prop_map(|(side, dying)| Happening::Terminating(side, dying)),
        1 => Just(Happening::LoseStatus),
        1 => Just(Happening::RaiseAttempt),
        1 => policy().prop_map(Happening::Delete),
        1 => policy().prop_map(Happening::EditPolicy),
        1 => Just(Happening::StripFinalizer),
        2 => Just(Happening::CreateAnew),
        2 => Just(Happening::Pay),
        2 => prop::bool::weighted(0.4).prop_map(Happening::Pause),
        1 => prop::bool::weighted(0.4).prop_map(Happening::Suspend),
        2 => prop_oneof![Just(0), Just(10), Just(30), Just(60), Just(99), Just(100), Just(100), Just(100)].prop_map(Happening::UpTo),
        1 => Just(Happening::RequestRollback),
        1 => Just(Happening::RequestRetry),
        1 => (0..STEPS.len()).prop_map(|index| Happening::Steps(STEPS[index])),
    ]
}

/// Where it starts: one or two Ingresses, one of them on the target already or not, what the spec says about failures, and whether
/// DNS is looked at.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own, answered at random")]
pub struct Start {
    pub two: bool,
    pub present: bool,
    pub hold: bool,
    pub remove: bool,
    pub zone: bool,
    /// Both load balancers have addresses of both kinds.
    pub both_kinds: bool,
    /// The second Ingress has the host of the first.
    pub one_host: bool,
}

impl Start {
    fn any() -> impl Strategy<Value = Self> {
        any::<[bool; 7]>().prop_map(|[two, present, hold, remove, zone, both_kinds, one_host]| Self {
            two,
            present,
            hold,
            remove,
            zone,
            both_kinds,
            one_host,
        })
    }

    pub fn world(self) -> World {
        let step = |weight: i32| json!({"weight": weight, "hold": "5m"});
        let mut world = World::with(json!({
            "onFailure": if self.hold { "Hold" } else { "Rollback" },
            "rollback": {"objects": if self.remove { "Remove" } else { "Keep" }},
            "traffic": {"steps": [step(10), step(60), step(100)]},
            "bake": {"for": "20m"},
            "secrets": {"include": ["api-key"]},
        }));
        let digests = [("key".to_owned(), "a".to_owned())].into();
        let secret = SecretFacts { uid: "s".into(), kind: "Opaque".into(), digests, ..SecretFacts::default() };
        world.source.secrets.insert("api-key".into(), secret);
        if self.two {
            world.add_ingress(Side::Source, "api", if self.one_host { "shop.example" } else { "api.example" });
        }
        if self.present {
            world.add_ingress(Side::Target, "web", "shop.example");
        }
        if self.both_kinds {
            world.give_both_kinds();
        }
        if self.zone { world.in_a_zone() } else { world }
    }
}

/// Lets it happen. What it breaks, if anything.
pub fn happen(world: &mut World, happening: &Happening) -> Option<String> {
    match happening {
        Happening::Pass(faults) => {
            let before = world.status.clone();
            let asked_attempt = is_raised(world);
            let asked = requests::wakes(&world.order, &before);
            let decision = world.pass_with(faults);
            let restarted = asked_attempt || asked;
            return ended_but_acts(&before, &decision).filter(|_| !restarted);
        }
        Happening::Smooth(passes) => (0..*passes).for_each(|_| world.step()),
        Happening::Time(seconds) => world.advance(SignedDuration::from_secs(*seconds)),
        Happening::Verdict(side, verdict) => drop(world.verdicts.insert(*side, *verdict)),
        Happening::Unreachable(side) => world.unreachable(*side),
        Happening::Reachable(side) => world.reachable(*side),
        Happening::Land(index) => {
            if *index < world.in_flight.len() {
                let sent = world.in_flight.remove(*index);
                world.land(&sent, false);
            }
        }
        Happening::Foreign { side, weight, strip } => {
            world.foreign_weight(*side, "web", *weight, *strip);
            world.forget_fences();
        }
        Happening::Ci => {
            world.foreign_weight_by("ci", Side::Source, "web", 100, false);
            world.foreign_weight_by("ci", Side::Target, "web", 0, false);
        }
        Happening::Recreate(side) => world.recreate(*side, "web"),
        Happening::StopDns(side, stopped) => world.stop_dns(*side, *stopped),
        Happening::Lag(side) => world.follow_once(*side),
        Happening::LagInAaaa(side, lags) => world.lag(*side, RecordKind::Aaaa, *lags),
        Happening::Unreadable(unreadable) => world.hide_dns(*unreadable),
        Happening::Address(side, is_there) => world.lose_address(*side, "web", !is_there),
        Happening::EditRecord(side, weight) => world.edit_record("shop.example", *side, *weight),
        Happening::Terminating(side, terminating) => {
            let uid = world.side(*side).identity.clone();
            world.side_mut(*side).namespace = Some(NamespaceFacts { uid, terminating: *terminating });
        }
        Happening::LoseStatus => world.lose_status(),
        Happening::Delete(policy) => {
            world.edit(&json!({"deletionPolicy": policy}));
            world.delete();
        }
        Happening::EditPolicy(policy) => world.edit(&json!({"deletionPolicy": policy})),
        Happening::StripFinalizer => world.strip_finalizer(),
        Happening::CreateAnew => world.create_anew(),
        Happening::Pay => world.pay(),
        Happening::RaiseAttempt => {
            let attempt = world.order.attempt + 1;
            world.edit(&json!({"attempt": attempt}));
        }
        Happening::Pause(paused) => world.annotate(PAUSED_ANNOTATION, paused.then_some("a")),
        Happening::Suspend(suspended) => world.edit(&json!({"suspend": suspended})),
        Happening::UpTo(share) => world.edit_traffic("upTo", json!(share)),
        Happening::RequestRollback => {
            let token = world.next("token");
            world.annotate(ROLLBACK_ANNOTATION, Some(&token));
        }
        Happening::RequestRetry => {
            let token = world.next("token");
            world.annotate(RETRY_ANNOTATION, Some(&token));
        }
        Happening::Steps(weights) => {
            let steps: Vec<_> = weights.iter().map(|weight| json!({"weight": weight, "hold": "5m"})).collect();
            world.edit_traffic("steps", json!(steps));
        }
    }
    None
}

/// Everything works again, and the target fails: in the end the source has everything.
pub fn drain(world: &mut World) -> Result<(), String> {
    if world.gone || is_over(world) {
        // What happened after its end is not its work.
        return Ok(());
    }
    world.edit(&json!({"onFailure": "Rollback", "suspend": false}));
    world.edit_traffic("upTo", json!(100));
    world.annotate(PAUSED_ANNOTATION, None);
    mend(world);
    world.verdicts = [(Side::Source, Verdict::Pass), (Side::Target, Verdict::Fail)].into();
    world.in_flight.clear();
    for _ in 0..200 {
        world.pass();
        world.pay();
        if world.gone {
            return paid(world);
        }
        if is_over(world) {
            return back_on_the_source(world);
        }
        if world.status.stage == Stage::Preflight || is_before_its_first_write(world) {
            // A new attempt is blocked before it begins, or before its first write.
            return Ok(());
        }
        world.obey();
        world.advance(SignedDuration::from_secs(200));
    }
    Err(format!("it does not come back: {} {}: {}", world.status.stage, world.status.reason, world.status.message))
}

fn is_before_its_first_write(world: &World) -> bool {
    let facts = [Side::Source, Side::Target].into_iter().flat_map(|side| world.side(side).ingresses.values());
    let mut stamps = facts.filter_map(|facts| facts.stamp_of(&world.order.owner));
    let blocked = matches!(world.status.reason.as_str(), "PreflightBlocked" | "DNSBlocked");
    world.status.stage == Stage::WeightSource && blocked && stamps.all(|stamp| stamp.direction.is_final())
}

/// A deleted migration owes nothing once everything works again.
fn paid(world: &World) -> Result<(), String> {
    let left = world.debts.weights.iter().map(|left| format!("{} {}", left.cluster(), left.ingress));
    let left: Vec<_> = left.collect();
    if left.is_empty() { Ok(()) } else { Err(format!("what was left over is not paid: {left:?}")) }
}

fn mend(world: &mut World) {
    world.hide_dns(false);
    for side in [Side::Source, Side::Target] {
        world.lose_address(side, "web", false);
        world.stop_dns(side, false);
        world.lag(side, RecordKind::Aaaa, false);
        world.reachable(side);
        let uid = world.side(side).identity.clone();
        world.side_mut(side).namespace = Some(NamespaceFacts { uid, terminating: false });
    }
}

/// Whether the spec asks for an attempt that it did not ask for when the last one ended, or began to go back.
fn is_raised(world: &World) -> bool {
    let status = &world.status;
    world.order.attempt > status.attempt.max(status.attempt_seen.unwrap_or_default())
}

fn is_over(world: &World) -> bool {
    let stage = world.status.stage;
    let again = (is_raised(world) && stage != Stage::Completed) || requests::wakes(&world.order, &world.status);
    matches!(stage, Stage::Completed | Stage::RolledBack | Stage::Failed) && !again
}

fn all_on_the_source(world: &World) -> Result<(), String> {
    for name in world.source.ingresses.keys() {
        let weights = (world.source.weight(name), world.target.weight(name));
        if weights.0 != Some(100) || weights.1.is_some_and(|weight| weight != 0) {
            return Err(format!("{}, but Ingress {name} has the weights {weights:?}", world.status.stage));
        }
    }
    Ok(())
}

fn back_on_the_source(world: &World) -> Result<(), String> {
    let stage = world.status.stage;
    if stage != Stage::RolledBack {
        // What had ended well, or had never begun, stays as it is.
        return Ok(());
    }
    let never_begun = |entry: &PipelineStage| entry.name == Stage::WeightSource && entry.started.is_none();
    if world.status.pipeline.iter().any(never_begun) && !is_adopted(world) {
        // It was sent back before its first write.
        return Ok(());
    }
    all_on_the_source(world)?;
    let ours = Some(world.order.owner_label());
    let left = world.target.ingresses.values().any(|facts| facts.created_by == ours)
        || world.target.secrets.values().any(|facts| facts.created_by == ours);
    if left && world.order.created_objects == RemovalPolicy::Remove {
        return Err("an object that we created is still on the target".to_owned());
    }
    Ok(())
}

/// However dead the clusters are, a deleted object goes, and what is owed is paid when they are back.
pub fn goes(world: &mut World) -> Result<(), String> {
    for side in [Side::Source, Side::Target] {
        world.unreachable(side);
    }
    let deletion = &world.order.deletion;
    let goes_back =
        deletion.held && deletion.policy == DeletionPolicy::Rollback && world.status.stage > Stage::Preflight;
    // What is asked of one that has ended has not begun.
    let goes_back = goes_back && !matches!(world.status.stage, Stage::Completed | Stage::RolledBack | Stage::Failed);
    world.delete();
    for _ in 0..40 {
        world.pass();
        world.advance(SignedDuration::from_mins(5));
    }
    if !world.gone {
        let status = &world.status;
        return Err(format!("the object does not go: {} {}: {}", status.stage, status.reason, status.message));
    }
    mend(world);
    world.pay();
    paid(world)?;
    if goes_back { all_on_the_source(world) } else { Ok(()) }
}

/// Whether the rollback was taken up from the stamps: then nobody remembers how far it had come.
fn is_adopted(world: &World) -> bool {
    let rolled = |entry: &PipelineStage| entry.name == Stage::RollingBack;
    world.status.pipeline.iter().any(rolled)
}

/// What is decided twice is the same the second time: a pass that changes nothing writes nothing.
fn flutters(world: &World) -> Option<String> {
    if world.gone {
        return None;
    }
    let order = &world.order;
    let observed = world.observe(&needs(order, &world.status), 0);
    let first = decide(order, &world.status, &observed, world.now);
    let second = decide(order, &first.status, &observed, world.now);
    let same_stage = first.status.stage == world.status.stage;
    let at_once = first.wake_at.is_some_and(|at| at <= world.now);
    let quiet = first.effects.is_empty() && second.effects.is_empty() && !at_once;
    (same_stage && quiet && second.status != first.status).then(|| {
        let fields = |status| serde_json::to_value(status).unwrap().as_object().unwrap().clone();
        let (first, second) = (fields(&first.status), fields(&second.status));
        let differ = first.iter().filter(|(name, value)| second.get(*name) != Some(value));
        let differ: Vec<_> = differ.map(|(name, value)| format!("{name} {value} -> {:?}", second.get(name))).collect();
        format!("the status flutters: {differ:#?}")
    })
}

/// Whoever is needed is told what to do.
fn speechless(world: &World) -> Option<String> {
    let status = &world.status;
    let is_stalled = status.conditions.iter().any(|found| found.type_ == "Stalled" && found.status == "True");
    let told = format!(
        "{} needs a person ({}: {}) and says nothing of what to do",
        status.stage, status.reason, status.message
    );
    (is_stalled && status.unblock.is_empty()).then_some(told)
}

pub fn end(world: &mut World, happenings: &[Happening]) -> Result<(), String> {
    for happening in happenings {
        if let Some(broken) = happen(world, happening) {
            return Err(broken);
        }
        if let Some(broken) = flutters(world).or_else(|| speechless(world)) {
            return Err(broken);
        }
    }
    let mut dead = world.clone();
    goes(&mut dead)?;
    if let Some(broken) = broken_promise(&dead.writes).or_else(|| dead.served.broken.pop()) {
        return Err(format!("after a deletion with both clusters dead: {broken}"));
    }
    let mut well = world.clone();
    goes_well(&mut well)?;
    if let Some(broken) = broken_promise(&well.writes).or_else(|| well.served.broken.pop()) {
        return Err(format!("when all is well again: {broken}"));
    }
    drain(world)?;
    too_many_attempts(world, happenings).map_or(Ok(()), Err)?;
    let broken = unanswered(world).or_else(|| broken_promise(&world.writes));
    broken.or_else(|| world.served.broken.pop()).map_or(Ok(()), Err)
}

/// Everything works again and a person does what status says: what somebody else wrote keeps nobody from an end.
fn goes_well(world: &mut World) -> Result<(), String> {
    world.edit(&json!({"suspend": false}));
    world.edit_traffic("upTo", json!(100));
    world.annotate(PAUSED_ANNOTATION, None);
    mend(world);
    world.verdicts = [(Side::Source, Verdict::Pass), (Side::Target, Verdict::Pass)].into();
    world.in_flight.clear();
    for _ in 0..300 {
        if world.gone || is_over(world) {
            return Ok(());
        }
        world.step();
        world.pay();
        if world.status.conditions.iter().any(|found| found.type_ == "Stalled" && found.status == "True") {
            world.obey();
        }
    }
    let stuck = [
        "WeightContested",
        "WritingWeights",
        "WaitingForDNS",
        "DNSLate",
        "WriteRefused",
        "SourceUnhealthy",
        "DNSDiffers",
        "AddressLost",
    ];
    let status = &world.status;
    if !stuck.contains(&status.reason.as_str()) {
        return Ok(());
    }
    Err(format!("it does not go on: {} {}: {}\n{}", status.stage, status.reason, status.message, status.unblock))
}

/// Each attempt was asked for: a token that were handled twice would begin one too many.
fn too_many_attempts(world: &World, happenings: &[Happening]) -> Option<String> {
    let asked =
        happenings.iter().filter(|what| matches!(what, Happening::RaiseAttempt | Happening::RequestRetry)).count();
    let (made, asked) = (world.status.attempt, i32::try_from(asked).unwrap_or(i32::MAX));
    (made > asked + 1).then(|| format!("{made} attempts were made, {} were asked for", asked + 1))
}

/// At the end every token has been answered.
pub fn unanswered(world: &World) -> Option<String> {
    let open = world.status.requests.iter().find(|request| request.outcome == RequestOutcome::Accepted)?;
    let stage = world.status.stage;
    let ended = matches!(stage, Stage::Completed | Stage::RolledBack | Stage::Failed);
    ended.then(|| format!("{stage}, but nobody has answered {open:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(600), max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_users_are_never_lost_and_the_source_gets_them_back(
        start in Start::any(),
        happenings in prop::collection::vec(happening(), 1..40),
    ) {
        let mut world = start.world();
        if let Err(broken) = end(&mut world, &happenings) {
            let writes: Vec<_> = world.writes.iter().map(|write| format!("{} {:?}", write.text(), write.weights)).collect();
            prop_assert!(false, "{broken}\n{writes:#?}\n{happenings:?}");
        }
    }
}
