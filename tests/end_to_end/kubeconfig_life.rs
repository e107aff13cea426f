//! kubeconfig life
