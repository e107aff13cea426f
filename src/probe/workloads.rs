//! PURE. Whether the target's workloads run: all Pods ready is a Pass, none is a Fail, some is no verdict.

use super::judge::Opinion;
use crate::machine::Side;
use crate::machine::health::Verdict;
use crate::machine::observed::{ClusterView, WorkloadFacts};

/// What one round says of each workload that the source runs. The source's own are not judged: its load balancer is asked.
pub fn opinions(source: &ClusterView, target: &ClusterView) -> Vec<((String, Side), Opinion)> {
    let running = source.workloads.iter().filter(|(_, facts)| facts.desired > 0);
    running.map(|(name, _)| ((name.clone(), Side::Target), opinion(target, name))).collect()
}

fn opinion(target: &ClusterView, name: &str) -> Opinion {
    let known = target.synced && target.reach.is_reachable() && target.unwatchable.is_none();
    let (verdict, message) = match target.workloads.get(name) {
        _ if !known => (Verdict::Inconclusive, "the target cannot be seen".to_owned()),
        None => (Verdict::Fail, "it is not on the target".to_owned()),
        Some(facts) if facts.desired == 0 => (Verdict::Fail, "it is scaled to 0 on the target".to_owned()),
        Some(facts) => (verdict(facts), format!("{} of {} Pods ready", facts.ready, facts.desired)),
    };
    Opinion { verdict, message }
}

fn verdict(facts: &WorkloadFacts) -> Verdict {
    match facts.ready {
        _ if facts.is_ready() => Verdict::Pass,
        0 => Verdict::Fail,
        _ => Verdict::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::observed::Reach;

    fn verdict_on(ready: i32, reach: Reach) -> Verdict {
        let workload = |ready| {
            [(
                "Deployment/web".to_owned(),
                WorkloadFacts { desired: 2, ready, current: true, ..WorkloadFacts::default() },
            )]
            .into()
        };
        let source = ClusterView { workloads: workload(2), ..ClusterView::default() };
        let target = ClusterView { workloads: workload(ready), synced: true, reach, ..ClusterView::default() };
        opinions(&source, &target).remove(0).1.verdict
    }

    #[test]
    fn all_ready_passes_none_fails_and_some_is_no_verdict() {
        assert_eq!(verdict_on(2, Reach::Reachable), Verdict::Pass);
        assert_eq!(verdict_on(0, Reach::Reachable), Verdict::Fail);
        assert_eq!(verdict_on(1, Reach::Reachable), Verdict::Inconclusive);
    }

    #[test]
    fn a_target_that_cannot_be_seen_gives_no_verdict() {
        assert_eq!(verdict_on(0, Reach::Unknown), Verdict::Inconclusive);
    }
}
