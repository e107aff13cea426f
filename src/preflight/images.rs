//! Whether the target can pull what the source runs, and runs the same.

use std::collections::{BTreeMap, BTreeSet};

use super::both::Both;
use super::ownership::bringer;
use super::told::{Noted, found, named, noted};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Content, Item, Workload};

pub(super) const QUESTIONS: [Question; 5] = [
    (
        "PullSecretAbsent",
        Severity::Blocker,
        "The Secret that images are pulled with is not on the target, and nothing brings it. Can be acknowledged.",
        pull_secret_absent,
    ),
    (
        "ImagesInside",
        Severity::Blocker,
        "An image comes from a registry inside of the source's cluster. Can be acknowledged.",
        inside,
    ),
    (
        "RegistryAccount",
        Severity::Warning,
        "Images come from an ECR of some account and region, which the target has not been seen to pull from.",
        registry_account,
    ),
    ("ImagesDiffer", Severity::Warning, "A workload runs other images on the target.", differ),
    ("MovingTag", Severity::Info, "An image has no tag, or latest: both sides may run different ones.", moving_tag),
];

/// The registry of an image. None: Docker Hub, where no host is named.
fn registry(image: &str) -> Option<&str> {
    let (host, _) = image.split_once('/')?;
    (host.contains(['.', ':']) || host == "localhost").then_some(host)
}

/// Account and region of an ECR: `123456789012.dkr.ecr.eu-west-2.amazonaws.com`.
fn ecr(host: &str) -> Option<(&str, &str)> {
    let (account, rest) = host.split_once(".dkr.ecr")?;
    let (region, domain) = rest.trim_start_matches("-fips").strip_prefix('.')?.split_once('.')?;
    (domain.starts_with("amazonaws.com") && !account.is_empty()).then_some((account, region))
}

fn hosts(workload: &Workload) -> impl Iterator<Item = &str> {
    workload.images.iter().filter_map(|(_, image)| registry(image))
}

/// Each image of a workload of which the question says so, with its container.
fn images(both: &Both<'_>, is_it: impl Fn(&str) -> bool) -> Vec<Noted> {
    both.where_workload(|workload| {
        let found = workload.images.iter().filter(|(_, image)| is_it(image));
        let words: Vec<_> = found.map(|(container, image)| format!("{container}: {image}")).collect();
        (!words.is_empty()).then(|| words.join(", "))
    })
}

fn inside(both: &Both<'_>) -> Option<Found> {
    let is_inside = |image: &str| {
        let host = registry(image).map_or("", |host| host.split(':').next().unwrap_or(host));
        let is_local = ["svc", "local"].contains(&host.rsplit('.').next().unwrap_or(host));
        is_local || host == "localhost" || host.starts_with("127.") || host.contains(".svc.")
    };
    let meaning = "The target's nodes reach another registry by that name, or none.";
    found(
        images(both, is_inside),
        "Images from inside of the source's cluster",
        meaning,
        "Push them to a registry that both clusters reach, and deploy from there.",
    )
}

/// A registry that ready Pods of the target have pulled from is no question any more.
fn registry_account(both: &Both<'_>) -> Option<Found> {
    let pulled: BTreeSet<_> = both
        .target
        .workloads()
        .filter(|(_, workload)| workload.ready > 0)
        .flat_map(|(_, workload)| hosts(workload))
        .collect();
    let mut open: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (item, workload) in both.workloads() {
        // What was deployed there with other images is not asked about the source's.
        let theirs: Option<BTreeSet<_>> = both.target.workload(item).map(|theirs| hosts(theirs).collect());
        let asked: BTreeSet<_> = theirs.unwrap_or_else(|| hosts(workload).collect());
        for host in asked.into_iter().filter(|host| ecr(host).is_some() && !pulled.contains(host)) {
            open.entry(host).or_default().push(format!("{}/{}", item.kind.kind, item.name));
        }
    }
    let told = open.into_iter().map(|(host, users)| {
        let (account, region) = ecr(host).unwrap_or_default();
        let first = users.first().map_or("", String::as_str);
        let more = if users.len() > 1 { format!(" and {} more", users.len() - 1) } else { String::new() };
        named(host, format!("account {account}, region {region}, used by {first}{more}"))
    });
    let meaning = "Nothing on the target has been seen to pull from there: where its account or region is another, its nodes may not.";
    let fix = "Let the target's nodes pull from that account and region. If it has a registry of its own, replace the pipeline's variables (AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ECR_ENDPOINT) and push there.";
    found(told.collect::<Vec<_>>(), "Registries of images", meaning, fix)
}

fn differ(both: &Both<'_>) -> Option<Found> {
    let told = both.workloads().filter_map(|(item, workload)| {
        let theirs: BTreeMap<_, _> =
            both.target.workload(item)?.images.iter().map(|(container, image)| (container, image)).collect();
        let (container, image) =
            workload.images.iter().find(|(container, image)| theirs.get(container) != Some(&image))?;
        let found = theirs.get(container).map_or("no such container", |image| image.as_str());
        Some(noted(item, format!("container {container}: {found} there, {image} on the source")))
    });
    let meaning = "Users would meet another version, or another copy of it, on the target.";
    found(told, "Other images on the target", meaning, "Deploy the same build to both clusters, by one pipeline.")
}

fn moving_tag(both: &Both<'_>) -> Option<Found> {
    let is_moving = |image: &str| {
        let last = image.rsplit('/').next().unwrap_or(image);
        !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
    };
    let meaning = "What it names may have changed since the source pulled it.";
    found(
        images(both, is_moving),
        "Images that may change under their name",
        meaning,
        "Name each image by a tag that never moves, or by its digest.",
    )
}

/// The Secrets that the accounts of workloads pull images with. Those that a template names stand among what it needs.
fn pull_secret_absent(both: &Both<'_>) -> Option<Found> {
    let mut used: BTreeMap<&str, &Item> = BTreeMap::new();
    for (_, workload) in both.workloads() {
        let name = if workload.service_account.is_empty() { "default" } else { &workload.service_account };
        let account = both.source.get("", "ServiceAccount", name);
        if let Some((item, Content::ServiceAccount { pull_secrets })) = account.map(|item| (item, &item.content)) {
            used.extend(pull_secrets.iter().map(|secret| (secret.as_str(), item)));
        }
    }
    let open = used
        .into_iter()
        .filter(|(name, _)| both.target.lacks("", "Secret", name))
        .filter(|(name, _)| both.source.get("", "Secret", name).is_some_and(|item| bringer(both, item).is_none()));
    let told =
        open.map(|(name, account)| named(&format!("Secret/{name}"), format!("of ServiceAccount/{}", account.name)));
    let meaning = "Without it the target cannot pull private images.";
    let fix = "Name it in spec.secrets.include, or create it on the target; and see that the ServiceAccount there names it in imagePullSecrets.";
    found(told.collect::<Vec<_>>(), "Secrets to pull images with that are not on the target", meaning, fix)
}
