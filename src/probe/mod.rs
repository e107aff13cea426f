//! Questions asked of a service from outside, and which addresses may be asked.
