//! What would stay behind, or run twice: state, identities, schedules, alerts.

use namespace_migration::api::status::Severity::{Blocker, Info, Warning};
use namespace_migration::machine::inventory::{Content, Inventory, Item, Volume, Workload};

use super::fixture::{Put, among, item, map, says, secret, service, silent, strings, workload};

fn volume(volume: Volume) -> impl FnOnce(&mut Inventory) {
    let fill = |workload: &mut Workload| workload.volumes.push(volume);
    |inventory| inventory.source.web(fill)
}

fn claim(class: &str) -> Item {
    let content = Content::Claim {
        storage_class: Some(class.into()),
        size: "10Gi".into(),
        access_modes: vec!["ReadWriteOnce".into()],
    };
    item("PersistentVolumeClaim", "data", content)
}

#[test]
fn a_clean_namespace_needs_no_word() {
    silent(|_| {});
}

#[test]
fn claims_keep_data_on_the_source() {
    let said = "PersistentVolumeClaims: PersistentVolumeClaim/data (10Gi, class gp2). Their data stays on the source; the target would begin \
                empty, and both sides would write apart.";
    assert_eq!(among(|all| all.source.put(claim("gp2")), "ClaimedVolume"), said);
    let mounted = volume(Volume::Claim { name: "v".into(), claim: "hidden".into() });
    assert!(among(mounted, "ClaimedVolume").contains("Deployment/web (mounts the claim hidden)."));
    let said = "StorageClasses that are not on the target: PersistentVolumeClaim/data (gp2). A claim there would wait for ever.";
    assert_eq!(among(|all| all.source.put(claim("gp2")), "StorageClassAbsent"), said);
}

#[test]
fn a_stateful_set_with_claims_begins_empty() {
    let change = |all: &mut Inventory| {
        for side in [&mut all.source, &mut all.target] {
            side.put(workload("StatefulSet", "db", |db| {
                db.claim_templates = vec!["data".into()];
                db.replicas = Some(1);
                db.ready = 1;
            }));
        }
    };
    let said = "StatefulSets with volumeClaimTemplates: StatefulSet/db (data). Each Pod has a claim of its own; on the target each would begin \
                with an empty one.";
    says(change, "ClaimTemplates", Blocker, said);
}

#[test]
fn the_pods_of_a_stateful_set_know_each_other() {
    let change = |all: &mut Inventory| {
        for side in [&mut all.source, &mut all.target] {
            side.put(workload("StatefulSet", "peers", |_| {}));
        }
    };
    let said = "StatefulSets of several Pods: StatefulSet/peers (2 replicas). Their Pods find each other by names inside one cluster: each side \
                would be a group of its own.";
    says(change, "StatefulPeers", Warning, said);
}

#[test]
fn files_on_nodes_in_pods_and_outside_are_each_told() {
    let said = "With a hostPath: Deployment/web (logs at /var/log). What is written there stays on the source's nodes, and the target may \
                refuse such Pods.";
    says(volume(Volume::Host { name: "logs".into(), path: "/var/log".into() }), "HostPath", Blocker, said);
    let said = "With an emptyDir: Deployment/web (tmp). What a Pod keeps there is seen by no other Pod, so not by the other side: users whose \
                sessions or uploads are in it lose them when they are moved.";
    says(volume(Volume::Empty { name: "tmp".into(), memory: false }), "EphemeralVolume", Warning, said);
    let said = "With storage outside of the cluster: Deployment/web (share, nfs). The target must reach the same storage, and both sides would \
                write to it at once.";
    says(volume(Volume::Outside { name: "share".into(), kind: "nfs".into() }), "OutsideVolume", Warning, said);
}

#[test]
fn what_must_never_run_twice_is_told() {
    let change = |all: &mut Inventory| {
        for side in [&mut all.source, &mut all.target] {
            side.web(|web| {
                (web.replicas, web.ready, web.strategy) = (Some(1), 1, "Recreate".into());
            });
        }
    };
    let said = "Made to run once: Deployment/web (replicas 1, strategy Recreate). They never run twice on one cluster, but during the move one \
                runs on each.";
    says(change, "Singleton", Blocker, said);
    let lease =
        |all: &mut Inventory| all.source.put(item("Lease", "leader", Content::Lease { holder: Some("web-1".into()) }));
    let said = "Leaders are elected by Leases: Lease/leader (held by web-1). A Lease counts in its own cluster: during the move each side has a \
                leader.";
    says(lease, "LeaderLease", Warning, said);
}

#[test]
fn a_role_by_kiam_needs_one_by_irsa() {
    let kiam =
        |all: &mut Inventory| all.source.web(|web| web.pod_annotations = map([("iam.amazonaws.com/role", "shop")]));
    let said = "Roles of AWS by kiam: Deployment/web (shop). On a cluster without kiam such Pods have no role of theirs: every call to AWS is \
                refused, or made as the node.";
    says(kiam, "KiamRole", Blocker, said);
    silent(|all| {
        kiam(all);
        let mut account = all.target.take("ServiceAccount", "web");
        account.annotations = map([("eks.amazonaws.com/role-arn", "arn:aws:iam::1:role/new")]);
        all.target.put(account);
    });
    silent(|all| {
        kiam(all);
        all.target.namespace.as_mut().unwrap().annotations = map([("iam.amazonaws.com/permitted", ".*")]);
    });
}

