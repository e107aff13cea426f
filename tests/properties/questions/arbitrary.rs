//! Whatever others have written into their objects: every question is answered in bounded words, and none fails.

use std::collections::{BTreeMap, BTreeSet};

use namespace_migration::machine::inventory::{
    Content, IngressContent, Inventory, Item, Kind, Owner, Reference, SecretContent, ServiceContent, SideInventory,
    Unread, Volume, Workload,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::fixture::{asked_of, order};

/// Names, some of which are words that the checks look for, and texts that nobody expects.
fn text() -> impl Strategy<Value = String> {
    let known = [
        "web",
        "shop",
        "default",
        "iam.amazonaws.com/role",
        "eks.amazonaws.com/role-arn",
        "secrets",
        "db",
        "nginx",
        "",
    ];
    let hosts = [
        "a.b.svc.cluster.local",
        "1.dkr.ecr.eu.amazonaws.com/web",
        ".",
        "..svc.",
        "x.dkr.ecr/y:latest",
        "9E999",
        "1Ki",
        "localhost/x",
    ];
    let known: Vec<_> = known.into_iter().chain(hosts).map(str::to_owned).collect();
    prop_oneof![4 => proptest::sample::select(known), 1 => "\\PC{0,40}", 1 => "[\"\\n\\r\\t'/:.@-]{0,9}", 1 => "a{253}"]
}

fn texts() -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(text(), 0..3)
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

fn kind() -> impl Strategy<Value = Kind> {
    let kinds = [
        ("", "Secret"),
        ("", "ConfigMap"),
        ("", "ServiceAccount"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("", "Pod"),
        ("", "LimitRange"),
        ("monitoring.coreos.com", "PrometheusRule"),
        ("x", ""),
        ("", "é"),
    ];
    let kinds = proptest::sample::select(kinds.to_vec());
    (kinds, proptest::sample::select(vec!["v1", "v1beta1"]))
        .prop_map(|((group, kind), version)| Kind::new(group, version, kind))
}

fn volume() -> impl Strategy<Value = Volume> {
    prop_oneof![
        (text(), any::<bool>()).prop_map(|(name, memory)| Volume::Empty { name, memory }),
        (text(), text()).prop_map(|(name, path)| Volume::Host { name, path }),
        (text(), text()).prop_map(|(name, kind)| Volume::Outside { name, kind }),
    ]
}

fn reference() -> impl Strategy<Value = Reference> {
    let kinds = proptest::sample::select(vec!["Secret".to_owned(), "ConfigMap".to_owned(), "other".to_owned()]);
    (kinds, text(), any::<bool>(), text()).prop_map(|(kind, name, optional, via)| Reference {
        kind,
        name,
        optional,
        via,
    })
}

fn workload() -> impl Strategy<Value = Content> {
    let numbers = (of(any::<i64>()), any::<i64>(), of(any::<i64>()));
    let words = (text(), text(), of(text()), of(text()));
    let maps = (labels(), labels(), labels(), texts());
    let lists = (vec((text(), text()), 0..3), vec(reference(), 0..3), vec(volume(), 0..3), vec(text(), 0..2));
    (numbers, words, maps, lists, any::<[bool; 5]>()).prop_map(|(numbers, words, maps, lists, flags)| {
        Content::Workload(Box::new(Workload {
            replicas: numbers.0,
            ready: numbers.1,
            ttl_after_finished: numbers.2,
            strategy: words.0,
            service_account: words.1,
            schedule: words.2,
            priority_class: words.3,
            pod_labels: maps.0,
            pod_annotations: maps.1,
            node_selector: maps.2,
            cluster_hosts: maps.3,
            images: lists.0,
            references: lists.1,
            volumes: lists.2,
            claim_templates: lists.3,
            suspended: flags[0],
            finished: flags[1],
            host_network: flags[2],
            without_requests: flags[3],
            pod_identity: flags[4],
            has_readiness: flags[0],
        }))
    })
}

fn content() -> impl Strategy<Value = Content> {
    let time = of((i64::MIN..i64::MAX)
        .prop_map(|seconds| jiff::Timestamp::from_second(seconds % 300_000_000_000).unwrap_or_default()));
    prop_oneof![
        Just(Content::Other),
        workload(),
        workload(),
        (text(), texts()).prop_map(|(kind, keys)| Content::Secret(SecretContent { kind, immutable: true, keys })),
        (text(), any::<bool>(), labels(), texts(), of(text())).prop_map(
            |(kind, headless, selector, external_ips, external_name)| {
                Content::Service(ServiceContent { kind, headless, selector, external_ips, external_name })
            }
        ),
        (of(text()), texts(), vec((of(text()), texts()), 0..3), texts()).prop_map(
            |(class, hosts, certificates, services)| {
                Content::Ingress(IngressContent { class, hosts, certificates, services })
            }
        ),
        texts().prop_map(|pull_secrets| Content::ServiceAccount { pull_secrets }),
        (of(text()), text()).prop_map(|(storage_class, size)| Content::Claim {
            storage_class,
            size,
            access_modes: vec![]
        }),
        (text(), text(), any::<i64>(), any::<i64>()).prop_map(|(kind, name, least, most)| Content::Autoscaler {
            target: (kind, name),
            least,
            most
        }),
        (text(), text(), vec((text(), of(text()), text()), 0..3))
            .prop_map(|(kind, name, subjects)| Content::Binding { role: (kind, name), subjects }),
        (vec(labels(), 0..3), texts()).prop_map(|(namespaces, ranges)| Content::NetworkPolicy {
            namespaces,
            ranges,
            restricts_ingress: true
        }),
        (labels(), labels()).prop_map(|(hard, used)| Content::Quota { hard, used }),
        (text(), texts(), of(any::<bool>()), time).prop_map(|(secret, names, ready, not_after)| {
            Content::Certificate { secret, issuer: (String::new(), String::new()), names, ready, not_after }
        }),
        of(text()).prop_map(|holder| Content::Lease { holder }),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let owner = (kind(), text()).prop_map(|(kind, name)| Owner {
        api_version: kind.version,
        kind: kind.kind,
        name,
        controller: true,
    });
    let marks = (labels(), labels(), vec(owner, 0..2), texts(), any::<[bool; 2]>());
    (kind(), text(), marks, content()).prop_map(
        |(kind, name, (labels, annotations, owners, managers, flags), content)| Item {
            kind,
            name,
            labels,
            annotations,
            owners,
            managers,
            last_applied: flags[0],
            terminating: flags[1],
            content,
            ..Item::default()
        },
    )
}

fn side() -> impl Strategy<Value = SideInventory> {
    let unread = (text(), text()).prop_map(|(what, why)| Unread { what, why });
    let keyed =
        |items: Vec<Item>| items.into_iter().map(|item| ((item.kind.clone(), item.name.clone()), item)).collect();
    let objects = (vec(item(), 0..12).prop_map(keyed), vec(item(), 0..3).prop_map(keyed), of(item()));
    let facts = (of(any::<(u32, u32)>()), of(any::<i64>()), btree_set(kind(), 0..9), vec(unread, 0..2));
    (objects, facts).prop_map(|((items, cluster, namespace), (version, clock_ahead_millis, served, unread))| {
        SideInventory { version, clock_ahead_millis, served, namespace, items, cluster, unread }
    })
}

proptest! {
    #[test]
    fn no_question_fails_and_every_answer_is_bounded(source in side(), target in side(), taken in any::<bool>()) {
        let order = order();
        let taken = taken.then_some(jiff::Timestamp::MAX);
        for finding in asked_of(&order, Some(Inventory { taken, source, target })) {
            prop_assert!(!finding.objects.is_empty() && finding.objects.len() <= 21, "{finding:?}");
            prop_assert!(finding.message.len() < 20_000 && !finding.message.contains(['\n', '\r', '\t']), "{finding:?}");
            prop_assert!(!finding.fix.is_empty(), "{finding:?}");
        }
    }
}
