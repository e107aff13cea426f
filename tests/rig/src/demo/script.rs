//! The two migrations of the demo, as a service team would write them, only quicker.

use crate::sample_namespace::SECRET;

/// The `ClusterPair` of the demo.
pub const PAIR: &str = "old-to-new";

/// A migration of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Its name, which is also its namespace's.
    pub name: &'static str,
    /// The target's share in percent, step by step.
    pub steps: &'static [i32],
}

/// It goes well.
pub const SHOP: Script = Script { name: "shop", steps: &[1, 10, 50, 100] };
/// Its target breaks on the way.
pub const BOOKS: Script = Script { name: "books", steps: &[10, 50, 100] };

impl Script {
    /// The object, ready to be applied.
    pub fn yaml(&self) -> String {
        let (name, steps) = (self.name, self.steps);
        let steps: Vec<_> = steps.iter().map(|weight| format!("      - {{ weight: {weight}, hold: 5s }}")).collect();
        let steps = steps.join("\n");
        format!(
            "apiVersion: namespacemigration.io/v1alpha1
kind: NamespaceMigration
metadata: {{ name: {name}, namespace: {name} }}
spec:
  clusterPair: {PAIR}
  secrets:
    include: [{SECRET}]
  probes: {{ interval: 500ms }}
  traffic:
    steps:
{steps}
  bake: {{ for: 5s }}
"
        )
    }
}
