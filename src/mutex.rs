//! Short sections under a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic: every section in this crate leaves what it guards complete, or one assignment short of it.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
