//! What the operator may do on its home cluster: asked at the start, and told in the log, because a status may be just what it cannot
//! write. Before each move it is a check as well.

use std::sync::Arc;

use super::Operator;
use crate::machine::right::Rights;
use crate::preflight;

/// Asks once and tells each gap with what mends it.
pub(super) async fn tell(operator: Arc<Operator>) {
    let home = &operator.home_rights;
    let rights = home.everywhere().await;
    if let Some((gap, fix)) = preflight::home_gap(&rights, "", home.operator_namespace()) {
        tracing::warn!(
            fix,
            "{gap} A grant for some namespaces or Secrets may be enough: each migration asks for its own"
        );
        return;
    }
    let account = if let Rights::Known { account, .. } = &rights { account.as_str() } else { "" };
    tracing::info!(account, "the home cluster grants everything that is needed there");
}
