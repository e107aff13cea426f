//! Which record set of a group Route 53 answers with. Pure, but for the dice.
//!
//! <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html>

use fastrand::Rng;

/// A record set of a group, as far as the choice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its weight, 0-255; sets that are not weighted have the same one.
    pub weight: u8,
    /// Whether its health checks and, where that is wanted, its target are healthy.
    pub healthy: bool,
}

/// The candidate that is answered with, by its position. None only when there is no candidate.
pub fn choose(candidates: &[Candidate], dice: &mut Rng) -> Option<usize> {
    let lots = lots(candidates);
    let sum = lots.iter().map(|(_, lots)| lots).sum::<u32>();
    if sum == 0 {
        return None;
    }
    let mut drawn = dice.u32(0..sum);
    for (position, lots) in lots {
        if drawn < lots {
            return Some(position);
        }
        drawn -= lots;
    }
    None
}

/// Who may be chosen, by position, and with how many lots.
fn lots(candidates: &[Candidate]) -> Vec<(usize, u32)> {
    let of = |wanted: fn(&Candidate) -> bool| -> Vec<(usize, u32)> {
        let wanted = candidates.iter().enumerate().filter(|(_, candidate)| wanted(candidate));
        // Zero weights are only asked for among themselves: then each is as likely as any other.
        wanted.map(|(position, candidate)| (position, u32::from(candidate.weight.max(1)))).collect()
    };
    let groups: [fn(&Candidate) -> bool; 4] = [
        |candidate| candidate.weight > 0 && candidate.healthy,
        |candidate| candidate.weight == 0 && candidate.healthy,
        |candidate| candidate.weight > 0,
        |candidate| candidate.weight == 0,
    ];
    groups.into_iter().map(of).find(|lots| !lots.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights, health, and the shares of 1000 answers.
    fn shares<const N: usize>(weights: [u8; N], healthy: [bool; N]) -> [usize; N] {
        let candidates: [Candidate; N] =
            std::array::from_fn(|index| Candidate { weight: weights[index], healthy: healthy[index] });
        let (mut dice, mut counts) = (Rng::with_seed(7), [0; N]);
        (0..1000).filter_map(|_| choose(&candidates, &mut dice)).for_each(|chosen| counts[chosen] += 1);
        counts
    }

    fn is_about(found: usize, expected: usize) -> bool {
        found.abs_diff(expected) <= 60
    }

    /// "weight for a specified record / sum of the weights for all records":
    /// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html>.
    #[test]
    fn a_share_is_the_weight_divided_by_the_sum_of_weights() {
        let [source, target] = shares([90, 10], [true; 2]);
        assert!(is_about(source, 900) && is_about(target, 100), "{source} {target}");
        assert!(is_about(shares([255, 1], [true; 2])[1], 4));
        assert!(is_about(shares([100, 100, 100], [true; 3])[2], 333));
    }

    /// "If you want to stop sending traffic to a resource, change the weight for that record to 0":
    /// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html>.
    #[test]
    fn weight_zero_is_not_answered_beside_one_that_is_not_zero() {
        assert_eq!(shares([1, 0], [true; 2]), [1000, 0]);
        assert_eq!(shares([0, 100], [true; 2]), [0, 1000]);
    }

    /// "If you set Weight to 0 for all of the records in the group, traffic is routed to all resources with equal probability":
    /// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html#rrsets-values-weighted-weight>.
    #[test]
    fn all_weights_zero_is_an_even_split() {
        let [source, target] = shares([0, 0], [true; 2]);
        assert!(is_about(source, 500) && is_about(target, 500), "{source} {target}");
    }

    /// The two tables of <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html>: weights 1, 1, 0;
    /// in the first one the record of weight 0 has a health check, in the second one it has none, so that it counts as healthy.
    #[test]
    fn weight_zero_is_answered_when_all_the_others_are_unhealthy() {
        let answered = |healthy| shares([1, 1, 0], healthy).map(|count| count > 0);
        let table = [
            ([false, false, true], [false, false, true]),
            ([false, false, false], [true, true, false]),
            ([false, true, false], [false, true, false]),
            ([true, true, false], [true, true, false]),
            ([true, true, true], [true, true, false]),
            ([false, true, true], [false, true, false]),
        ];
        for (healthy, expected) in table {
            assert_eq!(answered(healthy), expected, "{healthy:?}");
        }
    }

    /// "If no record is healthy, all records are healthy", and the routing policy chooses:
    /// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html>.
    #[test]
    fn without_a_healthy_record_the_weights_decide_alone() {
        let [source, target] = shares([90, 10], [false; 2]);
        assert!(is_about(source, 900) && is_about(target, 100), "{source} {target}");
        let [source, target] = shares([0, 0], [false; 2]);
        assert!(is_about(source, 500) && is_about(target, 500), "{source} {target}");
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        assert_eq!(shares([50, 50], [true; 2]), shares([50, 50], [true; 2]));
        assert_eq!(choose(&[], &mut Rng::with_seed(1)), None);
    }
}
