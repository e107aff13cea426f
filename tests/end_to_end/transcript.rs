//! The transcript in `docs/` is what kubectl prints.

use anyhow::Result;

#[tokio::test(flavor = "multi_thread")]
async fn the_transcript_in_docs_says_what_kubectl_shows() -> Result<()> {
    rig::transcript::check(&rig::deploy::checkout()?.join("docs/transcript.md")).await
}
