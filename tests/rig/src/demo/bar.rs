//! The bar of real requests per cluster beside the weights, in one line. Pure.

use super::screen::Colour;
use crate::population::Counts;
use crate::weights::Weights;

/// Characters of a bar.
pub const BAR: usize = 24;

/// Where the users of a service are, and where they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The latest requests.
    pub requests: Counts,
    /// The weights on the Ingresses.
    pub written: Weights,
    /// The weights in the answers of DNS.
    pub served: Weights,
}

impl Traffic {
    /// The bar in its parts: answered by the source, failed, answered by the target.
    pub fn parts(&self) -> [(Colour, String); 3] {
        let [source, failed, target] = self.cells();
        [(Colour::Blue, "#".repeat(source)), (Colour::Red, "x".repeat(failed)), (Colour::Green, "=".repeat(target))]
    }

    /// The cells of source, failures and target; without a request there are none.
    pub fn cells(&self) -> [usize; 3] {
        let sides = self.requests.sides;
        share_out([sides.source.well, self.requests.failed(), sides.target.well])
    }

    /// What stands beside the bar: at most 37 characters.
    pub fn figures(&self) -> String {
        format!("written {:<7}  served {}", self.written.to_string(), self.served)
    }
}

/// The cells of each number. What is not nothing has one at least; the largest part gives it away.
fn share_out(numbers: [u64; 3]) -> [usize; 3] {
    let sum: u64 = numbers.iter().sum();
    if sum == 0 {
        return [0; 3];
    }
    let cells = |number: u64| usize::try_from((number * BAR as u64 + sum / 2) / sum).unwrap_or(BAR);
    let mut parts = numbers.map(|number| cells(number).max(usize::from(number > 0)));
    let largest = (0..parts.len()).max_by_key(|part| parts[*part]).unwrap_or_default();
    let others = parts.iter().sum::<usize>() - parts[largest];
    parts[largest] = BAR.saturating_sub(others);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{BySide, Served};

    #[test]
    fn a_bar_shows_every_share_that_is_not_nothing() {
        assert_eq!(share_out([100, 0, 0]), [24, 0, 0]);
        assert_eq!(share_out([999, 0, 1]), [23, 0, 1]);
        assert_eq!(share_out([50, 1, 50]), [12, 1, 11]);
        assert_eq!(share_out([0, 80, 0]), [0, 24, 0]);
        assert_eq!(share_out([0, 0, 0]), [0, 0, 0]);
    }

    #[test]
    fn a_bar_without_colours_tells_source_failures_and_target_apart() {
        let sides = BySide { source: Served { well: 30, badly: 0 }, target: Served { well: 0, badly: 10 } };
        let weights = Weights { source: Some(75), target: Some(25) };
        let traffic = Traffic { requests: Counts { sides, nowhere: 0 }, written: weights, served: weights };
        let bar: String = traffic.parts().map(|(_, part)| part).concat();
        assert_eq!(bar, "##################xxxxxx");
        assert_eq!(traffic.figures(), "written 75:25    served 75:25");
    }
}