#[test]
fn one_role_for_both_sides_must_trust_both_issuers() {
    let role = |all: &mut Inventory, arn: [&str; 2]| {
        for (side, arn) in [&mut all.source, &mut all.target].into_iter().zip(arn) {
            let mut account = side.take("ServiceAccount", "web");
            account.annotations = map([("eks.amazonaws.com/role-arn", arn)]);
            side.put(account);
        }
    };
    let said = "Roles of AWS by IRSA: ServiceAccount/web (arn:aws:iam::1:role/shop). A role's trust names the issuer of one cluster. On the \
                target Pods run and look well, but AWS refuses them until the trust names its issuer.";
    says(|all| role(all, ["arn:aws:iam::1:role/shop"; 2]), "RoleTrust", Blocker, said);
    silent(|all| role(all, ["arn:aws:iam::1:role/shop", "arn:aws:iam::1:role/shop-new"]));
}

#[test]
fn pod_identity_is_seen_in_pods() {
    let pod = |all: &mut Inventory| {
        for side in [&mut all.source, &mut all.target] {
            side.put(workload("Pod", "web-1", |web| (web.pod_identity, web.replicas) = (true, None)));
        }
    };
    let said = "Roles of AWS by EKS Pod Identity: ServiceAccount/web. The association of account and role stands in the EKS API of the source's \
                cluster; the target's has none of it by itself.";
    says(pod, "PodIdentity", Blocker, said);
}

#[test]
fn tokens_are_signed_by_one_cluster() {
    let token = |all: &mut Inventory| {
        for side in [&mut all.source, &mut all.target] {
            let mut token = secret("ci-token", "kubernetes.io/service-account-token");
            token.annotations = map([("kubernetes.io/service-account.name", "ci")]);
            side.put(token);
        }
    };
    let said = "Tokens of ServiceAccounts: Secret/ci-token (ci). The source signed them, so the target does not accept them, and they are never \
                copied.";
    says(token, "PipelineToken", Info, said);
}

#[test]
fn a_cron_job_is_active_on_one_side() {
    let job = |suspended: bool| {
        workload("CronJob", "mail", |job| {
            (job.replicas, job.suspended, job.schedule) = (None, suspended, Some("0 8 * * *".into()));
        })
    };
    let both = |all: &mut Inventory| {
        all.source.put(job(false));
        all.target.put(job(false));
    };
    let said = "CronJobs that are active on both sides: CronJob/mail (0 8 * * *). Each run would be made twice: mails sent twice, payments made \
                twice.";
    says(both, "CronJobTwice", Blocker, said);
    let said = "CronJobs that are active on the source: CronJob/mail (0 8 * * *). Deployed to the target as they are, they would run on both \
                sides.";
    says(|all| all.source.put(job(false)), "CronJobToCome", Warning, said);
    silent(|all| {
        all.source.put(job(false));
        all.target.put(job(true));
    });
}

#[test]
fn a_worker_and_a_running_job_are_told() {
    let worker = |all: &mut Inventory| {
        for side in [&mut all.source, &mut all.target] {
            side.put(workload("Deployment", "queue", |queue| queue.pod_labels = map([("app", "queue")])));
        }
    };
    let said = "Workloads that work by themselves: Deployment/queue. No Service sends them requests, so they take work from elsewhere, as \
                queues and schedules: on both sides at once.";
    says(worker, "Worker", Warning, said);
    let job = |all: &mut Inventory| all.source.put(workload("Job", "import", |job| job.replicas = None));
    let said = "Jobs that have not ended: Job/import. They are not copied: a run belongs to the side that began it.";
    says(job, "RunningJob", Warning, said);
    silent(|all| all.source.put(workload("Job", "import", |job| (job.replicas, job.finished) = (None, true))));
}

#[test]
fn alerts_come_over_and_may_fire_on_the_idle_side() {
    let rule = || item("PrometheusRule", "alerts", Content::Other);
    let said = "Monitoring that is not on the target: PrometheusRule/alerts. Without them the target is not watched, and nobody is called when \
                it fails.";
    says(|all| all.source.put(rule()), "AlertsAbsent", Warning, said);
    let twice = |all: &mut Inventory| {
        all.source.put(rule());
        all.target.put(rule());
    };
    let said = "Alerts that are on both sides: PrometheusRule/alerts. A rule that expects traffic, or names a cluster, may fire on the side \
                that has none.";
    says(twice, "AlertsTwice", Info, said);
}

#[test]
fn a_network_policy_that_is_not_there_protects_nothing() {
    let policy = Content::NetworkPolicy { namespaces: vec![], ranges: strings([]), restricts_ingress: true };
    let said = "Policies that are not on the target: NetworkPolicy/deny (who runs kubectl apply). Without them the target's Pods are reached by \
                others, or all evicted at once.";
    says(|all| all.source.put(item("NetworkPolicy", "deny", policy)), "PoliciesAbsent", Warning, said);
}

#[test]
fn who_deploys_a_workload_is_told_or_asked() {
    let lost = |change: fn(&mut Item)| {
        move |all: &mut Inventory| {
            let mut back = workload("Deployment", "back", |_| {});
            change(&mut back);
            all.source.put(back);
        }
    };
    let said = "Workloads that nobody deploys: Deployment/back. No mark of Helm, Argo CD, Flux, Terraform or kubectl apply shows who would \
                deploy them to the target.";
    says(lost(|back| back.last_applied = false), "NobodyDeploys", Warning, said);
    let said = "To be deployed by their tool: Deployment/back (the Helm release shop). The operator waits for them and never writes what a tool \
                owns.";
    says(lost(|back| back.annotations = map([("meta.helm.sh/release-name", "shop")])), "ToolDeploys", Info, said);
    silent(lost(|_| {}));
    silent(|all| all.target.put(service("more", |_| {})));
}
