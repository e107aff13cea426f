//! Background tasks: ended with their owner, and a panic in one is counted and seen by its owner, who starts another.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::metrics::Metrics;

/// Tasks of one owner. Dropped, they end.
pub struct Tasks {
    stop: CancellationToken,
    broken: Arc<AtomicBool>,
    _guard: DropGuard,
}

impl Default for Tasks {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { broken: Arc::default(), _guard: stop.clone().drop_guard(), stop }
    }
}

impl Tasks {
    /// Runs one more task, named for the log.
    pub fn spawn(&self, name: &'static str, metrics: Metrics, task: impl Future<Output = ()> + Send + 'static) {
        let broken = Arc::clone(&self.broken);
        // Each layer below would keep room for the whole task twice: of the thousands of watches that was most of the memory.
        let task = task.boxed();
        let task = AssertUnwindSafe(self.stop.clone().run_until_cancelled_owned(task)).catch_unwind();
        tokio::spawn(async move {
            if task.await.is_err() {
                broken.store(true, Ordering::Release);
                metrics.panics.inc();
                tracing::error!(task = name, "a background task panicked; it is started anew when it is next needed");
            }
        });
    }

    /// Whether one of them panicked: its owner is of no use any more.
    pub fn are_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_its_owner_can_see_it() {
        let (tasks, metrics) = (Tasks::default(), Metrics::default());
        tasks.spawn("good", metrics.clone(), std::future::pending());
        assert!(!tasks.are_broken());
        tasks.spawn("bad", metrics.clone(), async { panic!("a bug") });
        while !tasks.are_broken() {
            tokio::task::yield_now().await;
        }
        while metrics.panics.get() == 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn tasks_end_with_their_owner() {
        let (gone, mut told) = tokio::sync::mpsc::channel::<()>(1);
        let tasks = Tasks::default();
        tasks.spawn("holds the channel", Metrics::default(), async move {
            std::future::pending::<()>().await;
            drop(gone);
        });
        drop(tasks);
        assert_eq!(told.recv().await, None);
    }
}
