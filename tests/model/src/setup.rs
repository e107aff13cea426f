//! What may happen in a configuration, and what is asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use namespace_migration::api::{ClusterPair, NamespaceMigration, ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::gate::Verification;
use namespace_migration::machine::order::Home;
use namespace_migration::machine::{Order, Side};
use serde_json::json;

use crate::state::{Left, OLD};

pub const SOURCE: &str = "11111111-1111-4111-8111-111111111111";
pub const TARGET: &str = "22222222-2222-4222-8222-222222222222";
/// The provider's propagation time, and twice the interval of an external-dns whose passes take time.
pub const TICK: SignedDuration = SignedDuration::from_mins(1);

/// One thing that can go wrong, at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A process dies, and another begins with the saved status. As often as it is listed; so do the next two.
    Crash,
    /// A write stays on its way, and arrives whenever it likes, or never.
    Delay,
    /// A second process begins with what the first one knows then, and acts on it as late as it likes. It makes one pass for each
    /// time that it is listed; between them it may come to know what is live.
    Second,
    /// A side's API server is out of reach, and comes back.
    Dead(Side),
    /// Somebody else writes this weight, or removes all annotations: one of those that are listed, and as often as the setup says.
    Foreign(Side, Option<u8>),
    /// A side's load balancer loses its address, and has it again.
    Address(Side),
    /// The watches of a process bring changes late.
    Lag,
    /// An external-dns reads its cluster at one moment and applies it later, host by host.
    Batches,
    /// The target fails.
    Sick,
}

/// A mistake in the protocol, to show that the search finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The source is lowered before the target is raised, and nobody looks at the other side before a write.
    LowerFirst,
    /// The same, but the last look before the write is as shipped.
    LowerFirstBehindThePermit,
    /// What is written counts as served.
    NoGate,
    /// A rollback writes only weights that are wrong, and its stamps stop nobody.
    NoFence,
    /// Writes carry no resourceVersion.
    NoVersion,
    /// A rollback begins with the target.
    WaitsForTarget,
    /// A rollback lowers the target although its write to the source has failed.
    ForgetsTheSource,
    /// Where foreign weights are replaced, the source is lowered before the target is raised, and nobody looks at the other side.
    ReplacesGiverFirst,
    /// Where foreign weights are replaced, what is put back first counts as served when it is written.
    ReplacesUnseen,
    /// A hold does not look at what DNS serves.
    HoldsBlindly,
    /// A rollback is over when the target has no share, whether or not anybody answers.
    EndsUnanswered,
    /// What a rollback has written, nobody is told to be exposed to any more.
    TellsTooLittle,
}

/// A configuration.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// What is printed of it.
    pub name: &'static str,
    /// How many Ingresses move, one or two.
    pub ingresses: usize,
    /// Whether they are at one host.
    pub one_host: bool,
    /// The weights of `spec.traffic.steps`.
    pub steps: &'static [i32],
    /// Whether the target's Ingresses are there from the beginning, without annotations.
    pub target_is_there: bool,
    /// The stage up to which nothing goes wrong.
    pub from: Stage,
    /// What may go wrong from there on, once for each time that it is listed where it says so.
    pub troubles: &'static [Trouble],
    /// How often somebody else writes.
    pub foreign: u8,
    /// Whether what status tells of who is exposed is looked at too.
    pub tells: bool,
    /// The mistake that is planted.
    pub plant: Option<Plant>,
}

/// One Ingress, two steps, and nothing that goes wrong but the order of things; a rollback is asked for at any moment.
pub const PLAIN: Setup = Setup {
    name: "nothing but the order of things",
    ingresses: 1,
    one_host: false,
    steps: &[50, 100],
    target_is_there: false,
    from: Stage::Pending,
    troubles: &[],
    foreign: 1,
    tells: false,
    plant: None,
};

impl Setup {
    pub(crate) fn may(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }

    pub(crate) fn plants(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// How often each trouble may happen.
    pub(crate) fn left(&self) -> Left {
        let often = |trouble| u8::try_from(self.troubles.iter().filter(|known| **known == trouble).count()).unwrap();
        Left {
            crashes: often(Trouble::Crash),
            delays: often(Trouble::Delay),
            seconds: u8::from(self.may(Trouble::Second)),
            foreign: self.foreign,
        }
    }

    /// How many passes the second operator makes.
    pub(crate) fn passes(&self) -> u8 {
        u8::try_from(self.troubles.iter().filter(|known| **known == Trouble::Second).count()).unwrap()
    }

    /// The Ingresses of each host.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (ingresses, size) = (self.ingresses, if self.one_host { self.ingresses } else { 1 });
        (0..ingresses / size).map(move |host| host * size..(host + 1) * size)
    }

    /// The age of what no gate waits for any more.
    pub(crate) fn old(&self) -> u8 {
        if self.may(Trouble::Batches) { OLD } else { 1 }
    }

    /// What is asked for, with a token for a rollback. 0: none.
    pub(crate) fn order(&self, token: u8) -> Order {
        let steps: Vec<_> = self.steps.iter().map(|weight| json!({"weight": weight, "hold": "0s"})).collect();
        let annotations: BTreeMap<_, _> =
            (token > 0).then(|| (ROLLBACK_ANNOTATION, format!("token{token}"))).into_iter().collect();
        let migration: NamespaceMigration = serde_json::from_value(json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
            "metadata": {"name": "shop", "namespace": "shop", "generation": 1, "annotations": annotations},
            "spec": {
                "clusterPair": "old-to-new", "traffic": {"steps": steps}, "bake": {"for": "0s"},
                "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "a test"}]},
            },
        }))
        .unwrap();
        let home = Home { identity: SOURCE.into(), operator_namespace: "namespace-migration".into() };
        let mut order = Order::parse(&migration, &pair(), &home).unwrap();
        order.dns.verification = Verification::Route53;
        order.dns.follow.propagation = TICK;
        // Where passes take no time, there is nothing to wait for.
        order.dns.follow.interval = if self.may(Trouble::Batches) { TICK / 2 } else { SignedDuration::ZERO };
        order.dns.follow.record_ttl = SignedDuration::ZERO;
        // Its way on and off the object is not of the traffic protocol.
        order.deletion.held = true;
        order
    }
}

/// The moment of every decision: time is in the ages.
pub fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

fn pair() -> ClusterPair {
    let side = |identity: &str, colour: &str| {
        json!({
            "connection": {"kubeconfig": {"secretName": colour}}, "identity": identity, "colour": colour,
            "externalDNS": {"annotationPrefix": "external-dns.kubernetes.io/"},
        })
    };
    serde_json::from_value(json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "ClusterPair", "metadata": {"name": "old-to-new"},
        "spec": {"source": side(SOURCE, "blue"), "target": side(TARGET, "green")},
    }))
    .unwrap()
}
