//! Whether the target can show users a certificate from the first request on, and until the move has ended.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::both::{Both, Sight};
use super::told::{Noted, found, named, noted, object};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Content, Item};

pub(super) const QUESTIONS: [Question; 6] = [
    (
        "CertificateBeforeTraffic",
        Severity::Blocker,
        "cert-manager would have to issue on the target before users come, which HTTP-01 cannot. Can be acknowledged.",
        before_traffic,
    ),
    (
        "TlsSecretAbsent",
        Severity::Blocker,
        "The certificate of an Ingress that moves is not on the target, and nothing brings it. Can be acknowledged.",
        tls_secret_absent,
    ),
    (
        "CertificateNotReady",
        Severity::Blocker,
        "A Certificate on the target is not ready. Can be acknowledged.",
        not_ready,
    ),
    (
        "CertificateNames",
        Severity::Warning,
        "A Certificate of the target is not for all names of the source's.",
        names_differ,
    ),
    (
        "CertificateExpires",
        Severity::Warning,
        "A Certificate expires before the move has ended, or within a week of it.",
        expires,
    ),
    (
        "DefaultCertificate",
        Severity::Warning,
        "An Ingress uses the controller's default certificate, which is another on the target.",
        default_certificate,
    ),
];

/// After the move's end: renewal begins anew on the target, and may fail a few times.
const AFTER_THE_MOVE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// By these an Ingress asks cert-manager for its certificates.
const ISSUER_MARKS: [&str; 3] = ["cert-manager.io/cluster-issuer", "cert-manager.io/issuer", "kubernetes.io/tls-acme"];

/// The certificates of Ingresses that move and that are not on the target: with who asks for each, and whether cert-manager fills it.
fn absent<'a>(both: &Both<'a>) -> BTreeMap<&'a str, (&'a Item, bool)> {
    let mut absent = BTreeMap::new();
    for (item, ingress) in both.ingresses() {
        let marked = ISSUER_MARKS.iter().any(|mark| item.annotations.contains_key(*mark));
        let secrets = ingress.certificates.iter().filter_map(|(secret, _)| secret.as_deref());
        for secret in
            secrets.filter(|secret| both.target.lacks("", "Secret", secret) && !both.order.secrets.contains(*secret))
        {
            absent.insert(secret, (item, marked || both.issued.contains_key(secret)));
        }
    }
    absent
}

fn told(both: &Both<'_>, by_cert_manager: bool) -> Vec<Noted> {
    let lost = absent(both).into_iter().filter(|(_, (_, issued))| *issued == by_cert_manager);
    lost.map(|(secret, (item, _))| named(&format!("Secret/{secret}"), format!("of {}", object(item)))).collect()
}

fn before_traffic(both: &Both<'_>) -> Option<Found> {
    let meaning = "cert-manager would issue them anew on the target. With HTTP-01 the proof is asked for where DNS leads: to the source, until users have moved.";
    let fix = "Name the Secrets in spec.secrets.include, so that the target begins with the source's certificates; or use an issuer with DNS-01.";
    found(told(both, true), "Certificates that are not on the target", meaning, fix)
}

fn tls_secret_absent(both: &Both<'_>) -> Option<Found> {
    let open: Vec<_> = told(both, false);
    let meaning = "Without it the controller answers with a certificate of its own, which browsers refuse.";
    found(
        open,
        "Secrets of certificates that are not on the target",
        meaning,
        "Name them in spec.secrets.include, or create them on the target.",
    )
}

/// Certificates of a side: the object, its names, whether it is ready.
fn certificates<'a>(sight: &Sight<'a>) -> Vec<&'a Item> {
    sight.all.items.values().filter(|item| matches!(item.content, Content::Certificate { .. })).collect()
}

fn not_ready(both: &Both<'_>) -> Option<Found> {
    let is_open = |item: &&Item| matches!(&item.content, Content::Certificate { ready: Some(false), .. });
    let told = certificates(&both.target).into_iter().filter(is_open).map(|item| noted(item, ""));
    let meaning = "Their Secrets are empty or old. With HTTP-01 they stay so until users have moved.";
    let fix = "See kubectl describe certificate on the target. Name the Secrets in spec.secrets.include, or use an issuer with DNS-01.";
    found(told, "Certificates of the target that are not ready", meaning, fix)
}

fn names_differ(both: &Both<'_>) -> Option<Found> {
    let told = certificates(&both.source).into_iter().filter_map(|item| {
        let Content::Certificate { names: here, .. } = &item.content else { return None };
        let Content::Certificate { names: there, .. } = &both.target.same(item)?.content else { return None };
        let lost: Vec<_> = here.difference(there).cloned().collect();
        (!lost.is_empty()).then(|| noted(item, lost.join(", ")))
    });
    let meaning = "Browsers refuse the target for these names.";
    found(
        told,
        "Certificates of the target that leave names out",
        meaning,
        "Give spec.dnsNames of both sides the same names.",
    )
}

fn expires(both: &Both<'_>) -> Option<Found> {
    let holds = both.order.steps.iter().map(|step| step.hold);
    let span = holds.fold(both.order.bake, SignedDuration::saturating_add).saturating_add(AFTER_THE_MOVE);
    let until = both.taken?.checked_add(span).ok()?;
    let of_side = |sight: &Sight<'_>| -> Vec<Noted> {
        let end = |item: &Item| match &item.content {
            Content::Certificate { not_after: Some(end), .. } if *end < until => {
                Some(end.strftime("%Y-%m-%d").to_string())
            }
            _ => None,
        };
        let all = certificates(sight).into_iter();
        all.filter_map(|item| Some(noted(item, format!("on the {}, {}", sight.side, end(item)?)))).collect()
    };
    let meaning =
        "While users are on both sides a renewal may fail on either, because the proof is asked for at one of them.";
    let fix = "Renew them before the move (cmctl renew), or use an issuer with DNS-01.";
    found(both.sides().into_iter().flat_map(of_side), "Certificates that expire soon", meaning, fix)
}

fn default_certificate(both: &Both<'_>) -> Option<Found> {
    let told = both.ingresses().filter_map(|(item, ingress)| {
        let bare = ingress.certificates.iter().filter(|(secret, _)| secret.is_none());
        let hosts: Vec<_> = bare.flat_map(|(_, hosts)| hosts).cloned().collect();
        let uses = ingress.certificates.iter().any(|(secret, _)| secret.is_none());
        uses.then(|| noted(item, hosts.join(", ")))
    });
    let meaning = "The default of the target's controller is another one, and must be for the same hosts.";
    let fix = "See what the target shows for each host (openssl s_client -servername), or give the Ingress a Secret.";
    found(told, "With the controller's default certificate", meaning, fix)
}
